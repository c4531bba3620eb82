"""The event at which `approve-template` keeps the subscription to CXone's events.

Its schedule sends it, and so does `cxone-messaging subscribe`, which does not wait for the next try. API Gateway cannot
send it: it wraps what it sends.
"""

_NAME, _SUBSCRIBE = "cxone-messaging", "subscribe"
SUBSCRIBE_EVENT = {_NAME: _SUBSCRIBE}
SUBSCRIBE_NOW_EVENT = {**SUBSCRIBE_EVENT, "now": True}


def is_subscribe_event(event: object) -> bool:
    """Whether an event asks for the subscription to be kept."""
    return isinstance(event, dict) and event.get(_NAME) == _SUBSCRIBE
