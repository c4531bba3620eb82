import pytest
from pydantic import ValidationError

from local.simulator import Behaviour, Fault


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503, 504])
def test_a_status_on_order_is_answered_without_taking_the_send(cxone, status):
    cxone.simulator.add_fault(Fault(operation="send", action="status", status=status))
    token = cxone.bearer()
    assert cxone.send(token).status == status
    assert cxone.simulator.accepted_messages() == []
    assert cxone.send(token).status == 202
    assert [(e.outcome, e.status, e.fault) for e in cxone.simulator.log("send")] == [
        ("refused", status, "status"),
        ("accepted", 202, None),
    ]


def test_retry_after_of_a_fault(cxone):
    for form in ("seconds", "date"):
        cxone.simulator.add_fault(
            Fault(operation="send", action="status", status=503, retry_after_seconds=7, retry_after=form)
        )
    assert cxone.send().headers["Retry-After"] == "7"
    assert cxone.send().headers["Retry-After"] == "Thu, 01 Jan 2026 00:00:07 GMT"


@pytest.mark.parametrize(
    ("action", "behaviour"),
    [("accept_then_timeout", Behaviour.HOLD), ("accept_then_reset", Behaviour.RESET)],
)
def test_accepted_but_never_answered(cxone, action, behaviour):
    cxone.simulator.add_fault(Fault(operation="send", action=action))
    assert cxone.send().behaviour is behaviour
    assert len(cxone.simulator.accepted_messages()) == 1
    (entry,) = cxone.simulator.log("send")
    assert (entry.outcome, entry.status, entry.fault) == ("accepted", None, action)
    assert cxone.run_events(), "an accepted message has delivery events, answered or not"


@pytest.mark.parametrize(("status", "answered"), [(None, 500), (504, 504)])
def test_accepted_but_answered_with_an_error(cxone, status, answered):
    cxone.simulator.add_fault(Fault(operation="send", action="accept_then_500", status=status))
    assert cxone.send().status == answered
    assert len(cxone.simulator.accepted_messages()) == 1
    assert [e.outcome for e in cxone.simulator.log("send")] == ["accepted"]


def test_accepted_with_an_unreadable_body(cxone):
    cxone.simulator.add_fault(Fault(operation="send", action="garbage_body"))
    answer = cxone.send()
    assert answer.status == 202
    assert answer.body == b"<html>upstream said yes"
    assert len(cxone.simulator.accepted_messages()) == 1


@pytest.mark.parametrize(
    ("action", "behaviour"),
    [("reset", Behaviour.RESET), ("refuse", Behaviour.REFUSE), ("connect_timeout", Behaviour.CONNECT_TIMEOUT)],
)
def test_broken_before_anything_was_taken(cxone, action, behaviour):
    cxone.simulator.add_fault(Fault(operation="send", action=action))
    assert cxone.send().behaviour is behaviour
    assert cxone.simulator.accepted_messages() == []
    (entry,) = cxone.simulator.log("send")
    assert (entry.outcome, entry.status, entry.fault) == ("fault", None, action)


def test_a_delay_comes_on_top_of_the_latency(make):
    cxone = make(latency_median_seconds=0.5)
    cxone.simulator.add_fault(Fault(operation="send", action="delay", delay_seconds=3))
    assert [cxone.send().latency_seconds, cxone.send().latency_seconds] == [3.5, 0.5]
    assert len(cxone.simulator.accepted_messages()) == 2


def test_after_times_and_order(cxone):
    cxone.simulator.add_fault(Fault(operation="send", action="status", status=503, after=1, times=2))
    cxone.simulator.add_fault(Fault(operation="send", action="status", status=500, times="forever"))
    token = cxone.bearer()
    assert [cxone.send(token).status for _ in range(5)] == [500, 503, 503, 500, 500]
    shown = cxone.simulator.faults.as_json()
    assert [(fault["id"], fault["acted"]) for fault in shown] == [(1, 2), (2, 3)]


def test_a_fault_strikes_as_often_as_it_is_probable(make):
    cxone = make(requests_per_second=10_000)
    cxone.simulator.add_fault(Fault(operation="send", action="reset", times="forever", probability=0.25))
    token = cxone.bearer()
    broken = sum(cxone.send(token).behaviour is Behaviour.RESET for _ in range(1000))
    assert 200 < broken < 300
    assert len(cxone.simulator.accepted_messages()) == 1000 - broken


def test_a_fault_hits_its_operation_only_and_any_hits_all(cxone):
    cxone.simulator.add_fault(Fault(operation="token_admin", action="status", status=503))
    assert cxone.ask_token().status == 200
    assert cxone.ask_token("admin").status == 503
    cxone.simulator.add_fault(Fault(action="status", status=502, times=2))
    assert cxone.ask_token().status == 502
    assert cxone.call("POST", "/api/v1/audit/logs", {}).status == 502


def test_a_refused_send_does_not_use_up_a_fault_on_accepted_ones(cxone):
    cxone.simulator.add_fault(Fault(operation="send", action="accept_then_reset"))
    assert cxone.send(text="").status == 400
    assert cxone.send().behaviour is Behaviour.RESET


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "explode"},
        {"action": "status"},
        {"action": "status", "status": 200},
        {"action": "delay"},
        {"action": "reset", "times": 0},
        {"action": "reset", "probability": 1.5},
        {"action": "accept_then_500", "status": 429},
        {"action": "edit_template"},
        {"action": "reset", "operation": "unknown"},
    ],
)
def test_a_rule_that_makes_no_sense(rule):
    with pytest.raises(ValidationError):
        Fault(**rule)
