"""The body of a send: what is documented is taken, all else is refused."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationError

from local.simulator.dfo.errors import DfoRefusedError, invalid
from local.simulator.dfo.search import digits_of
from local.simulator.dfo.settings import Channel
from local.simulator.dfo.store import Contact, Store
from local.simulator.model import Strict
from local.simulator.settings import Settings

_DIGITS = (7, 15)  # of a phone number


class _Payload(Strict):
    text: str


class _Content(Strict):
    type: Literal["TEXT"]  # the other documented types are none of this simulator
    payload: _Payload
    fallback_text: str | None = Field(None, alias="fallbackText")
    postback: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class _Recipient(Strict):
    id: str = Field(alias="idOnExternalPlatform")
    name: str | None = None
    is_primary: bool | None = Field(None, alias="isPrimary")
    is_private: bool | None = Field(None, alias="isPrivate")


class _Thread(Strict):
    id: str = Field(alias="idOnExternalPlatform")
    name: str | None = Field(None, alias="threadName")


class _CustomField(Strict):
    ident: str
    value: str


class _Contact(Strict):
    custom_fields: list[_CustomField] = Field(default_factory=list, alias="customFields")
    skill_id: int | None = Field(None, alias="skillId")
    status: Literal["pending", "escalated", "resolved"] | None = None
    direction: Literal["inbound", "outbound"] | None = None
    status_updated_at: str | None = Field(None, alias="statusUpdatedAt")
    elevation: dict[str, Any] | None = None


class _Outbound(Strict):
    content: _Content = Field(alias="messageContent")
    thread: _Thread | None = None
    recipients: list[_Recipient] = Field(default_factory=list)
    title: str | None = None
    attachments: list[dict[str, Any]] = Field(default_factory=list)
    reply_to: dict[str, Any] | None = Field(None, alias="replyToMessage")
    is_reply: bool | None = Field(None, alias="isReplyToSpecificMessage")
    origin: dict[str, Any] | None = Field(None, alias="originChannel")
    forward: dict[str, Any] | None = None
    contact: _Contact = _Contact()


@dataclass(frozen=True, slots=True)
class Order:
    """A send that may be done."""

    contact: Contact | None  # None: a new one is to be opened
    digits: str
    text: str
    recipient: dict[str, object]
    status: str | None
    fields: dict[str, str]


def order(body: bytes, channel: Channel, store: Store, settings: Settings) -> Order:
    """Return what a body asks for; raises DfoRefusedError."""
    try:
        asked = _Outbound.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise invalid(error, settings.dfo_refusal_status) from error
    if not channel.has_outbound_flow:
        raise _refused(settings, "channelId", "the channel has no outbound flow", "no_outbound_flow")
    text = _text(asked, settings)
    fields = _fields(asked, settings)
    if not asked.recipients:
        contact = _of_thread(asked.thread, channel, store)
        if contact is None:
            raise _refused(settings, "recipients", "neither recipients nor an existing thread", "no_recipient")
        return Order(
            contact, contact.digits, text, {"idOnExternalPlatform": contact.digits}, asked.contact.status, fields
        )
    if len(asked.recipients) > 1:  # the channels' `hasMultipleRecipient` is false
        raise _refused(settings, "recipients", "the channel takes one recipient", "too_many_recipients")
    (given,) = asked.recipients
    if not _is_number(given.id, settings):
        raise _refused(settings, "recipients", "not a phone number", "invalid_recipient")
    digits = digits_of(given.id)
    known = store.open_contact(channel.id, digits) if settings.dfo_one_contact_per_number else None
    shown = given.model_dump(by_alias=True, exclude_none=True)
    return Order(known, digits, text, shown, asked.contact.status, fields)


def _text(asked: _Outbound, settings: Settings) -> str:
    text = asked.content.payload.text
    if not text.strip():
        raise _refused(settings, "messageContent.payload.text", "the text is empty", "empty_text")
    if settings.dfo_longest_text is not None and len(text) > settings.dfo_longest_text:
        raise _refused(settings, "messageContent.payload.text", "the text is too long", "text_too_long")
    return text


def _fields(asked: _Outbound, settings: Settings) -> dict[str, str]:
    fields = {each.ident: each.value for each in asked.contact.custom_fields}
    unknown = sorted(fields.keys() - set(settings.dfo_custom_fields))
    if unknown and settings.dfo_unknown_custom_field == "refuse":
        message = f"no such field: {', '.join(unknown)}"
        raise _refused(settings, "contact.customFields", message, "unknown_custom_field")
    return {ident: value for ident, value in fields.items() if ident not in unknown}


def _refused(settings: Settings, field: str, message: str, code: str) -> DfoRefusedError:
    return DfoRefusedError(settings.dfo_refusal_status, message, field=field, code=code)


def _of_thread(thread: _Thread | None, channel: Channel, store: Store) -> Contact | None:
    found = (each for each in store.contacts.values() if thread is not None and each.thread == thread.id)
    return next((each for each in found if each.channel == channel.id), None)


def _is_number(given: str, settings: Settings) -> bool:
    """Whether a number has the form that the tenant wants (assumption 3)."""
    has_plus, digits = given.startswith("+"), given.removeprefix("+")
    if has_plus and settings.dfo_number_format == "digits":
        return False
    if not has_plus and settings.dfo_number_format == "e164":
        return False
    shortest, longest = _DIGITS
    return digits == digits_of(digits) and shortest <= len(digits) <= longest and digits[:1] != "0"
