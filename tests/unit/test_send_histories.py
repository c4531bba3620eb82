"""Never sent twice, never lost: random histories of everything that can go wrong around a send.

Senders are killed and frozen before and after every I/O, lose answers, meet each other half-way, are throttled and
refused; the network is slow before the first byte, resets, and holds requests back to let them through later; tokens
expire, events come late and twice, recipients change their minds. What CXone really took stands in the simulator's log,
and all that anybody was told is held against it. `make histories` runs 10,000 of them, `make test` a part.
"""

from collections.abc import Collection
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from cxone_messaging.domain.consents import FRESH_SECONDS, ConsentStatus
from cxone_messaging.domain.entries import first_broken
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.use_cases.send.answers import Receipt
from local.simulator import Fault, Settings
from tests.histories import (
    Advance,
    Deliver,
    LetThrough,
    Opt,
    RevokeTokens,
    histories,
    refusals,
    simulators,
    spoils,
    token_faults,
    troubles,
)
from tests.wire import Trouble
from tests.worlds import Injector, Killed, Plan, World

TEXTS = ("Your code is 849201", "Your code is 555555")
KEYS = ("a", "b")
REFUSED = {Code.CXONE_REJECTED}
LAMBDA_SECONDS = 28.0


@dataclass(frozen=True, slots=True)
class Send:
    key: str
    text: str
    fault: Fault | None = None
    trouble: Trouble | None = None
    at: int = 0  # the I/O at which `what` happens; 0 for none
    what: str = "nothing"
    after: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    key: str


sends = st.builds(
    Send,
    key=st.sampled_from("aaab"),
    text=st.sampled_from([TEXTS[0], TEXTS[0], TEXTS[0], TEXTS[1]]),
    fault=st.one_of(st.none(), spoils, refusals),
    trouble=st.one_of(st.none(), troubles),
    at=st.integers(0, 12),
    what=st.sampled_from(
        [
            "nothing",
            "kill",
            "kill",
            "lose_answer",
            "same_request",
            "other_request",
            "wait",
            "freeze",
            "stop",
            "deliver",
        ]
    ),
    after=st.booleans(),
)
others = st.one_of(
    token_faults,
    st.builds(Advance, st.sampled_from([0.05, 1.0, 12.0, 45.0, 4000.0])),
    st.builds(Deliver, st.integers(1, 3)),
    st.builds(Read, st.sampled_from(KEYS)),
    st.builds(Opt, st.sampled_from(ConsentStatus)),
    st.builds(RevokeTokens),
    st.builds(LetThrough),
)
steps = st.integers(0, 9).flatmap(lambda dice: sends if dice < 6 else others)


class History:
    """Runs the steps, and remembers what each caller was told."""

    ends_of_taken: Collection[Status] = (Status.DELIVERED,)

    def __init__(self, world: World) -> None:
        self.world = world
        self.told: list[tuple[Send, Receipt | Exception | None]] = []
        world.opt(ConsentStatus.OPTED_IN)

    def run(self, step: object) -> None:
        world = self.world
        match step:
            case Send():
                self.send(step)
            case Fault():
                world.simulator.add_fault(step)
            case Advance():
                world.clock.advance(step.seconds)
            case Deliver():
                world.deliver(step.limit)
            case Read():
                self.status(step.key)
            case Opt():
                world.opt(step.status)
            case RevokeTokens():
                world.simulator.revoke_tokens()
            case LetThrough():
                world.let_through()

    def send(self, step: Send) -> None:
        if step.fault is not None:
            self.world.simulator.add_fault(step.fault)
        if step.trouble is not None:
            self.world.troubles.append(step.trouble)
        injector = Injector()
        sender = self.world.sender(injector)
        injector.begin(self.plan(step) if step.at else None)
        answer: Receipt | Exception | None = None
        try:
            answer = sender.send(SmsRequest("+15551234567", step.text), step.key, self.world.within(LAMBDA_SECONDS))
        except (MessagingError, StorageError) as error:
            answer = error
        except Killed:
            pass  # the caller sees a connection that breaks
        self.told.append((step, answer))

    def plan(self, step: Send) -> Plan:
        other = TEXTS[1 - TEXTS.index(step.text)]
        acts = {
            "same_request": lambda: self.send(Send(step.key, step.text)),
            "other_request": lambda: self.send(Send(step.key, other)),
            "wait": lambda: self.world.clock.advance(40),
            # Frozen while another process takes the same request, and the recipient opts out.
            "freeze": lambda: (self.world.clock.advance(30), self.send(Send(step.key, step.text))),
            "stop": lambda: (self.world.opt(ConsentStatus.OPTED_OUT), self.world.clock.advance(FRESH_SECONDS + 0.5)),
            "deliver": lambda: (self.world.clock.advance(1), self.world.deliver()),
        }
        return Plan(
            step.at, kill=step.what == "kill", lose_answer=step.what == "lose_answer", after=step.after,
            act=acts.get(step.what),
        )  # fmt: skip

    def status(self, key: str) -> Status | None:
        try:
            return self.world.read(self.world.pseudonyms.message_id(key)).message.status
        except MessagingError as error:
            assert error.code is Code.MESSAGE_NOT_FOUND  # noqa: PT017
            return None

    def key_of(self, message_id: str) -> str:
        return next(key for key in KEYS if self.world.pseudonyms.message_id(key) == message_id)

    def finish(self) -> None:
        """Let everything come to rest: deadlines pass, the faults end, all events arrive."""
        world = self.world
        world.simulator.faults.clear()
        world.troubles.clear()
        world.let_through()
        for _ in range(12):
            world.clock.advance(30)
            world.deliver()

    def check(self) -> None:
        world, taken = self.world, self.world.accepted()
        world.check_posts()
        for key in KEYS:
            message_id = world.pseudonyms.message_id(key)
            sent = taken.get(message_id, [])
            assert len(sent) <= 1, f"{key} was sent {len(sent)} times"
            status = self.status(key)
            assert status is not Status.SENDING, f"{key} hangs"
            if sent:
                # Every event of what was taken has arrived, so nothing that was taken may count as anything else.
                assert status in self.ends_of_taken, f"{key} went out and counts as {status}"
            else:
                assert status in {None, Status.RETRYING, Status.REJECTED, Status.UNKNOWN}, f"{key} counts as {status}"
            for step, answer in self.told:
                if step.key == key and isinstance(answer, Receipt):
                    assert [message.text for message in sent] == [step.text], f"{key} was acknowledged for another text"
                    assert answer.message.cxone_message_id == sent[0].id
                if (
                    step.key == key
                    and isinstance(answer, MessagingError)
                    and answer.message_id
                    and answer.code in REFUSED
                ):
                    assert not sent, f"{key} went out and was called refused"
        for subject in world.ledger.subjects():
            fingerprints = {
                entry.data["fingerprint"] for entry in world.ledger.read(subject) if entry.type == "sending"
            }
            assert len(fingerprints) <= 1, "two different requests went by one key"
            assert first_broken(subject, world.ledger.read(subject)) is None

    def check_repeats(self) -> None:
        """Ask for every message once more: what went out is acknowledged, what didn't is sent now, nothing hangs."""
        self.world.opt(ConsentStatus.OPTED_OUT)
        for key, sent in self.world.accepted().items():
            self.send(Send(self.key_of(key), sent[0].text))
            assert isinstance(self.told[-1][1], Receipt), "what went out must be acknowledged, whatever came after"
        self.world.opt(ConsentStatus.OPTED_IN)
        for key in KEYS:
            before = self.status(key)
            self.send(Send(key, TEXTS[0]))
            answer = self.told[-1][1]
            if before in {None, Status.RETRYING}:
                known = self.world.ledger.read(f"message#{self.world.pseudonyms.message_id(key)}")
                reused = isinstance(answer, MessagingError) and answer.code is Code.IDEMPOTENCY_KEY_REUSED
                assert isinstance(answer, Receipt) or reused, answer
                if reused:
                    assert Message.of(known).fingerprint is not None
            elif isinstance(answer, MessagingError):
                assert answer.code is not Code.IN_PROGRESS
        self.finish()


@histories(250)
@given(settings_=simulators, script=st.lists(steps, min_size=1, max_size=12), seed=st.integers(0, 2**16))
def test_a_key_is_sent_at_most_once_and_no_message_is_lost(
    settings_: Settings, script: list[object], seed: int
) -> None:
    history = History(World(settings_, seed))
    for step in script:
        history.run(step)
    history.finish()
    history.check()
    history.check_repeats()
    history.check()
