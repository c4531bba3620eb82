"""The plan of a campaign: each row is checked by the bundle's own rules, and valid rows are put into batches.

All keys that prevent a second send are derived from the content. A row's own reference is its key everywhere. A row
without one gets a reference made of the campaign's name, the number and the text. A batch's Idempotency-Key is made of
its body. So the same command makes the same requests again, and a corrected file sends only its new rows.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cli.campaign.numbers import RecipientError, is_as_written, recipient
from cli.campaign.people import REFERENCE, TEXT, CampaignError, People, Row, without_unseen
from cli.campaign.placeholders import USUAL_FIELDS, MissingValueError, TextWithPlaceholders, is_error_value, slip_in
from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.phone_numbers import DEFAULT_COUNTRY, PhoneNumber, country_of
from cxone_messaging.domain.plain_text import same_to_a_reader
from cxone_messaging.domain.sms import SmsRequest, SmsRules, check
from cxone_messaging.segments import SegmentCount

# The API accepts 10,000 messages and 5 MiB. Smaller batches are submitted sooner, and cheaper to read.
MAXIMUM_BATCH_MESSAGES = 10_000
BATCH_MESSAGES, BATCH_BYTES = 2_000, 4 * 1024 * 1024
_REFERENCE_LIMIT = 255
# A quotation mark without its other one takes the rows that follow into its cell.
_SWALLOWED_LINE = re.compile(r"\n[\s\"']*\+?[0-9 ()./-]{7,}")


@dataclass(frozen=True, slots=True)
class Message:
    """A row that can be sent.

    `rewritten` means that the file has the number in another writing, `repeats` that an earlier row has the same number
    and text under another reference.
    """

    line: int
    request: SmsRequest
    reference: str
    size: SegmentCount
    masked: str
    country: str
    rewritten: bool = False
    repeats: bool = False

    def written(self) -> str:
        """Return the message as a batch has it."""
        return json.dumps(self._fields(), ensure_ascii=False)

    def alone(self) -> dict[str, str]:
        """Return the message with what its batch has for all of them."""
        common = {"campaignId": self.request.campaign_id, "from": self.request.sender}
        return self._fields() | {name: value for name, value in common.items() if value}

    def _fields(self) -> dict[str, str]:
        return {"to": self.request.to, "text": self.request.text, "reference": self.reference}


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is not sent, and the codes of the reasons: the API's, or ours for faults of a file.

    The `hint` says what to write instead. It names the numbers that a cell may mean.
    """

    line: int
    masked: str
    codes: tuple[str, ...]
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages for one `POST /messages/bulk`."""

    messages: tuple[Message, ...]
    body: bytes

    @property
    def key(self) -> str:
        """The Idempotency-Key: the same for the same messages, whenever and from wherever they are submitted."""
        return f"campaign/{hashlib.sha256(self.body).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A file and the message to its recipients; a campaign id or sender of None is the deployment's."""

    name: str
    people: People
    text: str | None
    campaign_id: str | None = None
    sender: str | None = None
    max_segments: int = 10
    country: str = DEFAULT_COUNTRY
    is_literal: bool = False
    batch_messages: int = BATCH_MESSAGES

    def rows(self) -> Iterator[Message | Refused]:
        """Yield each row after its check, in their order. Raises `CampaignError`."""
        common_text = self._common_text()
        # Only the deployment knows its defaults for these two, so it decides whether they are missing.
        rules = SmsRules(default_campaign_id="-", default_sender="-", max_segments=self.max_segments)
        seen: set[bytes] = set()
        for row in self.people.rows():
            yield self._checked(row, common_text, rules, seen)

    def _common_text(self) -> TextWithPlaceholders | None:
        has_texts = TEXT in self.people.columns
        if has_texts == (self.text is not None):
            both = "there is a text for everybody and a column `text` in the file; choose one"
            raise CampaignError(both if has_texts else "there is nothing to send: give a text, or a column `text`")
        if self.text is None:
            return None
        return TextWithPlaceholders(self.text, self.people.columns, is_literal=self.is_literal)

    def _checked(
        self, row: Row, common_text: TextWithPlaceholders | None, rules: SmsRules, seen: set[bytes]
    ) -> Message | Refused:
        codes, hints = _misplaced(row)
        text = "-"
        try:
            text = common_text.filled(row.values) if common_text else self._own_text(row)
        except MissingValueError:
            codes.append("missing_value")
        except CampaignError as slip:
            codes.append("slip_in_text")
            hints.append(str(slip))
        cell = row.values.get(self.people.to_column, "")
        to: PhoneNumber | None = None
        try:
            to = recipient(cell, self.country)
        except RecipientError as error:
            codes.append(error.code)
            hints.append(str(error))
        checked = check(SmsRequest(to.e164 if to else "", text, self.campaign_id, self.sender), rules)
        for broken in checked.errors:
            if broken.code is not Code.INVALID_RECIPIENT:
                codes.append(broken.code.value)
                hints.append(broken.message)
        own = without_unseen(row.values.get(REFERENCE, ""))
        if len(own) > _REFERENCE_LIMIT:
            codes.append("reference_too_long")
        elif is_error_value(own):
            codes.append("missing_value")
            hints.append("the reference is a spreadsheet's error")
        masked = to.masked if to else ""
        if codes or to is None or checked.size is None:
            return Refused(row.line, masked, tuple(dict.fromkeys(codes)), "; ".join(hints))
        content = hashlib.sha256(
            json.dumps([to.e164, same_to_a_reader(text), self.campaign_id, self.sender]).encode()
        ).hexdigest()[:32]
        reference = own or f"{self.name}/{content}"
        digest, same = (hashlib.blake2b(each.encode(), digest_size=16).digest() for each in (reference, f"={content}"))
        if digest in seen:
            return Refused(row.line, masked, ("duplicate",), "an earlier row has the same reference" if own else "")
        repeats = same in seen
        seen |= {digest, same}
        request = SmsRequest(to.e164, text, self.campaign_id, self.sender)
        country, rewritten = country_of(to.e164, self.country), not is_as_written(cell, to)
        return Message(row.line, request, reference, checked.size, masked, country, rewritten, repeats)

    def _own_text(self, row: Row) -> str:
        """Return the text of a row. Raises `MissingValueError`, and `CampaignError` for a slip."""
        text = row.values.get(TEXT, "")
        if is_error_value(text):
            raise MissingValueError
        slip = None if self.is_literal else slip_in(text, {*self.people.columns, *USUAL_FIELDS})
        if slip:
            raise CampaignError(f"the text has {slip[0]}, which is not filled in a column `text`; --literal sends it")
        return text

    def batches(self, rows: Iterable[Message | Refused]) -> Iterator[Batch]:
        """Yield batches of the valid rows, in their order."""
        common = {"campaignId": self.campaign_id, "from": self.sender}
        head = "".join(f"{json.dumps(name)}: {json.dumps(value)}, " for name, value in common.items() if value)
        messages: list[Message] = []
        written: list[str] = []
        size = 0

        def batch() -> Batch:
            return Batch(tuple(messages), f'{{{head}"messages": [{", ".join(written)}]}}'.encode())

        for message in rows:
            if isinstance(message, Refused):
                continue
            text = message.written()
            length = len(text.encode()) + 2
            if len(messages) == self.batch_messages or (messages and size + length > BATCH_BYTES):
                yield batch()
                messages, written, size = [], [], 0
            messages.append(message)
            written.append(text)
            size += length
        if messages:
            yield batch()


def _misplaced(row: Row) -> tuple[list[str], list[str]]:
    """Return the codes and the reasons of cells that are not where they belong."""
    codes = ["too_many_cells"] if row.has_too_many_cells else []
    if not any(_SWALLOWED_LINE.search(each) for each in row.values.values()):
        return codes, []
    hint = "a cell goes on to the next line, which begins with a number: a quotation mark is missing"
    return [*codes, "line_in_cell"], [hint]
