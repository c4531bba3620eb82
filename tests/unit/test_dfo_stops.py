"""No SMS leaves after a line's newest plain opt-out, where replies are collected of CXone's records."""

import pytest
from hypothesis import example, given, note
from hypothesis import strategies as st

from cxone_messaging.domain.times import parse_time
from local.simulator import MAIN_CHANNEL
from tests.dfo_worlds import DfoWorld
from tests.histories import histories
from tests.unit.test_no_sms_after_a_stop import IN, LINES, OUT, History, Import, Reply, Send, Wait

# Writings with all digits, as records have them, and times that CXone's own clock gives.
WRITINGS, AGES = st.sampled_from([0, 0, 1]), st.sampled_from([0, 0, 1, 90, 1_500])
STEPS = st.one_of(
    st.builds(Reply, st.sampled_from(["STOP", "stop.", "What?"]), WRITINGS, AGES),
    st.builds(Reply, st.just("START"), WRITINGS, AGES),
    st.builds(Import, st.just(IN), WRITINGS, st.sampled_from([None, 0, 60]), st.booleans(), st.integers(1, 3)),
    st.builds(Import, st.just(OUT), WRITINGS),
    st.builds(Send, WRITINGS),
    st.builds(Wait, st.sampled_from([0.5, 10, 400, 86400])),
)
COUNTRIES = sorted(name for name, writings in LINES.items() if all(each.startswith("+") for each in writings[:2]))


class Collected(History):
    """Each reply is a record of CXone's, and a run collects it; later pages show it again."""

    sender = MAIN_CHANNEL

    def _post(self, told, step, written):
        self.seen.append(told)
        at = parse_time(told["timestamp"]).timestamp()
        self.world.simulator.dfo.inbound(MAIN_CHANNEL, told["from"].removeprefix("+"), told["text"], at)
        self.world.collect()
        return False


@histories(100)
@given(st.sampled_from(COUNTRIES), st.lists(STEPS, min_size=3, max_size=12))
@example("GB", [Import(IN, 0), Send(0), Reply("STOP", 1, 0), Send(0)])
@example("MX", [Import(IN, 0), Reply("STOP", 0, 90), Reply("START", 0, 0), Send(0)])
def test_no_sms_leaves_after_the_newest_plain_opt_out(country, steps):
    with pytest.MonkeyPatch.context() as monkeypatch:
        history = Collected(monkeypatch, country, DfoWorld())
        note(f"{country}: {steps}")
        for step in steps:
            history.take(step)
            history.world.deliver()


def test_the_histories_send_where_they_may():
    with pytest.MonkeyPatch.context() as monkeypatch:
        history = Collected(monkeypatch, "GB", DfoWorld())
        for step in (Import(IN, 0), Send(0), Reply("STOP", 0, 0), Send(0), Reply("START", 0, 0), Send(0)):
            history.take(step)
            history.world.clock.advance(1)
        assert len(history.world.simulator.accepted_messages()) == 2
