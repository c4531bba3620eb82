"""CXone's events at the same time, doubled and in any order, against the real ledger: all end as if in order."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from cxone_messaging.adapters.dynamodb.consents import DynamoConsentStore
from cxone_messaging.domain import subjects
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.delivery import FINAL_WORDS
from cxone_messaging.domain.entries import Draft, first_broken
from cxone_messaging.domain.messages import Status
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import SystemClock, instant
from cxone_messaging.use_cases.journal import Journal
from tests.building import dispatched, sending
from tests.webhooks import Webhook

NUMBER = "+15551234567"
WORDS = ["queued", "sent", "handed over", "failed", "delivered"]
OK = {"accepted", "duplicate"}


class Unhurried(SystemClock):
    """The machine's clock, on which nobody waits."""

    def sleep(self, seconds):
        pass


@pytest.fixture
def webhook(monkeypatch, ledger, dynamodb, consents_table):
    return Webhook(monkeypatch, ledger=ledger, consents=DynamoConsentStore(dynamodb, consents_table), clock=Unhurried())


def together(tasks):
    with ThreadPoolExecutor(8) as pool:
        return [future.result() for future in [pool.submit(task) for task in tasks]]


def test_delivery_events_and_the_senders_own_entries(webhook, ledger):
    rng = random.Random(20261122)
    now = webhook.clock.now()
    tasks, messages = [], {f"msg_{number:032}": f"cx-{number}" for number in range(4)}
    for message_id, cxone_id in messages.items():
        type_, data = sending(recipientHash=webhook.pseudonyms.recipient_hash(PhoneNumber.parse(NUMBER)))
        begun = Draft(type_, data)
        Journal(ledger, webhook.clock).append(subjects.message(message_id), lambda _, begun=begun: begun)

        def answer(message_id=message_id, cxone_id=cxone_id):
            type_, data = dispatched(cxone_id)
            draft = Draft(type_, data, {"cxoneMessageId": cxone_id})
            Journal(ledger, webhook.clock).append(subjects.message(message_id), lambda _: draft)
            return 200, {"status": "accepted"}

        tasks.append(answer)
        for second, word in enumerate(WORDS):
            time = format_time(instant(now + second))
            told = {"messageId": cxone_id, "status": word, "to": NUMBER, "timestamp": time}
            tasks += [
                lambda told=told, reference=reference: webhook.delivery(told, reference)
                for reference in (message_id, message_id, None)
            ]
    rng.shuffle(tasks)
    answers = together(tasks)
    assert {status for status, _ in answers} == {200}
    assert {body["status"] for _, body in answers} == OK
    webhook.sweep()
    for message_id in messages:
        shown = webhook.read(message_id)
        assert (shown.message.status, shown.verified) == (Status.DELIVERED, True)
        told = [(entry.data["word"], "signed" in entry.data) for entry in shown.entries if entry.type == "delivery"]
        assert {word for word, _ in told} == {*WORDS}
        assert len(told) == len({*told})
        # Only words that settle a message are entered anew when they are signed.
        assert {(word, True) for word in WORDS if word in FINAL_WORDS} <= {*told}
        assert [entry.sequence for entry in shown.entries] == list(range(1, len(told) + 3))
    assert webhook.sweep().joined == 0


def test_replies_that_come_all_at_once_leave_the_latest_in_force(webhook, ledger):
    rng = random.Random(20261122)
    now = webhook.clock.now() - 60
    replies = ["STOP", "START", "stop", "unstop", "end", "START", "Cancel"]
    tasks = []
    for second, text in enumerate(replies):
        told = {
            "event": "message.inbound",
            "from": NUMBER,
            "text": text,
            "timestamp": format_time(instant(now + second)),
        }
        tasks += [lambda told=told: webhook.event(told)] * 3
    rng.shuffle(tasks)
    assert {status for status, _ in together(tasks)} == {200}
    number = PhoneNumber.parse(NUMBER)
    subject = f"consent#{webhook.pseudonyms.recipient_hash(number)}"
    entries = ledger.read(subject)
    assert first_broken(subject, entries) is None
    assert len(entries) == len({entry.data["eventId"] for entry in entries}) == len(replies)
    assert webhook.manage.find(number).status is ConsentStatus.OPTED_OUT


def test_news_of_a_template(webhook, ledger):
    told = [
        {"event": name, "template_id": "tpl", "timestamp": format_time(instant(webhook.clock.now())), "id": str(number)}
        for name in ("template.approved", "a2p.registered")
        for number in range(2)
    ]
    answers = together([lambda each=each: webhook.event(each) for each in told * 4])
    assert sorted(body["status"] for _, body in answers) == ["accepted"] * 4 + ["duplicate"] * 12
    entries = ledger.read("template#tpl")
    assert first_broken("template#tpl", entries) is None
    assert len(entries) == 4
