"""Never sent twice, never lost, never adopted wrongly: the random histories of a send, where the API is DFO 3.0.

`make histories` runs 10,000 of them, `make test` a part.
"""

from hypothesis import given
from hypothesis import strategies as st

from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.messages import Status
from cxone_messaging.use_cases.send.answers import Receipt
from local.simulator import Fault, Settings
from tests.dfo_worlds import DfoWorld
from tests.histories import histories
from tests.unit.test_send_histories import History, Send, others, sends

_OPERATIONS = {"send": "dfo.send", "token_sms": "dfo.token"}


def of_dfo(step):
    """Give a step's faults the other API's names."""
    if isinstance(step, Fault):
        return step.model_copy(update={"operation": _OPERATIONS.get(step.operation, step.operation)})
    if isinstance(step, Send) and step.fault:
        return Send(step.key, step.text, of_dfo(step.fault), step.trouble, step.at, step.what, step.after)
    return step


without_record = st.builds(
    Send,
    key=st.sampled_from("aab"),
    text=st.just("Your code is 849201"),
    fault=st.just(Fault(action="send_without_record", operation="dfo.send")),
)
steps = (
    st.integers(0, 9).flatmap(lambda dice: sends if dice < 5 else without_record if dice == 5 else others).map(of_dfo)
)
simulators = st.builds(
    Settings,
    dfo_index_lag_seconds=st.sampled_from([0, 30, 90, 400]),
    dfo_delivered_shape=st.sampled_from(["agent_sdk", "chat_sdk"]),
    dfo_success_status=st.sampled_from([200, 201, 202]),
)


class DfoHistory(History):
    """What was taken may stay unknown: without a record, or where that comes too late, nothing tells its outcome."""

    ends_of_taken = (Status.DELIVERED, Status.UNKNOWN)

    def check_repeats(self) -> None:
        """Ask for every message once more: nobody sends one that went out, and nothing hangs."""
        for key, sent in self.world.accepted().items():
            self.send(Send(self.key_of(key), sent[0].text))
            answer = self.told[-1][1]
            assert isinstance(answer, Receipt) or answer.code is Code.OUTCOME_UNKNOWN
        self.finish()

    def finish(self) -> None:
        self.world.simulator.faults.clear()
        self.world.troubles.clear()
        self.world.let_through()
        # Runs at the ages at which doubts are looked up, and until every receipt is there.
        for seconds in (35, 60, 60, 120, 420, 3_000, 600, 120):
            self.world.clock.advance(seconds)
            self.world.deliver()


@histories(60)
@given(settings_=simulators, script=st.lists(steps, min_size=1, max_size=12), seed=st.integers(0, 2**16))
def test_a_key_is_sent_at_most_once_and_no_message_is_lost_or_adopted_wrongly(settings_, script, seed):
    history = DfoHistory(DfoWorld(settings_, seed))
    for step in script:
        history.run(step)
    history.finish()
    history.check()
    history.check_repeats()
    history.check()
