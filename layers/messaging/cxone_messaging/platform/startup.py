"""A handler's first import: no garbage collection while its modules load.

Loading allocates a hundred thousand objects that all stay, so each pass over them is in vain; together they take a
tenth of a cold start.
"""

import gc
import warnings

gc.disable()
# The layer is built without what requests guesses an answer's encoding by: it is a twentieth of a cold start's imports,
# and CXone's answers are read as bytes. requests does without it, but says so at each import.
warnings.filterwarnings("ignore", "Unable to find acceptable character detection dependency")


def finish() -> None:
    """Collect again from now on, but never look at what was loaded. A handler's last line."""
    gc.freeze()
    gc.enable()
