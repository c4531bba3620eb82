"""An SMS as a caller requests it, and the rules that it must keep before it is sent."""

from dataclasses import dataclass

from cxone_messaging import segments
from cxone_messaging.domain.errors import Code, FieldError
from cxone_messaging.domain.names import name_fault
from cxone_messaging.domain.phone_numbers import DEFAULT_COUNTRY, InvalidPhoneNumberError, PhoneNumber
from cxone_messaging.domain.plain_text import character_fault, is_visible


@dataclass(frozen=True, slots=True)
class SmsRequest:
    """One SMS as the caller requests it, before defaults are filled in."""

    to: str = ""
    text: str = ""
    campaign_id: str | None = None
    sender: str | None = None


@dataclass(frozen=True, slots=True)
class Sms:
    """An SMS that keeps every rule that can be checked without I/O.

    `is_looked_up` means that its API can be asked what became of it.
    """

    to: PhoneNumber
    text: str
    campaign_id: str
    sender: str
    size: segments.SegmentCount
    is_looked_up: bool = False


@dataclass(frozen=True, slots=True)
class SmsRules:
    """The limits of a request, the defaults of its optional fields, and the country of national numbers.

    `is_looked_up` is that of its messages.
    """

    default_campaign_id: str
    default_sender: str
    max_segments: int
    default_country: str = DEFAULT_COUNTRY
    needs_campaign: bool = True
    is_looked_up: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """A request after its check: every violation, and the parts of the message that are valid."""

    errors: tuple[FieldError, ...]
    to: PhoneNumber | None
    size: segments.SegmentCount | None
    sms: Sms | None


def check(request: SmsRequest, rules: SmsRules) -> Checked:
    """Return the check of a request against all rules, so that a caller can fix all faults at once."""
    errors: list[FieldError] = []
    to: PhoneNumber | None = None
    try:
        to = PhoneNumber.parse(request.to, rules.default_country)
    except InvalidPhoneNumberError as error:
        errors.append(FieldError(Code.INVALID_RECIPIENT, "to", error.hint))
    # A blank name is the caller's mistake, and not a request for the default.
    campaign_id = rules.default_campaign_id if request.campaign_id is None else request.campaign_id
    if not campaign_id and request.campaign_id is None and not rules.needs_campaign:
        pass
    elif not campaign_id.strip():
        errors.append(FieldError.by_code(Code.CAMPAIGN_REQUIRED, "campaignId"))
    elif fault := name_fault(campaign_id):
        errors.append(FieldError(Code.INVALID_CHARACTERS, "campaignId", f"a campaign's name {fault}"))
    sender = rules.default_sender if request.sender is None else request.sender
    if not sender.strip():
        errors.append(FieldError.by_code(Code.SENDER_REQUIRED, "from"))
    elif fault := character_fault(sender):
        errors.append(FieldError(Code.INVALID_CHARACTERS, "from", fault))
    size, text_error = _measured(request.text, rules.max_segments)
    if text_error:
        errors.append(text_error)
    if errors or to is None or size is None:
        return Checked(tuple(errors), to, size, None)
    return Checked((), to, size, Sms(to, request.text, campaign_id, sender, size, rules.is_looked_up))


def _measured(text: str, max_segments: int) -> tuple[segments.SegmentCount | None, FieldError | None]:
    """Return a text's segments, and what is wrong with it. A text of too many segments has both."""
    if not text.strip():
        return None, FieldError.by_code(Code.TEXT_REQUIRED, "text")
    if fault := character_fault(text):
        return None, FieldError(Code.INVALID_CHARACTERS, "text", fault)
    try:
        size = segments.count(text)
    except segments.InvalidCharacterError as error:
        return None, FieldError(Code.INVALID_CHARACTERS, "text", str(error))
    if not is_visible(text):
        return None, FieldError.by_code(Code.TEXT_REQUIRED, "text")
    if size.segments > max_segments:
        fault = f"the text takes {size.segments} segments of {size.encoding}, at most {max_segments} are allowed"
        return size, FieldError(Code.TOO_MANY_SEGMENTS, "text", fault)
    return size, None
