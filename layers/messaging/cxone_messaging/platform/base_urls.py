"""What the base URL of an API looks like."""

import re

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# URLs with these hosts reach no other machine.
_LOCAL = r"127\.0\.0\.1|localhost|\[::1\]"
_BASE_URL = re.compile(
    rf"(?:https://{_LABEL}(?:\.{_LABEL})*|http://(?:{_LOCAL}))(?::[0-9]{{1,5}})?(?:/[A-Za-z0-9._~%+-]+)*/?"
)


def is_base_url(url: str) -> bool:
    """Whether a text is https://host[:port][/path] without user, query or fragment; http for this machine alone."""
    return _BASE_URL.fullmatch(url) is not None
