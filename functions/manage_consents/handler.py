"""`PUT` and `GET /consents/{phoneNumber}`."""

from cxone_messaging.platform import startup

# isort: split
from functools import cache
from http import HTTPStatus
from typing import Literal

from pydantic import Field

from cxone_messaging.adapters.dynamodb.consents import ConsentStore, DynamoConsentStore
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.adapters.secrets import SecretsManagerStore, read_pepper
from cxone_messaging.domain.consents import Consent, ConsentStatus
from cxone_messaging.domain.errors import Code, FieldError, MessagingError
from cxone_messaging.domain.ledger import Ledger
from cxone_messaging.domain.names import NAME_LIMIT, name_fault
from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError, PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.platform import aws
from cxone_messaging.platform.bodies import Body
from cxone_messaging.platform.clock import Clock, SystemClock
from cxone_messaging.platform.http_api import HttpApi, HttpRequest
from cxone_messaging.platform.problems import HttpResponse
from cxone_messaging.platform.settings import Settings
from cxone_messaging.platform.telemetry import EmbeddedMetrics
from cxone_messaging.use_cases.consents import ConsentFromApi, ManageConsents
from cxone_messaging.use_cases.journal import Journal

metrics = EmbeddedMetrics()


class ManageConsentsSettings(Settings):
    """The settings for recording consent."""

    ledger_table: str
    consents_table: str
    pepper_secret_arn: str


class ConsentBody(Body):
    """A recipient's opt-in or opt-out, and its source."""

    status: Literal["opted_in", "opted_out"]
    source: str = Field(min_length=1, max_length=100)
    campaign_id: str | None = Field(default=None, min_length=1, max_length=NAME_LIMIT)


def manage_consents(ledger: Ledger, consents: ConsentStore, pseudonyms: Pseudonyms, clock: Clock) -> ManageConsents:
    """Compose the use case from its parts."""
    return ManageConsents(journal=Journal(ledger, clock), consents=consents, pseudonyms=pseudonyms, clock=clock)


@cache
def use_case() -> ManageConsents:
    """Return the use case, built once an execution environment."""
    settings = ManageConsentsSettings.from_environment()
    return manage_consents(
        DynamoLedger(aws.dynamodb(), settings.ledger_table, telemetry=metrics),
        DynamoConsentStore(aws.dynamodb(), settings.consents_table),
        Pseudonyms(read_pepper(SecretsManagerStore(aws.secrets_manager()), settings.pepper_secret_arn)),
        SystemClock(),
    )


def put(request: HttpRequest) -> HttpResponse:
    """Record a recipient's opt-in or opt-out."""
    number = number_in_path(request.path["phoneNumber"])
    body = request.parse(ConsentBody)
    if body.campaign_id and (fault := name_fault(body.campaign_id)):
        error = FieldError(Code.INVALID_CHARACTERS, "campaignId", f"a campaign's name {fault}")
        raise MessagingError(Code.VALIDATION_FAILED, "nothing was recorded", errors=[error])
    consent = ConsentFromApi(ConsentStatus(body.status), body.source, body.campaign_id)
    return _answer(number, use_case().record(number, consent))


def get(request: HttpRequest) -> HttpResponse:
    """Return a recipient's consent."""
    number = number_in_path(request.path["phoneNumber"])
    return _answer(number, use_case().find(number))


def number_in_path(text: str) -> PhoneNumber:
    """Return the phone number in a path. Raises `validation_failed` with `invalid_recipient`."""
    try:
        return PhoneNumber.parse(text)
    except InvalidPhoneNumberError as error:
        fault = FieldError(Code.INVALID_RECIPIENT, "phoneNumber", str(error))
        raise MessagingError(Code.VALIDATION_FAILED, "the path contains no phone number", errors=[fault]) from None


def _answer(number: PhoneNumber, consent: Consent) -> HttpResponse:
    return HttpResponse(
        HTTPStatus.OK,
        {
            "phoneNumber": number.e164,
            "status": consent.status.value,
            "source": consent.source,
            "campaignId": consent.campaign_id,
            "updatedAt": consent.updated_at,
        },
    )


handler = HttpApi({"PUT /consents/{phoneNumber}": put, "GET /consents/{phoneNumber}": get}, metrics)

startup.finish()
