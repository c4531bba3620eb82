"""Never sent twice, never lost, in bulk: random histories of workers on a queue that delivers at least once.

Workers are killed before and after every I/O, lose answers and meet each other half-way; records are redelivered,
doubled and redriven, share their keys with single sends, and are worked off through throttling, outages and changes of
mind. At the end the ledger, the batch's counts and the queue are held against what CXone really took.
"""

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.consents import FRESH_SECONDS, ConsentStatus
from cxone_messaging.domain.entries import first_broken
from cxone_messaging.domain.errors import MessagingError, StorageError
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.use_cases.bulk.submit_batch import BatchMessage
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
BATCH = tuple("abcdef")
# Two batches, which share references: some for the same message, one for another.
BATCHES = {
    "batch": dict.fromkeys(BATCH, TEXTS[0]),
    "later": {"a": TEXTS[0], "b": TEXTS[0], "c": TEXTS[1], "x": TEXTS[0], "z": TEXTS[0]},
}
KEYS = (*BATCH, "x", "y", "z")
NUMBER, NOBODY = "+15551234567", "+15559999999"
SETTLED = {Status.DELIVERED, Status.FAILED, Status.UNKNOWN, Status.REJECTED}


@dataclass(frozen=True, slots=True)
class Submit:
    """Ask for a batch, which is always the same, at any time and as often as it comes."""

    name: str = "batch"
    at: int = 0
    what: str = "nothing"
    after: bool = False


@dataclass(frozen=True, slots=True)
class Put:
    """Somebody else puts a record on the queue: one of a key that the batch has too, or one that can't be read."""

    key: str
    text: str = TEXTS[0]
    to: str = NUMBER


@dataclass(frozen=True, slots=True)
class PutMalformed:
    pass


@dataclass(frozen=True, slots=True)
class Poll:
    fault: Fault | None = None
    trouble: Trouble | None = None
    at: int = 0  # the I/O at which `what` happens; 0 for none
    what: str = "nothing"
    after: bool = False


@dataclass(frozen=True, slots=True)
class Single:
    key: str
    text: str = TEXTS[0]


@dataclass(frozen=True, slots=True)
class Redeliver:
    """Records that somebody is at are handed out once more."""


@dataclass(frozen=True, slots=True)
class Redrive:
    pass


whats = st.sampled_from(
    ["nothing", "kill", "kill", "lose_answer", "poll", "single", "wait", "deliver", "opt_out", "stop", "freeze"]
)
polls = st.builds(
    Poll,
    fault=st.one_of(st.none(), st.none(), spoils, refusals),
    trouble=st.one_of(st.none(), st.none(), troubles),
    at=st.integers(0, 24),
    what=whats,
    after=st.booleans(),
)
puts = st.builds(
    Put,
    key=st.sampled_from(KEYS),
    text=st.sampled_from([TEXTS[0], TEXTS[0], TEXTS[0], TEXTS[1]]),
    to=st.sampled_from([NUMBER, NUMBER, NUMBER, NOBODY]),
)
others = st.one_of(
    token_faults,
    st.builds(
        Submit,
        st.sampled_from(list(BATCHES)),
        at=st.integers(0, 6),
        what=st.sampled_from(["nothing", "kill"]),
        after=st.booleans(),
    ),
    st.builds(Single, st.sampled_from(KEYS), st.sampled_from([TEXTS[0], TEXTS[0], TEXTS[1]])),
    st.builds(Redeliver),
    st.builds(Redrive),
    st.builds(PutMalformed),
    st.builds(Advance, st.sampled_from([0.05, 3.0, 12.0, 45.0, 400.0, 4000.0])),
    st.builds(Deliver, st.integers(1, 4)),
    st.builds(Opt, st.sampled_from(ConsentStatus)),
    st.builds(RevokeTokens),
    st.builds(LetThrough),
)
steps = st.integers(0, 9).flatmap(lambda dice: polls if dice < 4 else puts if dice < 6 else others)


class History:
    """Runs the steps, and remembers who was told what."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.receipts: list[tuple[Single, Receipt]] = []
        self.put: set[str] = set()
        self.malformed = 0
        self.submitted: set[str] = set()
        world.opt(ConsentStatus.OPTED_IN)

    def run(self, step: object) -> None:  # noqa: C901, PLR0912  one line a step
        world = self.world
        match step:
            case Submit():
                self.submit(step)
            case Put():
                self.put.add(step.key)
                record = BulkRecord(step.key, SmsRequest(step.to, step.text))
                world.queue.send(json.dumps(record.body()))
            case PutMalformed():
                self.malformed += 1
                world.queue.send('{"reference": "x"}')
            case Poll():
                self.poll(step)
            case Single():
                self.single(step)
            case Redeliver():
                world.queue.show_all()
            case Redrive():
                world.queue.redrive()
            case Fault():
                world.simulator.add_fault(step)
            case Advance():
                world.clock.advance(step.seconds)
            case Deliver():
                world.deliver(step.limit)
            case Opt():
                world.opt(step.status)
            case RevokeTokens():
                world.simulator.revoke_tokens()
            case LetThrough():
                world.let_through()

    def submit(self, step: Submit) -> None:
        batch = [BatchMessage(SmsRequest(NUMBER, text), key) for key, text in BATCHES[step.name].items()]
        injector = Injector()
        injector.begin(self.plan(step))
        try:
            self.world.submitter(injector)(batch, step.name, self.world.within(28.0))
        except (MessagingError, StorageError, Killed):
            return
        self.submitted.add(step.name)

    def poll(self, step: Poll) -> None:
        if step.fault is not None:
            self.world.simulator.add_fault(step.fault)
        if step.trouble is not None:
            self.world.troubles.append(step.trouble)
        injector = Injector()
        injector.begin(self.plan(step))
        with suppress(Killed):
            self.world.poll(injector)

    def single(self, step: Single) -> None:
        try:
            receipt = self.world.sender().send(SmsRequest(NUMBER, step.text), step.key, self.world.within(28))
        except (MessagingError, StorageError):
            return
        self.receipts.append((step, receipt))

    def plan(self, step: Poll | Submit) -> Plan | None:
        acts = {
            "poll": lambda: (self.world.queue.show_all(), self.poll(Poll())),
            "single": lambda: self.single(Single("a")),
            "wait": lambda: self.world.clock.advance(45),
            "deliver": lambda: (self.world.clock.advance(1), self.world.deliver()),
            "opt_out": lambda: self.world.opt(ConsentStatus.OPTED_OUT),
            "stop": lambda: (self.world.opt(ConsentStatus.OPTED_OUT), self.world.clock.advance(FRESH_SECONDS + 0.5)),
            "freeze": lambda: (
                self.world.clock.advance(40),
                self.world.queue.show_all(),
                self.poll(Poll()),
            ),
        }
        return Plan(
            step.at, kill=step.what == "kill", lose_answer=step.what == "lose_answer", after=step.after,
            act=acts.get(step.what),
        )  # fmt: skip

    def finish(self) -> None:
        """Let everything come to rest: faults end, records come back until they are dealt with, all events arrive."""
        self.world.simulator.faults.clear()
        self.world.troubles.clear()
        self.world.let_through()
        self.world.clock.advance(60)
        for name in BATCHES:
            if name not in self.submitted:
                self.submit(Submit(name))
        self.world.work_off()
        for _ in range(4):
            self.world.clock.advance(30)
            self.world.deliver()

    def check(self) -> None:
        world, taken = self.world, self.world.accepted()
        world.check_posts()
        assert self.submitted == set(BATCHES), "a batch that broke off can always be finished"
        assert len(world.queue) == 0
        dead = [json.loads(body)["reference"] for body, reason in world.queue.dead if reason != "malformed_record"]
        assert any(reason == "malformed_record" for _, reason in world.queue.dead) == bool(self.malformed)
        for key in KEYS:
            message_id = world.pseudonyms.message_id(key)
            sent = taken.get(message_id, [])
            assert len(sent) <= 1, f"{key} was sent {len(sent)} times"
            entries = world.ledger.read(f"message#{message_id}")
            assert first_broken(f"message#{message_id}", entries) is None
            status = Message.of(entries).status if entries else None
            if sent:
                # Every event of what was taken has arrived, so nothing that was taken may count as anything else.
                assert status is Status.DELIVERED, f"{key} went out and counts as {status}"
            elif key in self.put or self.queued(key):
                # A single send that is to be tried again waits for its caller, but a record comes back by itself.
                assert status in SETTLED or key in dead, f"{key} counts as {status} and nobody comes back to it"
            prints = {entry.data["fingerprint"] for entry in entries if entry.type == "sending"}
            assert len(prints) <= 1, "two different requests went by one key"
            for step, receipt in self.receipts:
                if step.key == key:
                    assert [message.text for message in sent] == [step.text]
                    assert receipt.message.cxone_message_id == sent[0].id

    def queued(self, key: str) -> bool:
        """Whether a batch's message with this key was accepted."""
        return any(key in texts and self.read_batch(name)[0] for name, texts in BATCHES.items())

    def read_batch(self, name: str) -> tuple[int, dict[str, int]]:
        return self.world.read_batch(self.world.pseudonyms.batch_id(name))

    def check_counts(self) -> None:
        given_up = {json.loads(body)["reference"] for body, reason in self.world.queue.dead if reason is None}
        for name, texts in BATCHES.items():
            total, counts = self.read_batch(name)
            assert total in {0, len(texts)}
            assert sum(counts.values()) == total, counts
            assert Status.SENDING not in counts, "nothing hangs"
            if total and not given_up:
                assert counts == Counter(self.standing(key, text) for key, text in texts.items()), name

    def standing(self, key: str, text: str) -> Status:
        """Tell how a batch's message stands; one whose reference is another's is refused."""
        entries = self.world.ledger.read(f"message#{self.world.pseudonyms.message_id(key)}")
        asked = {entry.data["fingerprint"] for entry in entries if "fingerprint" in entry.data}
        fingerprint = self.world.pseudonyms.fingerprint(SmsRequest(NUMBER, text))
        return Message.of(entries).status if asked <= {fingerprint} else Status.REJECTED


@histories(100)
@given(settings_=simulators, script=st.lists(steps, min_size=1, max_size=12), seed=st.integers(0, 2**16))
def test_a_reference_is_sent_at_most_once_and_no_record_is_lost(
    settings_: Settings, script: list[object], seed: int
) -> None:
    history = History(World(settings_, seed))
    history.run(Submit())
    for step in script:
        history.run(step)
    history.finish()
    history.check()
    history.check_counts()
