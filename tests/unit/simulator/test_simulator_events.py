import hashlib
import hmac
import json
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.simulator.events import EventQueue
from local.simulator.settings import Settings


def statuses(posted):
    return [json.loads(event.body)["status"] for _, event in posted]


def test_a_message_is_queued_sent_and_delivered(cxone):
    start = cxone.clock.now
    answer = cxone.send()
    assert cxone.simulator.due_events() == []
    posted = cxone.run_events()
    assert [round(time - start, 3) for time, _ in posted] == [0.2, 0.4, 0.8]
    assert statuses(posted) == ["queued", "sent", "delivered"]
    last = posted[-1][1]
    assert (last.kind, last.url) == ("delivery", "http://listener/hook")
    assert json.loads(last.body) == {
        "messageId": answer.json["id"],
        "status": "delivered",
        "to": "+15551234567",
        "timestamp": "2026-01-01T00:00:00.800Z",
    }
    assert last.headers(cxone.clock.now) == {"Content-Type": "application/json"}


def test_no_url_no_events(cxone):
    assert cxone.send(webhookUrl=None).status == 202
    assert cxone.simulator.next_due() is None


def test_the_end_of_the_number_decides_the_outcome(cxone):
    cxone.send(to=["+15551230001"])
    body = json.loads(cxone.run_events()[-1][1].body)
    assert (body["status"], body["error"]) == ("undelivered", "carrier rejected the number")


def test_the_longest_suffix_wins(make):
    def only(word):
        return [{"status": word, "delay_seconds": 0}]

    cxone = make(outcomes={"1": only("failed"), "0001": only("expired"), "01": only("rejected")})
    for number in ("+15551230001", "+15551230101", "+15551230111", "+15551230112"):
        cxone.send(to=[number])
    finals = {e["to"]: e["status"] for e in (json.loads(event.body) for _, event in cxone.run_events())}
    assert list(finals.values()) == ["expired", "rejected", "failed", "delivered"]


def test_a_signed_delivery_event(make):
    cxone = make(event_signing_secret="ab" * 32)
    cxone.send()
    time, event = cxone.run_events()[0]
    headers = event.headers(time)
    signed = headers["X-CXone-Timestamp"].encode() + b"." + event.body
    assert headers["X-CXone-Timestamp"] == str(int(time))
    expected = hmac.new(b"ab" * 32, signed, hashlib.sha256).hexdigest()
    assert headers["X-CXone-Signature"] == f"sha256={expected}"


def test_events_can_come_twice_or_not_at_all(make):
    cxone = make(event_duplicate_probability=1)
    cxone.send()
    assert Counter(statuses(cxone.run_events())) == {"queued": 2, "sent": 2, "delivered": 2}
    cxone = make(event_drop_probability=1)
    assert cxone.send().status == 202
    assert cxone.simulator.next_due() is None


def test_late_events_keep_the_time_at_which_they_happened(make):
    cxone = make(event_late_probability=1, event_late_seconds=86_400)
    start = cxone.clock.now
    cxone.send()
    posted = cxone.run_events()
    assert [round(time - start, 1) for time, _ in posted] == [86_400.2, 86_400.4, 86_400.8]
    assert json.loads(posted[0][1].body)["timestamp"] == "2026-01-01T00:00:00.200Z"


def test_shuffled_events_come_in_many_orders(make):
    cxone = make(event_shuffle=True)
    orders = set()
    for _ in range(30):
        cxone.send()
        orders.add(tuple(statuses(cxone.run_events())))
    assert len(orders) > 3
    assert all(sorted(order) == ["delivered", "queued", "sent"] for order in orders)


def test_an_event_is_handed_out_once_and_redelivered_until_2xx(cxone):
    cxone.send()
    cxone.clock.now += 0.3
    (event,) = cxone.simulator.due_events()
    assert cxone.simulator.due_events() == []
    cxone.simulator.event_answered(event, 503)
    cxone.clock.now += 0.6
    assert [e.attempt for e in cxone.simulator.due_events()] == [1, 1]
    cxone.clock.now += 0.4
    (again,) = cxone.simulator.due_events()
    assert (again.number, again.attempt, again.body) == (event.number, 2, event.body)
    cxone.simulator.event_answered(again, 204)
    cxone.simulator.event_answered(again, 500)
    assert cxone.simulator.next_due() is None
    first = cxone.simulator.events()[0]
    assert first["state"] == "delivered"
    assert [attempt["status"] for attempt in first["attempts"]] == [503, 204]


def test_redelivery_waits_longer_each_time_and_ends(make):
    cxone = make(redelivery_first_seconds=2, redelivery_attempts=5)
    cxone.send()
    posted = cxone.run_events(lambda event: None if event.number == 1 else 200)
    times = [time for time, event in posted if event.number == 1]
    assert [round(later - earlier, 6) for earlier, later in pairwise(times)] == [2, 4, 8, 16]
    assert cxone.simulator.events()[0]["state"] == "abandoned"
    assert cxone.simulator.open_events() == 0


@given(
    st.lists(st.floats(0, 100), max_size=20),
    st.lists(st.sampled_from([200, 204, 302, 400, 500, None]), min_size=1, max_size=50),
    st.integers(1, 4),
)
def test_every_event_ends_and_is_posted_no_more_than_allowed(dues, answers, attempts):
    queue, settings, now = EventQueue(), Settings(redelivery_attempts=attempts), 0.0
    for due in dues:
        queue.add("delivery", "http://listener/", {"due": due}, due, None)
    posts, final, step = Counter(), {}, 0
    while (due := queue.next_due()) is not None:
        assert due >= now
        now = due
        for event in queue.due(now, 1):
            assert event.due <= now
            assert event.number not in final
            posts[event.number] += 1
            answer = answers[step % len(answers)]
            step += 1
            queue.answered(event, answer, settings, now)
            if answer in {200, 204} or posts[event.number] == attempts:
                final[event.number] = "delivered" if answer in {200, 204} else "abandoned"
    assert queue.open == 0
    assert {shown["number"]: shown["state"] for shown in queue.as_json()} == final
    assert len(final) == len(dues)
    assert all(count <= attempts for count in posts.values())


def test_an_answer_from_before_a_reset_is_ignored(cxone):
    cxone.send()
    cxone.clock.now += 1
    events = cxone.simulator.due_events(limit=2)
    assert len(events) == 2
    cxone.simulator.reset()
    cxone.simulator.event_answered(events[0], 500)
    assert cxone.simulator.next_due() is None
    assert cxone.simulator.accepted_messages() == []
    with pytest.raises(IndexError):
        cxone.simulator.events()[0]
