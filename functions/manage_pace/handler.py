"""`GET` and `PUT /pace`."""

from cxone_messaging.platform import startup

# isort: split
from functools import cache
from http import HTTPStatus

from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.adapters.dynamodb.pace_item import PaceItem, PaceStore
from cxone_messaging.adapters.queue import QueueLength, SqsQueueLength
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.pace import AccountRate
from cxone_messaging.domain.sender_rates import SenderRates
from cxone_messaging.platform import aws
from cxone_messaging.platform.bodies import Body
from cxone_messaging.platform.clock import Clock, SystemClock
from cxone_messaging.platform.http_api import HttpApi, HttpRequest
from cxone_messaging.platform.problems import HttpResponse
from cxone_messaging.platform.rate_settings import RateSettings
from cxone_messaging.platform.telemetry import EmbeddedMetrics
from cxone_messaging.use_cases.journal import Journal
from cxone_messaging.use_cases.upkeep.pace import ManagePace, PaceNow

metrics = EmbeddedMetrics()


class ManagePaceSettings(RateSettings):
    """The settings for showing and limiting the pace."""

    ledger_table: str
    coordination_table: str
    bulk_queue_url: str


class PaceBody(Body):
    """A ceiling in requests a second; 0 stops all sending."""

    ceiling: float


def manage_pace(
    ledger: Ledger, item: PaceStore, queue: QueueLength, rate: AccountRate, senders: SenderRates, *, clock: Clock
) -> ManagePace:
    """Compose the use case from its parts."""
    return ManagePace(journal=Journal(ledger, clock), item=item, queue=queue, rate=rate, senders=senders, clock=clock)


@cache
def use_case() -> ManagePace:
    """Return the use case, built once an execution environment."""
    settings = ManagePaceSettings.from_environment()
    return manage_pace(
        DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=metrics),
        PaceItem(aws.dynamodb(), settings.coordination_table),
        SqsQueueLength(aws.sqs(), settings.bulk_queue_url),
        settings.rate,
        settings.sender_rates,
        clock=SystemClock(),
    )


def get(_: HttpRequest) -> HttpResponse:
    """Return the pace in force."""
    return _answer(use_case().read())


def put(request: HttpRequest) -> HttpResponse:
    """Set the ceiling, and return the pace in force."""
    return _answer(use_case().set_ceiling(request.parse(PaceBody).ceiling, request.caller))


def _answer(pace: PaceNow) -> HttpResponse:
    return HttpResponse(
        HTTPStatus.OK,
        {
            "ceiling": pace.ceiling,
            "deployedCeiling": pace.deployed_ceiling,
            "pace": pace.pace,
            "perMinute": pace.per_minute,
            **({"heldUntil": pace.held_until} if pace.held_until else {}),
            "holds": pace.holds,
            "circuit": pace.circuit.value,
            "senders": dict(pace.senders),
            "queued": pace.queued,
            "queueSeconds": pace.queue_seconds,
        },
    )


handler = HttpApi({"GET /pace": get, "PUT /pace": put}, metrics)

startup.finish()
