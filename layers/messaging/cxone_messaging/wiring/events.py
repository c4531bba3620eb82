"""The composition of what records CXone's events, whether CXone posts them or they are collected."""

from collections.abc import Callable
from functools import cache

from cxone_messaging.adapters.dynamodb.consents import ConsentStore
from cxone_messaging.domain.keywords import phrases
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.phone_numbers import DEFAULT_COUNTRY
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.use_cases.consents import ManageConsents
from cxone_messaging.use_cases.events.delivery import RecordDelivery
from cxone_messaging.use_cases.events.record_events import RecordEvents
from cxone_messaging.use_cases.events.subscription import RecordEvent
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.use_cases.message_trail import MessageTrail


def record_delivery(ledger: Ledger, clock: Clock, telemetry: Telemetry) -> RecordDelivery:
    """Compose the recorder of delivery events from its parts."""
    return RecordDelivery(MessageTrail(Journal(ledger, clock), clock, telemetry), clock)


def record_events(
    *,
    ledger: Ledger,
    consents: ConsentStore,
    pseudonyms: Callable[[], Pseudonyms],
    clock: Clock,
    telemetry: Telemetry,
    country: str = DEFAULT_COUNTRY,
    reply_event: str = "",
    extra_opt_out_words: str = "",
) -> RecordEvents:
    """Compose the recorder of all events from its parts; `extra_opt_out_words` have commas between them.

    Few events need `pseudonyms`, so its secret is read only for those.
    """
    journal = Journal(ledger, clock)

    @cache
    def manage_consents() -> ManageConsents:
        return ManageConsents(journal=journal, consents=consents, pseudonyms=pseudonyms(), clock=clock)

    @cache
    def record_event() -> RecordEvent:
        extra = phrases(extra_opt_out_words.split(","))
        return RecordEvent(
            journal,
            manage_consents(),
            pseudonyms(),
            clock,
            country=country,
            reply_event=reply_event,
            extra_words=extra,
        )

    return RecordEvents(
        record_delivery=record_delivery(ledger, clock, telemetry),
        record_event=record_event,
        consents=manage_consents,
        clock=clock,
        country=country,
    )
