"""The bench's figures of the account's rate, from logs of which the right answer is known."""

import json

import pytest
from botocore.httpsession import URLLib3Session

from bench.pace import figures, goals, run
from bench.pace import workers as senders
from bench.pace.scenarios import FREE_SENDER, SCENARIOS, SLOW_SENDER, Others, Scenario
from bench.stage import PEPPER
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.wiring.sending import SenderSettings
from local.simulator import Settings

BEGAN = 1_000.0


def entry(second, status=202, sender=FREE_SENDER, reference="r"):
    message = {"from": sender, "webhookUrl": f"http://127.0.0.1:9/webhooks/cxone/sms?ref={reference}&sig=s"}
    outcome = "accepted" if status == 202 else "refused"
    details = {"messages": [message]} if status == 202 else {"refusal": "too many requests a second"}
    return {"time": BEGAN + second, "status": status, "outcome": outcome, "details": details}


def every(gap, first, last, **changes):
    return [entry(first + number * gap, **changes) for number in range(round((last - first) / gap))]


def measured(scenario, ours, others=()):
    return figures.figures(scenario, figures.Traffic.of(sorted(ours, key=lambda e: e["time"]), others, BEGAN))


def scenario(**changes):
    return Scenario(**{"name": "s", "title": "t", "seconds": 30, "messages": 100, "least": {}} | changes)


def test_use_is_what_was_accepted_of_the_limit_after_the_first_seconds():
    ours = [*every(1.0, 0, 5), *every(0.02, 5, 30), *every(0.01, 30, 40)]
    assert measured(scenario(), ours)["use"] == {"all": pytest.approx(0.5)}


def test_what_came_before_all_workers_began_does_not_count():
    found = measured(scenario(), [*every(0.01, -10, 0), *every(1.0, 0, 30)])
    assert found["use"] == {"all": pytest.approx(0.01)}
    assert found["acceptedBySecond"] == [1] * 30


def test_use_beside_others_is_of_what_they_leave():
    shared = scenario(seconds=150, others=Others(20, 20, 80))
    ours = [*every(0.0125, 0, 20), *every(0.02, 20, 80), *every(0.05, 80, 140), *every(0.01, 140, 150)]
    others = [*every(0.05, 20, 80), *every(0.1, 20, 30, status=429)]
    found = measured(shared, ours, others)
    assert found["use"] == {
        "before others send": pytest.approx(0.8),
        "while others send": pytest.approx(50 / 80),
        "60 s after they left": pytest.approx(1.0),
    }
    assert found["othersRefusedShare"] == pytest.approx(100 / 1300)
    assert found["othersBySecond"][19:21] == [0, 20]


def test_use_of_a_minutes_budget_is_of_its_mean_rate():
    budget = scenario(seconds=125, requests_per_minute=3000)
    ours = [*every(0.01, 5, 35), *every(0.01, 65.5, 95.5)]
    found = measured(budget, ours)
    assert found["use"] == {"all": pytest.approx(1.0)}
    assert found["mostInAMinute"] == 3000
    assert measured(budget, [*ours, entry(40, status=429)])["mostInAMinute"] == 3001


def test_a_slow_sender_is_measured_by_its_own_rate_and_the_free_one_by_the_rest():
    two = scenario(slow_per_second=5, slow_messages=10)
    ours = [*every(0.25, 5, 30, sender=SLOW_SENDER), *every(0.0125, 5, 30)]
    found = measured(two, ours)
    use = found["use"]
    assert found["slowBySecond"] == [0] * 5 + [4] * 25
    assert use["slow sender"] == pytest.approx(0.8)
    assert use["free sender"] == pytest.approx(80 / 96)


def test_refusals_count_once_there_was_time_to_learn():
    ours = [*every(0.1, 0, 30), *every(0.5, 0, 15, status=429), *every(1.0, 25, 30, status=429)]
    found = measured(scenario(), ours)
    assert found["throttled"] == 35
    assert found["throttledShare"] == pytest.approx(5 / 155)
    assert found["refusedBySecond"][0] == 2


def test_the_fullest_window_is_found_wherever_it_lies():
    assert figures.most_within([], 60.0) == 0
    assert figures.most_within([0, 1, 59, 59.5, 60, 61, 119.5], 60.0) == 4
    assert figures.most_within([0, 60, 120], 60.0) == 1


def test_runs_give_their_medians_and_the_worst_of_what_must_not_be():
    runs = [
        {"use": {"all": use}, "throttledShare": use / 10, "duplicates": number, "lost": 0, "mostInAMinute": number}
        for number, use in enumerate((0.9, 0.7, 0.8))
    ]
    together = figures.middle([{**run, "acceptedBySecond": [run["use"]["all"]]} for run in runs])
    assert together["use"] == {"all": 0.8}
    assert together["throttledShare"] == pytest.approx(0.08)
    assert (together["duplicates"], together["mostInAMinute"]) == (2, 2)
    assert together["acceptedBySecond"] == [0.8]


def test_a_record_is_lost_if_it_left_the_queue_and_cxone_never_took_it():
    pseudonyms = Pseudonyms(PEPPER)
    ids = [pseudonyms.message_id(f"reference-{number}") for number in range(4)]
    log = [entry(1, reference=ids[0]), entry(2, reference=ids[1]), entry(3, reference=ids[1])]
    log += [entry(4, status=429), entry(-5, reference=ids[2]), entry(5, reference="msg_single")]
    results = [
        {"done": ["reference-0", "reference-1", "reference-2"], "calls": {"UpdateItem": 1, "Query": 2}, "counted": 2}
    ]
    found = run._account_for(log, BEGAN, results, {"statuses": {"202": 2, "429": 1}, "waits": []})
    assert found == {"duplicates": 1, "lost": 2, "callsPerMessage": pytest.approx(1.5)}


def test_the_pace_is_what_senders_derive_from_the_schedules_item():
    lowered = {"pace": {"N": "84500000"}, "refusedPace": {"N": "87000000"}, "paceAt": {"N": str(10**18)}}
    assert run._pace(lowered, scenario()) == pytest.approx(84.5)
    assert run._pace({"nextSlot": {"N": "1"}}, scenario(requests_per_second=10)) == pytest.approx(9.6)


@pytest.mark.parametrize("each", SCENARIOS, ids=lambda each: each.name)
def test_each_scenario_is_whole(each):
    Settings().changed(each.simulated())
    assert each.configured()["CXONE_REQUESTS_PER_SECOND"] in {"10", "100"}
    assert "CXONE_REQUESTS_PER_SECOND" in SenderSettings.variables()
    found = measured(each, [entry(second + 0.5) for second in range(each.seconds)])
    assert each.least.keys() <= found["use"].keys()
    minutes, rest = divmod(each.seconds, 60)
    allowed = each.requests_per_minute or 60 * each.requests_per_second
    assert each.messages >= minutes * allowed + rest * each.requests_per_second + 400  # four workers' batches
    senders_of = [each.sender(number) for number in range(each.messages)]
    assert senders_of.count(SLOW_SENDER) == each.slow_messages
    first = [sender for sender in senders_of[:200] if sender]
    assert len(first) == pytest.approx(200 * each.slow_messages / each.messages, abs=1)


def test_the_rows_judge_by_each_scenarios_goals():
    run_ = {
        "use": {"all": 0.93},
        "throttledShare": 0.0031,
        "throttled": 9,
        "othersRefusedShare": 0.0,
        "mostInAMinute": 5000,
        "singleAddedP99": 1.4,
        "singleRefusedShare": 0.0,
        "callsPerMessage": 0.25,
        "duplicates": 0,
        "lost": 1,
    }
    rows = {row.what.strip(): row for row in goals.rows({"ideal": {"ours": run_, "pool": run_}})}
    assert {what: row.holds for what, row in rows.items()} == {
        "one loopback": False,
        "429s after 15 s": False,
        "single send beside bulk, p99 added": True,
        "AWS calls a bulk message": True,
        "duplicates; lost, in all scenarios": False,
    }
    assert rows["one loopback"].naive == "pool 93.0%"
    assert goals.rows({"jitter": {"ours": run_}})[0].holds is True


def test_the_network_is_slow_to_aws_only_while_it_is_said_to_be(monkeypatch):
    slept = []
    monkeypatch.setattr(URLLib3Session, "send", lambda session, request: request)
    monkeypatch.setattr(senders.time, "sleep", slept.append)
    network = senders.Network(0.02)
    session = URLLib3Session()
    assert session.send("a") == "a"
    assert slept == []
    with network.slow():
        for _ in range(301):
            session.send("b")
    there, back = slept[::2], slept[1::2]
    assert there == back
    assert 0.017 < 2 * sorted(there)[150] < 0.023
    session.send("c")
    assert len(slept) == 602


def test_without_a_delay_botocore_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(URLLib3Session, "send", json.dumps)
    with senders.Network(0.0).slow():
        assert URLLib3Session.send is json.dumps


def test_scenarios_have_names_of_their_own():
    assert len({each.name for each in SCENARIOS}) == len(SCENARIOS)
