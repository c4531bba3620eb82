from email.utils import parsedate_to_datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.simulator.rate import SlidingLog


def test_an_accepted_send_is_in_the_log_with_everything_it_said(cxone):
    answer = cxone.send()
    assert answer.status == 202
    (message,) = cxone.simulator.accepted_messages()
    assert message.as_json() == {
        "id": answer.json["id"],
        "to": "+15551234567",
        "from": "+15550000000",
        "text": "hello",
        "campaignId": "summer",
        "webhookUrl": "http://listener/hook",
        "time": cxone.clock.now,
    }
    (entry,) = cxone.simulator.log("send")
    assert (entry.outcome, entry.status, entry.fault) == ("accepted", 202, None)
    assert entry.details == {"messages": [message.as_json()]}


def test_each_recipient_is_a_message_under_the_same_id(cxone):
    answer = cxone.send(to=["+15551234567", "15551234568"])
    messages = cxone.simulator.accepted_messages()
    assert [message.to for message in messages] == ["+15551234567", "15551234568"]
    assert {message.id for message in messages} == {answer.json["id"]}


@pytest.mark.parametrize(
    "changes",
    [
        {"to": "+15551234567"},
        {"to": []},
        {"to": ["+05551234567"]},
        {"to": ["+1555123456789012"]},
        {"to": ["+15551234567\n"]},
        {"to": ["+1555\u0661\u0662\u0663"]},
        {"to": None},
        {"from": None},
        {"from": ""},
        {"text": ""},
        {"text": 5},
        {"campaignId": None},
        {"campaignId": ""},
        {"campaignId": "inactive-campaign"},
        {"webhookUrl": "listener/hook"},
        {"segmentation": None},
        {"segmentation": {}},
        {"segmentation": {"enabled": "true"}},
        {"priority": "high"},
    ],
)
def test_a_send_off_the_schema_is_refused_and_not_taken(cxone, changes):
    answer = cxone.send(**changes)
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert next(iter(changes)) in answer.json["detail"]
    assert cxone.simulator.accepted_messages() == []
    assert [(entry.outcome, entry.status) for entry in cxone.simulator.log("send")] == [("refused", 400)]


def test_campaigns_can_be_listed(make):
    cxone = make(active_campaigns={"summer"})
    assert cxone.send().status == 202
    assert cxone.send(campaignId="winter").status == 400


def test_a_hundred_requests_a_second_are_let_in_bad_ones_too(cxone):
    token = cxone.bearer()
    assert {cxone.send(token, text="").status for _ in range(50)} == {400}
    cxone.clock.now += 0.5
    assert {cxone.send(token).status for _ in range(50)} == {202}
    refused = cxone.send(token)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    cxone.clock.now += 0.5
    assert [cxone.send(token).status for _ in range(51)] == [202] * 50 + [429]
    assert len(cxone.simulator.accepted_messages()) == 100


def test_retry_after_as_a_date_or_absent(make):
    cxone = make(requests_per_second=1, retry_after="date")
    token = cxone.bearer()
    cxone.send(token)
    until = parsedate_to_datetime(cxone.send(token).headers["Retry-After"]).timestamp()
    assert until == cxone.clock.now + 1
    cxone.simulator.settings = cxone.simulator.settings.changed({"retry_after": "absent"})
    answer = cxone.send(token)
    assert answer.status == 429
    assert "Retry-After" not in answer.headers


@given(st.lists(st.integers(0, 400), max_size=300), st.integers(1, 7))
def test_the_limiter_is_a_sliding_log(gaps_ms, limit):
    log, now, let_in = SlidingLog(), 0, []
    for gap in gaps_ms:
        now += gap + 1 / 3  # never just a second apart, where rounding would decide
        standing = [time for time in let_in if time > now - 1000]
        wait = log.wait_seconds(now / 1000, limit)
        assert (wait == 0) == (len(standing) < limit)
        if wait == 0:
            log.add(now / 1000)
            let_in.append(now)
        else:
            assert now / 1000 + wait == pytest.approx((standing[0] + 1000) / 1000)
    assert all(later - first >= 1000 for first, later in zip(let_in, let_in[limit:], strict=False))
    assert all(first <= second for first, second in pairwise(let_in))


def test_latency_is_fixed_or_spread_around_its_median(make):
    fixed = make(latency_median_seconds=0.2)
    assert {fixed.send().latency_seconds for _ in range(20)} == {0.2}
    spread = make(
        latency_median_seconds=0.15, latency_sigma=0.4, latency_maximum_seconds=0.4, requests_per_second=10_000
    )
    token = spread.bearer()
    drawn = sorted(spread.send(token).latency_seconds for _ in range(1001))
    assert 0.14 < drawn[500] < 0.16
    assert drawn[0] < 0.1
    assert 0.3 < drawn[-1] <= 0.4
