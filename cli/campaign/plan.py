"""What is to be sent: each row checked by the bundle's own rules, the good ones put together into batches.

Everything that keeps a message from being sent twice is derived from what is sent. A row without a reference gets one
made of the campaign's name, the number and the text; a batch's Idempotency-Key is made of its body. So the same command
asks for the same again, and a file that was mended meanwhile sends only what is new in it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cli.campaign.people import REFERENCE, TEXT, TO, CampaignError, People, Row
from cli.campaign.wording import MissingValueError, Wording
from cxone_messaging.domain.sms import Checked, SmsRequest, SmsRules, check
from cxone_messaging.segments import SegmentCount

# The API takes 10,000 messages and 5 MiB. Smaller batches are soon submitted, and cheaper to look at.
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
        """Write the message as the API takes it."""
        fields = {"to": self.request.to, "text": self.request.text, "reference": self.reference}
        return json.dumps(fields, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is not sent, and the codes that say why: the API's own, or ours for what only a file can have."""

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
        """The Idempotency-Key: the same for the same messages, whenever and by whomever they are submitted."""
        return f"campaign/{hashlib.sha256(self.body).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A file, and what everybody in it is told. A campaign id or a sender of None is the deployment's own."""

    name: str
    people: People
    text: str | None
    campaign_id: str | None = None
    sender: str | None = None
    max_segments: int = 10
    batch_messages: int = BATCH_MESSAGES

    def rows(self) -> Iterator[Message | Refused]:
        """Check each row, from the first to the last. Raises `CampaignError`."""
        wording = self._wording()
        # Only the deployment knows what it fills in for these two, so it decides whether they are missing.
        rules = SmsRules(default_campaign_id="-", default_sender="-", max_segments=self.max_segments)
        seen: set[bytes] = set()
        for row in self.people.rows():
            yield self._checked(row, wording, rules, seen)

    def _wording(self) -> Wording | None:
        has_texts = TEXT in self.people.columns
        if has_texts == (self.text is not None):
            both = "there is a text for everybody and a column `text` in the file; choose one"
            raise CampaignError(both if has_texts else "there is nothing to send: give a text, or a column `text`")
        return None if self.text is None else Wording(self.text, self.people.columns)

    def _checked(self, row: Row, wording: Wording | None, rules: SmsRules, seen: set[bytes]) -> Message | Refused:
        codes = ["too_many_cells"] if row.has_too_many_cells else []
        try:
            text = wording.filled(row.values) if wording else row.values.get(TEXT, "")
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
        asked = [sms.to.e164, sms.text, self.campaign_id, self.sender] if sms else []
        return f"{self.name}/{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]}"

    def batches(self, rows: Iterable[Message | Refused]) -> Iterator[Batch]:
        """Put the good rows together, in their order."""
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
