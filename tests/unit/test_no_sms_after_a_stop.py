"""No sequence of replies, imports and sends lets an SMS out after a line's newest plain opt-out.

The line has several writings, and its replies' times may be missing, unreadable, equal, skewed or of a zero date.
"""

from dataclasses import dataclass

import pytest
from hypothesis import example, given, note
from hypothesis import strategies as st

from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.errors import MessagingError
from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.domain.times import format_time
from cxone_messaging.domain.typed_numbers import typed_number
from cxone_messaging.platform.clock import instant
from cxone_messaging.use_cases.consents import ConsentFromApi
from tests.histories import histories
from tests.webhooks import Webhook
from tests.worlds import World

# What clocks that are set right may differ by.
SKEW = 300
LINES = {
    "GB": ("+447700900123", "+4407700900123", "447700900123", "+44 (0)7700 900123", "0044 7700 900123", 447700900123),
    "MX": ("+525512345678", "+5215512345678", "525512345678", "+52 1 55 1234 5678", "+52-55-1234-5678"),
    "AR": ("+5491123456789", "+541123456789", "5491123456789", "+54 9 11 2345-6789", "+54 11 2345 6789"),
    "US": ("+14155550123", "4155550123", "(415) 555-0123", "14155550123", "\u202a+1 415\u00a0555 0123\u202c"),
    "BR": ("+5511987654321", "+551187654321", "5511987654321", "+55 (11) 98765-4321"),
}
UNCERTAIN = (None, "", "soon", "0", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", {"at": 1})


@dataclass(frozen=True, slots=True)
class Reply:
    """`age` is how many seconds ago its time says that it was written, or a time that is none."""

    text: str
    writing: int
    age: object
    has_zone: bool = True
    id: object = None


@dataclass(frozen=True, slots=True)
class Import:
    status: ConsentStatus
    writing: int
    given_age: int | None = None
    overrides: bool = False
    evidence: int = 1


@dataclass(frozen=True, slots=True)
class Send:
    writing: int


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


IN, OUT = ConsentStatus.OPTED_IN, ConsentStatus.OPTED_OUT
WRITINGS = st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5])
AGES = st.sampled_from([0, 0, 1, 299, 301, 900, 7200, 40 * 86400, -1, -299, -301, -3600]) | st.sampled_from(UNCERTAIN)
STEPS = st.one_of(
    st.builds(Reply, st.sampled_from(["STOP", "stop.", "What?"]), WRITINGS, AGES, st.booleans()),
    st.builds(Reply, st.just("START"), st.just(0), st.sampled_from([0, 0, 60, 900, -299]), st.booleans()),
    st.builds(Reply, st.just("START"), WRITINGS, AGES, st.booleans()),
    st.builds(Reply, st.just("STOP"), WRITINGS, AGES, id=st.sampled_from(["", 0, "r-1", "null", 4.5])),
    st.builds(
        Import, st.just(IN), WRITINGS, st.sampled_from([None, None, 0, 60, 3600]), st.booleans(), st.integers(1, 3)
    ),
    st.builds(Import, st.just(OUT), WRITINGS),
    st.builds(Send, WRITINGS),
    st.just(Send(0)),
    st.builds(Wait, st.sampled_from([0.5, 10, 400, 4000, 86400])),
)


class History:
    """One line, and whether a send may leave: judged by the steps alone, not by what the bundle stored."""

    sender = "12345"

    def __init__(self, monkeypatch, country, world=None):
        self.world, self.country = world or World(), country
        self.writings = LINES[country]
        self.webhook = Webhook(
            monkeypatch, ledger=self.world.ledger, consents=self.world.consents, clock=self.world.clock
        )
        self._sent = 0
        # The recipient's own opt-out that nothing has undone, and the caller's: as of when each counts.
        self.own, self.callers, self.has_callers = None, None, False
        self.opt_ins, self.seen, self.used, self.overrides = [], [], set(), set()

    @property
    def now(self):
        return self.world.clock.now()

    def take(self, step):
        match step:
            case Wait():
                self.world.clock.advance(step.seconds)
            case Reply():
                self._reply(step)
            case Import():
                self._import(step)
            case Send():
                self._send(step)

    def _written(self, step):
        """Return when a reply was written, if that is certain."""
        is_certain = type(step.age) is int and step.has_zone and -SKEW <= step.age <= 30 * 86400
        return self.now - step.age if is_certain else None

    def _reply(self, step):
        age = step.age
        if type(age) is int:
            age = format_time(instant(self.now - age))
            age = age if step.has_zone else age.removesuffix("Z")
        told = {"event": "message.inbound", "to": "+15550100000", "text": step.text, "id": step.id, "timestamp": age}
        told["from"] = self.writings[step.writing % len(self.writings)]
        if self.country != "US":
            # To a sender of their own country, so that a number without its plus sign is theirs.
            told["to"] = self.writings[0][:-1] + "9"
        written, received = self._written(step), self.now
        is_copy = self._post(told, step, written)
        if step.text.lower().startswith("stop") and not is_copy:
            if written is None or not any(at > written + SKEW for at in self.opt_ins):
                self.own = received if written is None else written
                self.used |= self.overrides
        elif step.text == "START" and not is_copy and written is not None:
            is_later = self.own is None or written > self.own
            if is_later and (self.callers is None or written > self.callers - 5):
                self.own = self.callers = None
                self.opt_ins.append(min(written, received))

    def _post(self, told, step, written):
        """Have CXone post a reply; return whether it is a copy of an earlier one."""
        is_copy = told in self.seen and (step.id in {"r-1", 4.5} or written is not None)
        self.seen.append(told)
        assert self.webhook.event(told)[0] == 200
        return is_copy

    def _import(self, step):
        given_at = None if step.given_age is None else self.now - step.given_age
        consent = ConsentFromApi(
            step.status,
            "import",
            None,
            None if given_at is None else format_time(instant(given_at)),
            f"https://example.com/{step.evidence}" if step.overrides else None,
            overrides_reply=step.overrides and step.status is IN,
        )
        try:
            number = typed_number(str(self.writings[step.writing % len(self.writings)]), self.country)
        except InvalidPhoneNumberError:
            return
        is_late = given_at is not None and given_at > (self.own or 0)
        is_new = given_at is None and step.evidence not in self.used
        may_opt_in = self.own is None or is_late or (step.overrides and is_new)
        try:
            self.webhook.manage.record(number, consent)
        except MessagingError:
            # Another form of the line may still be opted out, where one of them was opted in again.
            # And an older `givenAt` does not undo a caller's opt-out.
            assert self.has_callers or any(told["text"].lower().startswith("stop") for told in self.seen)
            return
        if step.status is OUT:
            self.callers, self.has_callers = self.now, True
        else:
            self.overrides |= {step.evidence} if step.overrides else set()
            if may_opt_in:
                self.own = self.callers = None

    def _send(self, step):
        self._sent += 1
        to = str(self.writings[step.writing % len(self.writings)])
        before = self.world.posts()
        try:
            self.world.send(SmsRequest(to=to, text="Hello", campaign_id="c", sender=self.sender), f"k{self._sent}")
        except MessagingError:
            assert self.world.posts() == before
        else:
            assert (self.own, self.callers) == (None, None), "an SMS left after an opt-out"


@histories(300)
@given(st.sampled_from(sorted(LINES)), st.lists(STEPS, min_size=3, max_size=14))
@example("GB", [Import(IN, 0), Send(0), Reply("STOP", 1, None), Send(0)])
@example("GB", [Import(IN, 0), Reply("STOP", 3, 0), Import(IN, 0), Send(0)])
@example("MX", [Reply("START", 0, 0), Reply("STOP", 3, "1970-01-01T00:00:00Z"), Send(0)])
@example("GB", [Reply("STOP", 0, 0), Reply("START", 0, 0, has_zone=False), Send(0)])
@example("GB", [Reply("STOP", 0, 7200, has_zone=False), Reply("START", 0, 900), Send(0)])
@example("US", [Import(IN, 0), Reply("STOP", 1, None), Import(IN, 0, None, True), Reply("STOP", 1, None), Send(0)])
@example("AR", [Import(IN, 1, None, True, 1), Reply("STOP", 0, 0), Import(IN, 0, None, True, 1), Send(0)])
def test_no_sms_leaves_after_the_newest_plain_opt_out(country, steps):
    with pytest.MonkeyPatch.context() as monkeypatch:
        history = History(monkeypatch, country)
        note(f"{country}: {steps}")
        for step in steps:
            history.take(step)
