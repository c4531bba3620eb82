"""Every minute, with an API that posts no events: collect receipts and replies, and look up messages in doubt."""

from cxone_messaging.platform import startup

# isort: split
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache
from typing import Any

from cxone_messaging.adapters.cxone.message_records import MessageRecords
from cxone_messaging.adapters.dynamodb.collection_item import CollectionItem, CollectionStore
from cxone_messaging.adapters.dynamodb.consents import DynamoConsentStore
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.adapters.dynamodb.used_channels import UsedChannels
from cxone_messaging.adapters.secrets import SecretsManagerStore, read_pepper
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.phone_numbers import DEFAULT_COUNTRY
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.platform import aws
from cxone_messaging.platform.clock import Clock, SystemClock
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.platform.settings import Country, Identifier, Words
from cxone_messaging.platform.telemetry import EmbeddedMetrics, Telemetry, make_logger
from cxone_messaging.platform.version_event import answers_version_event
from cxone_messaging.use_cases.events.collect import Collect, OtherRunError
from cxone_messaging.use_cases.events.look_up import LookUp
from cxone_messaging.use_cases.events.record_events import RecordEvents
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.use_cases.message_trail import MessageTrail
from cxone_messaging.wiring import dfo
from cxone_messaging.wiring.events import record_events
from cxone_messaging.wiring.tokens import SmsTokenSettings

metrics = EmbeddedMetrics()
logger = make_logger()

# Events that are recorded at the same time.
_AT_ONCE = 16


class CollectReceiptsSettings(SmsTokenSettings):
    """The settings of the collector."""

    ledger_table: str
    consents_table: str
    pepper_secret_arn: str
    cxone_channel_id: Identifier = ""  # a rule of the template asks for it
    default_country: Country = DEFAULT_COUNTRY
    extra_opt_out_words: Words = ""


def collect(
    *,
    ledger: Ledger,
    records: MessageRecords,
    events: RecordEvents,
    store: CollectionStore,
    pseudonyms: Callable[[], Pseudonyms],
    channels: Callable[[], Iterable[str]],
    executor: Executor,
    clock: Clock,
    telemetry: Telemetry,
) -> Collect:
    """Compose the use case from its parts; `channels` returns the channels to collect of, anew at each run."""
    trail = MessageTrail(Journal(ledger, clock), clock, telemetry)
    return Collect(
        records=records,
        events=events,
        owner_of=ledger.subject_of_cxone_message,
        look_up=LookUp(trail, pseudonyms, clock),
        store=store,
        channels=channels,
        executor=executor,
        clock=clock,
        telemetry=telemetry,
    )


def all_channels(used: UsedChannels, own: str) -> frozenset[str]:
    """Return the deployment's own channel, and all that messages went out by. Raises `StorageError`."""
    used.add(own)
    return used.read() | {own}


@cache
def use_case() -> Collect:
    """Return the use case, built once an execution environment."""
    settings, clock = CollectReceiptsSettings.from_environment(), SystemClock()
    ledger = DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=metrics)
    store = SecretsManagerStore(aws.secrets_manager())
    pseudonyms = cache(lambda: Pseudonyms(read_pepper(store, settings.pepper_secret_arn)))
    used = UsedChannels(aws.dynamodb(), settings.coordination_table)
    return collect(
        ledger=ledger,
        records=dfo.message_records(settings, metrics),
        events=record_events(
            ledger=ledger,
            consents=DynamoConsentStore(aws.dynamodb(), settings.consents_table),
            pseudonyms=pseudonyms,
            clock=clock,
            telemetry=metrics,
            country=settings.default_country,
            extra_opt_out_words=settings.extra_opt_out_words,
        ),
        store=CollectionItem(aws.dynamodb(), settings.coordination_table, clock),
        pseudonyms=pseudonyms,
        channels=lambda: all_channels(used, settings.cxone_channel_id),
        executor=ThreadPoolExecutor(_AT_ONCE),
        clock=clock,
        telemetry=metrics,
    )


@answers_version_event
def handler(_event: object, context: Any) -> dict[str, int]:
    """Do one run, whatever the event is, and return its counts."""
    try:
        collected = use_case()(Deadline.of_invocation(context, SystemClock()))
    except OtherRunError:
        logger.info("another run is under way", requestId=context.aws_request_id)
        return {}
    finally:
        metrics.flush()
    counts = {
        "reads": collected.reads,
        "receipts": collected.receipts,
        "replies": collected.replies,
        "adopted": len(collected.looked_up.adopted),
        "ambiguous": collected.looked_up.ambiguous,
        "behindSeconds": round(collected.behind),
    }
    logger.info("collected", requestId=context.aws_request_id, counts=counts)
    return counts


startup.finish()
