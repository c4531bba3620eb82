"""What each function reads from its environment, one model a function; the template sets just these.

Read when a function first needs them, never at import: the package imports with no environment at all.
"""

import os
import re
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# Nothing here reaches another machine.
_LOCAL = r"127\.0\.0\.1|localhost|\[::1\]"
_BASE_URL = re.compile(
    rf"(?:https://{_LABEL}(?:\.{_LABEL})*|http://(?:{_LOCAL}))(?::[0-9]{{1,5}})?(?:/[A-Za-z0-9._~%+-]+)*/?"
)
_SENDER = re.compile(r"\+?[0-9]{3,15}")
_IDENTIFIER = re.compile("[!-~](?:[ -~]{0,126}[!-~])?")


# The template's parameters have the same patterns; a variable that was set by another way is held against them too. An
# error names the variable and quotes no value.
def _base_url(url: str) -> str:
    if not _BASE_URL.fullmatch(url):
        raise ValueError("must be https://host[:port][/path] without user, query or fragment")
    return url.rstrip("/")  # paths are joined to it, and begin with a slash


def _sender(number: str) -> str:
    if not _SENDER.fullmatch(number):
        raise ValueError("must be a number in international form, or a short code, in digits")
    return number


def _identifier(text: str) -> str:
    if not _IDENTIFIER.fullmatch(text):
        raise ValueError("must be at most 128 printable ASCII characters, none of them a space at an end")
    return text


BaseUrl = Annotated[str, AfterValidator(_base_url)]
Sender = Annotated[str, AfterValidator(_sender)]
Identifier = Annotated[str, AfterValidator(_identifier)]


class Settings(BaseModel):
    """Settings come from variables of the same names in capitals; an empty variable is a setting left out."""

    model_config = ConfigDict(
        frozen=True,
        hide_input_in_errors=True,
        alias_generator=str.upper,
        defer_build=True,  # a function reads one of these models only
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the settings; a missing one is named in the `ValidationError`."""
        return cls.model_validate({name: environment[name] for name in cls.variables() if environment.get(name)})

    @classmethod
    def variables(cls) -> frozenset[str]:
        """Name every variable that this model reads."""
        return frozenset(str(field.alias) for field in cls.model_fields.values())


class SenderSettings(Settings):
    """What every send needs. Timeouts are in seconds."""

    ledger_table: str
    consents_table: str
    coordination_table: str
    pepper_secret_arn: str
    credentials_secret_arn: str
    sms_token_secret_arn: str
    callback_secret_arn: str
    cxone_sms_base_url: BaseUrl
    cxone_from_number: Sender = ""
    cxone_campaign_id: Identifier = ""
    webhook_base_url: BaseUrl
    max_segments: int = Field(default=10, ge=1, le=255)
    send_timeout_seconds: float = Field(default=20.0, gt=0, le=20)
    cxone_requests_per_second: float = Field(default=100, gt=0)
    rate_utilisation_percent: float = Field(default=96, gt=0, le=100)


class SendMessageSettings(SenderSettings):
    """What sending and previewing one message need; the horizon says how long it may wait for its slot, in seconds."""

    slot_horizon_seconds: float = Field(default=5.0, gt=0)


class SendBulkSettings(SenderSettings):
    """What working off the bulk queue needs."""

    bulk_queue_url: str
    bulk_dead_letter_queue_url: str


class SubmitBulkSettings(Settings):
    """What taking a batch needs."""

    ledger_table: str
    consents_table: str
    pepper_secret_arn: str
    cxone_from_number: Sender = ""
    cxone_campaign_id: Identifier = ""
    max_segments: int = Field(default=10, ge=1, le=255)
    bulk_queue_url: str


class ManageConsentsSettings(Settings):
    """What recording consent needs."""

    ledger_table: str
    consents_table: str
    pepper_secret_arn: str


class ReadLedgerSettings(Settings):
    """What reading needs."""

    ledger_table: str


class ReceiveWebhookSettings(Settings):
    """What CXone's events need."""

    ledger_table: str
    consents_table: str
    pepper_secret_arn: str
    webhook_secret_arn: str
    callback_secret_arn: str


class ApproveTemplateSettings(Settings):
    """What validating and approving templates need."""

    ledger_table: str
    coordination_table: str
    credentials_secret_arn: str
    admin_token_secret_arn: str
    webhook_secret_arn: str
    cxone_api_base_url: BaseUrl
    cxone_operator_id: Identifier = ""
    webhook_base_url: BaseUrl


class CheckpointLedgerSettings(Settings):
    """What a day's checkpoint needs."""

    ledger_table: str


class SweepLedgerSettings(Settings):
    """What the sweep needs; a message may be unknown for so many minutes before it is counted."""

    ledger_table: str
    unknown_patience_minutes: float = Field(default=60, ge=1)
