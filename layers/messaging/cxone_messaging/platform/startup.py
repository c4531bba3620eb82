"""A handler's first import: no garbage collection while its modules load.

Loading allocates a hundred thousand objects that are never freed, so a collection finds no garbage. All collections
together take a tenth of a cold start.
"""

import gc
import warnings

gc.disable()
# The layer is built without the package by which requests guesses an answer's encoding. That package takes a twentieth
# of a cold start's imports, and CXone's answers are read as bytes. requests works without it, but warns at each import.
warnings.filterwarnings("ignore", "Unable to find acceptable character detection dependency")


def finish() -> None:
    """Resume garbage collection, without the objects loaded so far.

    A handler calls this in its last line.
    """
    gc.freeze()
    gc.enable()
