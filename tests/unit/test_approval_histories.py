"""One registration, one subscription, whatever dies: approvals killed before and after every I/O, and repeated.

The first test goes through every single crash of a clean approval, the second through random histories of several.
"""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxone_messaging.domain import subjects
from cxone_messaging.domain.entries import first_broken
from cxone_messaging.domain.errors import MessagingError, StorageError
from local.simulator import Settings
from tests.approvals import ALL_ONCE, EVENTS_URL, ApprovalWorld, is_whole
from tests.histories import Advance, histories
from tests.worlds import Injector, Killed, Plan

TEMPLATES = ("welcome", "approved")
IOS = 32


def attempt(world, plan=None, template_id="welcome"):
    """Approve, with something in the way; the caller sees an answer, an error or a connection that breaks."""
    injector = Injector()
    injector.begin(plan)
    try:
        world.approve(template_id, injector=injector)
    except (MessagingError, StorageError, Killed):
        return False
    return True


def tells_the_story(world, template_id):
    """Whether the ledger, and it alone, says that all was done, by steps that begin and end."""
    read = world.read(template_id)
    assert read.verified
    assert is_whole(world, template_id)
    types = [entry.type for entry in read.entries]
    assert [types.count(each) for each in ("registered", "published")] == [1, 1]
    order = [types.index(each) for each in ("fetched", "validated", "approved", "registered", "published")]
    assert order == sorted(order)
    registered = next(entry for entry in read.entries if entry.type == "registered")
    (told,) = [entry for entry in world.simulator.log("register") if is_done(entry, template_id)]
    assert registered.data.get("registrationId") in {told.details["id"], None}
    subscription = world.ledger.read(subjects.subscription(EVENTS_URL))
    assert [entry.type for entry in subscription].count("subscribed") == 1


def is_done(entry, template_id):
    return entry.outcome == "accepted" and entry.details["template_id"] == template_id


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("what", ["kill", "lose_answer"])
def test_a_crash_at_any_io_and_a_repeat_end_in_one_of_each(what, after):
    for at in range(1, IOS + 1):
        world = ApprovalWorld()
        finished = attempt(world, Plan(at, kill=what == "kill", lose_answer=what == "lose_answer", after=after))
        world.clock.advance(60)  # the dead one's claim runs out
        assert attempt(world), f"at {at}"
        assert world.done() == ALL_ONCE, f"at {at}"
        tells_the_story(world, "welcome")
    assert finished, f"a clean approval has no more than {IOS} I/Os"


@dataclass(frozen=True, slots=True)
class Try:
    """One request: who is in its way, and when."""

    template_id: str
    at: int
    what: str
    after: bool


@dataclass(frozen=True, slots=True)
class Spoil:
    operation: str
    action: str
    status: int


@dataclass(frozen=True, slots=True)
class Tell:
    """CXone tells of what it did."""


tries = st.builds(
    Try,
    template_id=st.sampled_from(["welcome", "welcome", "approved"]),
    at=st.integers(0, IOS),
    what=st.sampled_from(["kill", "kill", "lose_answer", "other", "other_template", "wait", "tell"]),
    after=st.booleans(),
)
spoils = st.builds(
    Spoil,
    operation=st.sampled_from(["template_get", "template_put", "register", "register", "subscribe", "audit"]),
    action=st.sampled_from(["status", "reset", "accept_then_reset", "accept_then_500", "garbage_body", "refuse"]),
    status=st.sampled_from([400, 401, 403, 409, 429, 500, 503]),
)
steps = st.one_of(tries, tries, spoils, st.builds(Advance, st.sampled_from([1.0, 20.0, 60.0, 4000.0])), st.builds(Tell))


class History:
    """Runs the steps."""

    def __init__(self, seed):
        # Whether CXone tells repeated requests by their keys is what it all hangs on between a POST and its entry.
        self.world = ApprovalWorld(Settings(subscription_delay_seconds=0), seed)
        self.told = set()

    def run(self, step):
        match step:
            case Try():
                acts = {
                    "other": lambda: attempt(self.world, template_id=step.template_id),
                    "other_template": lambda: attempt(self.world, template_id="approved"),
                    "wait": lambda: self.world.clock.advance(40),
                    "tell": self.tell,
                }
                plan = Plan(
                    step.at,
                    kill=step.what == "kill",
                    lose_answer=step.what == "lose_answer",
                    after=step.after,
                    act=acts.get(step.what),
                )
                attempt(self.world, plan if step.at else None, step.template_id)
            case Spoil(operation, action, status):
                options = {"status": status} if action == "status" else {}
                self.world.fault(operation, action, **options)
            case Advance(seconds):
                self.world.clock.advance(seconds)
            case Tell():
                self.tell()

    def tell(self):
        """Record of what was registered what was not told yet, as the webhook would."""
        for entry in self.world.simulator.log("register"):
            if entry.outcome == "accepted" and entry.number not in self.told:
                self.told.add(entry.number)
                self.world.event("a2p.registered", str(entry.details["template_id"]))

    def finish(self):
        self.world.simulator.faults.clear()
        for template_id in TEMPLATES:
            self.world.clock.advance(60)
            assert attempt(self.world, template_id=template_id)


@histories(800, share=8)
@given(script=st.lists(steps, min_size=1, max_size=10), seed=st.integers(0, 2**16))
def test_any_history_ends_in_one_registration_a_template_and_one_subscription(script, seed):
    history = History(seed)
    for step in script:
        history.run(step)
    history.finish()
    assert history.world.done() == {"template_put": 1, "register": 2, "subscribe": 1, "audit": 2}
    for template_id in TEMPLATES:
        tells_the_story(history.world, template_id)
        assert (
            first_broken(subjects.template(template_id), history.world.ledger.read(subjects.template(template_id)))
            is None
        )
