"""`PUT` and `GET /consents/{phoneNumber}`."""

from cxone_messaging.platform import startup

# isort: split
from functools import cache
from http import HTTPStatus
from typing import Literal

from pydantic import Field

from cxone_messaging.assembly import consents
from cxone_messaging.domain.consents import Consent, ConsentStatus
from cxone_messaging.domain.errors import Code, FieldError, MessagingError
from cxone_messaging.domain.names import NAME_LIMIT, name_fault
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.platform.bodies import Body
from cxone_messaging.platform.http_api import HttpApi, HttpRequest, HttpResponse
from cxone_messaging.platform.settings import ManageConsentsSettings
from cxone_messaging.platform.telemetry import EmbeddedMetrics
from cxone_messaging.use_cases.consents import GivenConsent, ManageConsents, number_in_path

metrics = EmbeddedMetrics("manage_consents")


class ConsentBody(Body):
    """A recipient's word, and where it was given."""

    status: Literal["opted_in", "opted_out"]
    source: str = Field(min_length=1, max_length=100)
    campaign_id: str | None = Field(default=None, min_length=1, max_length=NAME_LIMIT)


@cache
def use_case() -> ManageConsents:
    """Build the use case once an execution environment."""
    return consents.manage_consents(ManageConsentsSettings.from_environment(), metrics)


def put(request: HttpRequest) -> HttpResponse:
    """Record what a recipient said."""
    number = number_in_path(request.path["phoneNumber"])
    body = request.parse(ConsentBody)
    if body.campaign_id and (fault := name_fault(body.campaign_id)):
        told = FieldError(Code.INVALID_CHARACTERS, "campaignId", f"a campaign's name {fault}")
        raise MessagingError(Code.VALIDATION_FAILED, "nothing was recorded", errors=[told])
    given = GivenConsent(ConsentStatus(body.status), body.source, body.campaign_id)
    return _answer(number, use_case().record(number, given))


def get(request: HttpRequest) -> HttpResponse:
    """Show what a recipient said last."""
    number = number_in_path(request.path["phoneNumber"])
    return _answer(number, use_case().find(number))


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
