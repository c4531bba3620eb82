"""The names of the events that CXone posts to a subscriber.

The documents name the two of templates. They do not name the event of a reply, so a deployment can give its name.
"""

import re

APPROVED_EVENT, REGISTERED_EVENT = "template.approved", "a2p.registered"
TEMPLATE_EVENTS = (APPROVED_EVENT, REGISTERED_EVENT)
REPLY_EVENT = "message.inbound"


def subscribed_events(reply_event: str) -> tuple[str, ...]:
    """Return the events to subscribe to: those of templates, and `reply_event` unless it is empty."""
    return (*TEMPLATE_EVENTS, reply_event) if reply_event else TEMPLATE_EVENTS


def reply_events(reply_event: str) -> frozenset[str]:
    """Return the names that an event of a reply may have, in lower case; an event of a template never has one."""
    return frozenset({REPLY_EVENT, reply_event.casefold()}) - {"", *TEMPLATE_EVENTS}


def names_opt_out(event: str) -> bool:
    """Whether an event's name itself says that a recipient opted out, as `contact.unsubscribed` does."""
    return re.search(r"opt(?:ed|s)?[^a-z0-9]*out|unsubscri|(?:^|[^a-z])stop(?:ped)?$", event) is not None
