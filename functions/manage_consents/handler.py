"""`PUT` and `GET /consents/{phoneNumber}`."""

from cxone_messaging.platform import startup

# isort: split
import re
from collections.abc import Iterator
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
from cxone_messaging.domain.phone_numbers import (
    DEFAULT_COUNTRY,
    InvalidPhoneNumberError,
    PhoneNumber,
    holds_phone_number,
)
from cxone_messaging.domain.plain_text import character_fault, is_visible
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.times import time_in_the_past
from cxone_messaging.domain.typed_numbers import typed_number
from cxone_messaging.platform import aws
from cxone_messaging.platform.bodies import Body
from cxone_messaging.platform.clock import Clock, SystemClock, instant
from cxone_messaging.platform.http_api import HttpApi, HttpRequest
from cxone_messaging.platform.problems import HttpResponse
from cxone_messaging.platform.settings import Country, Settings
from cxone_messaging.platform.telemetry import EmbeddedMetrics
from cxone_messaging.use_cases.consents import ConsentFromApi, ManageConsents
from cxone_messaging.use_cases.journal import Journal

metrics = EmbeddedMetrics()

EVIDENCE_LIMIT = 500
_EVIDENCE = re.compile(r"https://[!-~]+|(?:sha256:)?[0-9A-Fa-f]{64}")


class NumberSettings(Settings):
    """The settings for reading a phone number."""

    default_country: Country = DEFAULT_COUNTRY


class ManageConsentsSettings(NumberSettings):
    """The settings for recording consent."""

    ledger_table: str
    consents_table: str
    pepper_secret_arn: str


class ConsentBody(Body):
    """A recipient's opt-in or opt-out, and its source."""

    status: Literal["opted_in", "opted_out"]
    source: str = Field(min_length=1, max_length=100)
    campaign_id: str | None = Field(default=None, min_length=1, max_length=NAME_LIMIT)
    given_at: str | None = Field(default=None, max_length=64)
    evidence: str | None = Field(default=None, max_length=EVIDENCE_LIMIT)
    overrides: Literal["reply"] | None = None


def manage_consents(ledger: Ledger, consents: ConsentStore, pseudonyms: Pseudonyms, clock: Clock) -> ManageConsents:
    """Compose the use case from its parts."""
    return ManageConsents(journal=Journal(ledger, clock), consents=consents, pseudonyms=pseudonyms, clock=clock)


@cache
def default_country() -> str:
    """Return the country of numbers without their calling code."""
    return NumberSettings.from_environment().default_country


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
    given_at = None if body.given_at is None else time_in_the_past(body.given_at, instant(SystemClock().now()))
    if errors := list(_faults(body, given_at)):
        raise MessagingError(Code.VALIDATION_FAILED, "nothing was recorded", errors=errors)
    return _answer(number, use_case().record(number, consent_of(body, given_at)))


def consent_of(body: ConsentBody, given_at: str | None) -> ConsentFromApi:
    """Return a body without faults as a domain object; `given_at` is its time in this project's form."""
    status = ConsentStatus(body.status)
    return ConsentFromApi(
        status,
        body.source,
        body.campaign_id,
        given_at,
        body.evidence,
        overrides_reply=body.overrides is not None and status is ConsentStatus.OPTED_IN,
    )


def _faults(body: ConsentBody, given_at: str | None) -> Iterator[FieldError]:
    """Yield what is wrong with a consent. Nothing that a caller gives is rewritten, so it is refused."""
    if not is_visible(body.source):
        yield FieldError(Code.INVALID_CHARACTERS, "source", "the source holds nothing that can be seen")
    elif fault := character_fault(body.source):
        yield FieldError(Code.INVALID_CHARACTERS, "source", fault)
    for field, text in (("source", body.source), ("evidence", body.evidence or "")):
        if holds_phone_number(text, default_country()):
            yield FieldError(Code.HOLDS_PHONE_NUMBER, field, "this can't hold a phone number: it is kept for good")
    if body.campaign_id and (fault := name_fault(body.campaign_id)):
        yield FieldError(Code.INVALID_CHARACTERS, "campaignId", f"a campaign's name {fault}")
    if body.given_at is not None and given_at is None:
        yield FieldError(Code.INVALID_TIME, "givenAt", "a time is RFC 3339 with a zone, and in the past")
    if body.evidence is not None and not _EVIDENCE.fullmatch(body.evidence):
        yield FieldError(Code.INVALID_EVIDENCE, "evidence", "evidence is an https URL, or a SHA-256 in hex")
    if body.overrides and body.evidence is None:
        yield FieldError(Code.INVALID_EVIDENCE, "evidence", "an override needs its evidence")


def get(request: HttpRequest) -> HttpResponse:
    """Return a recipient's consent."""
    number = number_in_path(request.path["phoneNumber"])
    return _answer(number, use_case().find(number))


def number_in_path(text: str) -> PhoneNumber:
    """Return the phone number in a path, as people type it. Raises `validation_failed` with `invalid_recipient`."""
    try:
        return typed_number(text, default_country())
    except InvalidPhoneNumberError as error:
        fault = FieldError(Code.INVALID_RECIPIENT, "phoneNumber", error.hint)
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
            **({"givenAt": consent.given_at} if consent.given_at else {}),
            **({"evidence": consent.evidence} if consent.evidence else {}),
        },
    )


handler = HttpApi({"PUT /consents/{phoneNumber}": put, "GET /consents/{phoneNumber}": get}, metrics)

startup.finish()
