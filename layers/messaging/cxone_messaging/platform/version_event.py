"""The version event: a function answers it with its version, and does nothing else for it.

No trigger sends it: API Gateway, the queue and the schedules send other events. `cxone-messaging doctor` and `smoke`
invoke functions with it. The answer shows that a function starts, and the version of the code that runs.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from cxone_messaging import __version__

VERSION_EVENT = {"cxone-messaging": "version"}
ANSWER = {"version": __version__}

type Handler = Callable[[Any, Any], dict[str, Any]]


def answers_version_event(handler: Handler) -> Handler:
    """Return a handler that answers the version event, and passes all other events to `handler`."""

    @wraps(handler)
    def answer(event: Any, context: Any) -> dict[str, Any]:
        return ANSWER if event == VERSION_EVENT else handler(event, context)

    return answer
