"""A template's approval: the data exchanged with CXone, and the state in `template#<id>`.

Entries contain the template's `version`, a hash of the parts that carriers judge. An edited template starts anew: steps
that were done for another version do not count.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cxone_messaging.domain import subjects
from cxone_messaging.domain.approval_steps import Step
from cxone_messaging.domain.entries import Entry, EntryType, Value, number_at, text_at
from cxone_messaging.domain.event_names import APPROVED_EVENT, REGISTERED_EVENT


class ApprovalStatus(StrEnum):
    """The status of an approval: `APPROVED` is CXone's value, `PENDING` and `INVALID` are ours."""

    PENDING = "PENDING"
    INVALID = "INVALID"
    APPROVED = "APPROVED"


@dataclass(frozen=True, slots=True)
class Registration:
    """The data that registers a template with the carriers' gateway."""

    campaign_name: str
    message_class: str
    opt_in_language: str

    @classmethod
    def of(cls, data: Mapping[str, Value]) -> "Registration | None":
        """Return the registration in an entry's data; None if it is incomplete."""
        values = [text_at(data, name) for name in ("campaignName", "messageClass", "optInLanguage")]
        return cls(*(value for value in values if value)) if all(values) else None

    def data(self) -> dict[str, Value]:
        """Return it as an entry's data."""
        return {
            "campaignName": self.campaign_name,
            "messageClass": self.message_class,
            "optInLanguage": self.opt_in_language,
        }


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An approval's record in CXone's audit log.

    It is the same whenever and by whichever process it is sent.
    """

    template_id: str
    timestamp: str
    latency_ms: int
    operator_id: str
    carrier_ready: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """CXone's answer to a call that succeeded: its status, its id and its truncated body."""

    http_status: int
    id: str | None = None
    answer: str | None = None

    def data(self) -> dict[str, Value]:
        """Return it as an entry's data."""
        data: dict[str, Value] = {"httpStatus": self.http_status}
        return data | ({"answer": self.answer} if self.answer is not None else {})


@dataclass(frozen=True, slots=True)
class Approval:
    """A template's approval, for the version that was fetched last.

    The latency is in milliseconds. `carrier_ready` is true once CXone has answered the registration, or has sent an
    event about it. Such an event also makes the approval `carrier_confirmed`.
    """

    template_id: str
    version: str | None
    status: ApprovalStatus
    carrier_ready: bool
    carrier_confirmed: bool
    registration_id: str | None
    subscribed: bool
    published: bool
    latency_ms: int | None
    operator_id: str | None
    violations: tuple[str, ...]
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "Approval":
        """Return the approval that a template's entries record; there must be at least one entry.

        CXone's events may be anywhere among them. Of tampered entries, the valid parts are read.
        """
        fetched = [entry for entry in entries if entry.type == EntryType.FETCHED and text_at(entry.data, "version")]
        version = text_at(fetched[-1].data, "version") if fetched else None
        own = [entry for entry in entries if entry.data.get("version") == version] if version else []
        last = {entry.type: entry for entry in own}
        registered = last.get(EntryType.REGISTERED)
        confirmed = _is_confirmed(entries, version, own[0].timestamp if own else "")
        validated = last.get(EntryType.VALIDATED)
        approved = last.get(EntryType.APPROVED)
        latest = registered or approved or (own[-1] if own else None)
        return cls(
            template_id=subjects.id_in(entries[0].subject),
            version=version,
            status=_status(entries, approved, validated),
            carrier_ready=registered is not None or confirmed,
            carrier_confirmed=confirmed,
            registration_id=text_at(registered.data, "registrationId") if registered else None,
            subscribed=EntryType.SUBSCRIBED in last,
            published=EntryType.PUBLISHED in last,
            latency_ms=number_at(registered.data, "approvalLatencyMs") if registered else None,
            operator_id=text_at(latest.data, "operator") if latest else None,
            violations=tuple(str(each) for each in _list(validated.data, "violations")) if validated else (),
            created_at=entries[0].timestamp,
            updated_at=entries[-1].timestamp,
        )


def registered_since(entries: Sequence[Entry], doubtful: Sequence[Entry]) -> Entry | None:
    """Return the event that confirms a registration whose answer was lost; None if there is none.

    The event's own time counts. An event from before the first doubtful try is about an earlier registration. An event
    that may be about another version proves nothing: a second registration does less harm than none.
    """
    if not doubtful:
        return None
    version, since = text_at(doubtful[0].data, "version"), doubtful[0].timestamp
    events = (entry for entry in entries if _is_event(entry, REGISTERED_EVENT) and _happened_at(entry) >= since)
    return next((event for event in events if set(_tried(entries, _happened_at(event))) == {version}), None)


def _status(entries: Iterable[Entry], approved: Entry | None, validated: Entry | None) -> ApprovalStatus:
    if validated and not validated.data.get("valid") and (not approved or validated.sequence > approved.sequence):
        return ApprovalStatus.INVALID
    if approved or (validated is None and any(_is_event(entry, APPROVED_EVENT) for entry in entries)):
        return ApprovalStatus.APPROVED
    return ApprovalStatus.PENDING


def _is_confirmed(entries: Sequence[Entry], version: str | None, since: str) -> bool:
    """Whether an event confirms a version's registration.

    It counts for the version last tried before it.
    """
    events = (_happened_at(entry) for entry in entries if _is_event(entry, REGISTERED_EVENT))
    return any(_tried(entries, at)[-1:] in ([], [version]) for at in events if at >= since)


def _tried(entries: Iterable[Entry], until: str) -> list[str | None]:
    """Return the versions that may have been registered by `until`, in the order of their tries."""
    tries: dict[str | None, str | None] = {}
    for entry in entries:
        owner = text_at(entry.data, "owner")
        if entry.data.get("step") != Step.REGISTER:
            continue
        if entry.type == EntryType.STEP_CLAIMED and entry.timestamp <= until:
            tries[owner] = text_at(entry.data, "version")
        elif entry.type == EntryType.STEP_FAILED and not entry.data.get("inDoubt"):
            tries.pop(owner, None)
    return list(tries.values())


def _happened_at(event: Entry) -> str:
    return text_at(event.data, "instant") or ""


def _is_event(entry: Entry, event: str) -> bool:
    return entry.type == EntryType.TEMPLATE_EVENT and entry.data.get("event") == event


def _list(data: Mapping[str, Value], key: str) -> list[Value]:
    value = data.get(key)
    return value if isinstance(value, list) else []
