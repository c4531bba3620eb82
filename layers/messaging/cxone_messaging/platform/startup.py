"""A handler's first import: no garbage collection while its modules load.

Loading allocates a hundred thousand objects that all stay, so each pass over them is in vain. Together the passes take
a tenth of a cold start.
"""

import gc

gc.disable()


def finish() -> None:
    """Collect again from now on, but never look at loaded modules. A handler's last line."""
    gc.freeze()
    gc.enable()
