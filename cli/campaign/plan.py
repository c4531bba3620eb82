"""The plan of a campaign: each row is checked by the bundle's own rules, and valid rows are put into batches.

All keys that prevent a second send are derived from the content. A row without a reference gets one made of the
campaign's name, the number and the text. A batch's Idempotency-Key is made of its body. So the same command makes the
same requests again, and a corrected file sends only its new rows.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cli.campaign.people import REFERENCE, TEXT, TO, CampaignError, People, Row
from cli.campaign.placeholders import MissingValueError, TextWithPlaceholders
from cxone_messaging.domain.sms import Checked, SmsRequest, SmsRules, check
from cxone_messaging.segments import SegmentCount

# The API accepts 10,000 messages and 5 MiB. Smaller batches are submitted sooner, and cheaper to read.
MAXIMUM_BATCH_MESSAGES = 10_000
BATCH_MESSAGES, BATCH_BYTES = 2_000, 4 * 1024 * 1024
_REFERENCE_LIMIT = 255


@dataclass(frozen=True, slots=True)
class Message:
    """A row that can be sent."""

    line: int
    request: SmsRequest
    reference: str
    size: SegmentCount
    masked: str

    def written(self) -> str:
        """Return the message as the API expects it."""
        fields = {"to": self.request.to, "text": self.request.text, "reference": self.reference}
        return json.dumps(fields, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is not sent, and the codes of the reasons: the API's, or ours for faults of a file."""

    line: int
    masked: str
    codes: tuple[str, ...]


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
        return None if self.text is None else TextWithPlaceholders(self.text, self.people.columns)

    def _checked(
        self, row: Row, common_text: TextWithPlaceholders | None, rules: SmsRules, seen: set[bytes]
    ) -> Message | Refused:
        codes = ["too_many_cells"] if row.has_too_many_cells else []
        try:
            text = common_text.filled(row.values) if common_text else row.values.get(TEXT, "")
        except MissingValueError:
            text = "-"
            codes.append("missing_value")
        request = SmsRequest(row.values.get(TO, ""), text, self.campaign_id, self.sender)
        checked = check(request, rules)
        codes += [error.code.value for error in checked.errors]
        reference = self._reference(row, checked)
        if len(reference) > _REFERENCE_LIMIT:
            codes.append("reference_too_long")
        masked = checked.to.masked if checked.to else ""
        if codes or checked.to is None or checked.size is None:
            return Refused(row.line, masked, tuple(codes))
        digest = hashlib.blake2b(reference.encode(), digest_size=16).digest()
        if digest in seen:
            return Refused(row.line, masked, ("duplicate",))
        seen.add(digest)
        request = SmsRequest(checked.to.e164, text, self.campaign_id, self.sender)
        return Message(row.line, request, reference, checked.size, masked)

    def _reference(self, row: Row, checked: Checked) -> str:
        own = row.values.get(REFERENCE)
        if own:
            return f"{self.name}/{own}"
        sms = checked.sms
        fields = [sms.to.e164, sms.text, self.campaign_id, self.sender] if sms else []
        return f"{self.name}/{hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:32]}"

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
