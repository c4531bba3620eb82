"""The errors of a request, as codes that callers may branch on.

Texts may change, codes may not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Code(StrEnum):
    """The codes of our API's errors: problems first, then the codes in `errors` of `validation_failed`."""

    MALFORMED_REQUEST = "malformed_request"
    IDEMPOTENCY_KEY_REQUIRED = "idempotency_key_required"
    INVALID_SIGNATURE = "invalid_signature"
    ROUTE_NOT_FOUND = "route_not_found"
    MESSAGE_NOT_FOUND = "message_not_found"
    BATCH_NOT_FOUND = "batch_not_found"
    CONSENT_NOT_FOUND = "consent_not_found"
    TEMPLATE_NOT_FOUND = "template_not_found"
    IN_PROGRESS = "in_progress"
    TEMPLATE_CONFLICT = "template_conflict"
    REQUEST_TOO_LARGE = "request_too_large"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    OPTED_OUT_BY_RECIPIENT = "opted_out_by_recipient"
    AUDIT_TOO_LONG = "audit_too_long"
    VALIDATION_FAILED = "validation_failed"
    RATE_LIMITED = "rate_limited"
    CXONE_REJECTED = "cxone_rejected"
    CXONE_AUTH_FAILED = "cxone_auth_failed"
    CXONE_UNAVAILABLE = "cxone_unavailable"
    REGISTRATION_FAILED = "registration_failed"
    OUTCOME_UNKNOWN = "outcome_unknown"
    NOT_SUPPORTED = "not_supported"
    INTERNAL_ERROR = "internal_error"

    INVALID_RECIPIENT = "invalid_recipient"
    NOT_OPTED_IN = "not_opted_in"
    OPTED_OUT = "opted_out"
    HOLDS_PHONE_NUMBER = "holds_phone_number"
    INVALID_TIME = "invalid_time"
    INVALID_EVIDENCE = "invalid_evidence"
    CAMPAIGN_REQUIRED = "campaign_required"
    SENDER_REQUIRED = "sender_required"
    TEXT_REQUIRED = "text_required"
    TOO_MANY_SEGMENTS = "too_many_segments"
    INVALID_CHARACTERS = "invalid_characters"
    DUPLICATE_MESSAGE = "duplicate_message"
    INVALID_CEILING = "invalid_ceiling"

    TEMPLATE_TOO_LONG = "template_too_long"
    TEMPLATE_NOT_GSM7 = "template_not_gsm7"
    TEMPLATE_SHORTCODE_INVALID = "template_shortcode_invalid"
    TEMPLATE_OPT_OUT_MISSING = "template_opt_out_missing"


# The texts for the faults of a message of which only the code is known.
_TEXTS = {
    Code.INVALID_RECIPIENT: "a phone number is an optional plus sign and all digits of a number that can exist",
    Code.NOT_OPTED_IN: "the recipient has not opted in",
    Code.OPTED_OUT: "the recipient has opted out",
    Code.CAMPAIGN_REQUIRED: "name the campaign that the message belongs to",
    Code.SENDER_REQUIRED: "name a registered number, a short code or, with Digital Engagement, a channel to send from",
    Code.TEXT_REQUIRED: "the text is empty",
    Code.TOO_MANY_SEGMENTS: "the text takes more segments than are allowed",
    Code.INVALID_CHARACTERS: "this has a character that cannot be sent in a message",
    Code.DUPLICATE_MESSAGE: "an earlier message of this batch has the same number and text",
    Code.IDEMPOTENCY_KEY_REUSED: "an earlier message of this batch has the same reference",
}
_CAMPAIGN_FAULT = "a campaign's name has at most 128 printable characters, and no phone number among them"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of one field.

    The message says what to change and never quotes a text. It may name the number that a caller probably meant: it is
    for that caller alone, and is neither logged nor stored.
    """

    code: Code
    field: str
    message: str

    @classmethod
    def by_code(cls, code: Code, field: str) -> Self:
        """Return the error of a broken rule, with the text that follows from its code and the field alone."""
        is_name = code is Code.INVALID_CHARACTERS and field == "campaignId"
        return cls(code, field, _CAMPAIGN_FAULT if is_name else _TEXTS[code])


class MessagingError(Exception):
    """A request that cannot be fulfilled; `code` is the reason.

    `message_id` is set if a message has been recorded. `retry_after` is in whole seconds, if waiting helps. `replayed`
    means that this is an earlier request's answer. The detail is for people and contains no personal data.
    """

    def __init__(
        self,
        code: Code,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        message_id: str | None = None,
        retry_after: int | None = None,
        replayed: bool = False,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.message_id = message_id
        self.retry_after = retry_after
        self.replayed = replayed

    def about(self, message_id: str) -> "MessagingError":
        """Return the same error for a message that has been recorded."""
        return MessagingError(
            self.code,
            self.detail,
            errors=self.errors,
            message_id=message_id,
            retry_after=self.retry_after,
            replayed=self.replayed,
        )


class CxoneCallError(MessagingError):
    """A call to CXone that did not succeed.

    `http_status` is None without an answer. `in_doubt` means that CXone may have carried out the request.
    """

    def __init__(
        self,
        code: Code,
        detail: str,
        *,
        http_status: int | None = None,
        in_doubt: bool = False,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(code, detail, retry_after=retry_after)
        self.http_status = http_status
        self.in_doubt = in_doubt


class StorageError(Exception):
    """One of our own stores could not be read or written.

    A failed write may still have succeeded.
    """
