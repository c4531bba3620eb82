"""The limits beside the second's, the account's other users, and requests that arrive late; all off by default."""

import pytest
import requests

from local.simulator import Settings
from local.simulator.transport import SimulatorAdapter

SEND = "/api/v2/message/sms/send"


def entries(cxone, operation):
    return [(entry.time, entry.outcome, entry.status) for entry in cxone.simulator.log(operation)]


def send_each_second(cxone, token, seconds, count):
    statuses = []
    for _ in range(seconds):
        statuses += [cxone.send(token).status for _ in range(count)]
        cxone.clock.now += 1.0
    return statuses


def test_all_of_it_is_off_by_default(cxone):
    settings = Settings()
    assert settings.requests_per_minute is None
    assert not settings.sender_requests_per_second
    assert settings.others_per_second == settings.arrival_jitter_seconds == 0
    assert set(send_each_second(cxone, cxone.bearer(), 61, 100)) == {202}
    assert entries(cxone, "others") == []


def test_a_minute_has_a_budget_of_its_own(make):
    cxone = make(requests_per_minute=150, token_lifetime_seconds=600)
    token = cxone.bearer()
    began = cxone.clock.now
    assert send_each_second(cxone, token, 2, 100) == [202] * 150 + [429] * 50
    refused = cxone.send(token)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "58")
    assert refused.json["detail"] == "too many requests a minute"
    cxone.clock.now = began + 60.5
    assert [cxone.send(token).status for _ in range(101)] == [202] * 100 + [429]


def test_a_budget_that_is_set_later_counts_what_went_before(cxone):
    token = cxone.bearer()
    assert set(send_each_second(cxone, token, 1, 40)) == {202}
    cxone.simulator.settings = cxone.simulator.settings.changed({"requests_per_minute": 50})
    assert [cxone.send(token).status for _ in range(11)] == [202] * 10 + [429]


def test_what_a_minute_refuses_does_not_count_in_the_second(make):
    cxone = make(requests_per_minute=1, requests_per_second=2)
    token = cxone.bearer()
    assert [cxone.send(token).status for _ in range(5)] == [202] + [429] * 4
    cxone.simulator.settings = cxone.simulator.settings.changed({"requests_per_minute": None})
    assert [cxone.send(token).status for _ in range(2)] == [202, 429]


def test_a_sender_has_a_rate_of_its_own_and_leaves_the_others_theirs(make):
    cxone = make(requests_per_second=8, sender_requests_per_second={"+15550100001": 5}, retry_after="absent")
    token = cxone.bearer()
    slow = {"from": "+15550100001"}
    assert [cxone.send(token, **slow).status for _ in range(6)] == [202] * 5 + [429]
    refused = cxone.send(token, **slow)
    assert refused.json["detail"] == "too many requests of this sender"
    assert "Retry-After" not in refused.headers
    assert [cxone.send(token).status for _ in range(4)] == [202] * 3 + [429]
    cxone.clock.now += 1.0
    assert [cxone.send(token, **slow).status for _ in range(6)] == [202] * 5 + [429]


@pytest.mark.parametrize("body", [["from"], {"from": 5}, {}])
def test_a_body_without_a_sender_counts_for_the_account_only(make, body):
    cxone = make(requests_per_second=2, sender_requests_per_second={"+15550100001": 1})
    token = cxone.bearer()
    answers = [cxone.call("POST", SEND, body, Authorization=token).status for _ in range(3)]
    assert answers == [400, 400, 429]


def test_others_use_the_same_window(make):
    cxone = make(requests_per_second=100, token_lifetime_seconds=600)
    token = cxone.bearer()
    began = cxone.clock.now
    assert set(send_each_second(cxone, token, 10, 1)) == {202}
    cxone.call("PUT", "/_simulator/settings", {"others_per_second": 15})
    cxone.clock.now += 40.0
    cxone.call("PUT", "/_simulator/settings", {"others_per_second": 0})
    cxone.clock.now += 50.0
    cxone.send(token)
    times = [time for time, outcome, status in entries(cxone, "others") if (outcome, status) == ("accepted", 202)]
    assert 500 < len(times) < 700
    assert times == sorted(times)
    assert began + 10 < times[0]
    assert times[-1] <= began + 50
    by_second = [sum(int(time - began) == second for time in times) for second in range(10, 50)]
    mean = sum(by_second) / len(by_second)
    variance = sum((count - mean) ** 2 for count in by_second) / len(by_second)
    assert 0.4 < variance / mean < 2.0  # a Poisson process's counts vary as much as they are many


def test_others_and_we_refuse_each_other(make):
    cxone = make(requests_per_second=10, requests_per_minute=60)
    token = cxone.bearer()
    cxone.simulator.settings = cxone.simulator.settings.changed({"others_per_second": 1000})
    cxone.clock.now += 1.0
    assert cxone.send(token).status == 429
    log = entries(cxone, "others")
    assert sum(outcome == "accepted" for _, outcome, _ in log) == 10
    assert {(outcome, status) for _, outcome, status in log} == {("accepted", 202), ("refused", 429)}
    counts = cxone.simulator.counts()
    assert counts["others"]["accepted"] == 10
    cxone.simulator.settings = cxone.simulator.settings.changed({"others_per_second": 0})
    cxone.clock.now += 1.1
    assert [cxone.send(token).status for _ in range(11)] == [202] * 10 + [429]


def test_the_log_knows_of_others_up_to_now(make):
    cxone = make(others_per_second=50)
    cxone.clock.now += 2.0
    answer = cxone.call("GET", "/_simulator/log?operation=others").json
    assert 60 < len(answer["entries"]) < 140
    assert sum(answer["counts"]["others"].values()) == len(answer["entries"])


def test_sends_arrive_late_evenly_spread_and_tokens_do_not(make):
    cxone = make(arrival_jitter_seconds=0.06)
    clock, simulator = cxone.clock, cxone.simulator
    way = []

    def sleep(seconds):
        way.append(seconds)
        clock.now += seconds

    session = requests.Session()
    session.mount("http://cxone", SimulatorAdapter(simulator, sleep))
    token = cxone.bearer()
    session.post("http://cxone/api/v2/oauth/token")
    assert way == []
    for _ in range(400):
        began, known = clock.now, len(simulator.log("send"))
        session.post("http://cxone" + SEND, headers={"Authorization": token})
        assert simulator.log("send")[known].time == began + way[-1]
    assert len(way) == 400
    assert 0.0 <= min(way) < 0.003
    assert 0.057 < max(way) <= 0.06
    assert 0.027 < sum(way) / 400 < 0.033
