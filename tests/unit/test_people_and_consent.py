"""Replies, refusals and imports in the order in which they come (tests/people, kinds A1, A2 and A9)."""

import itertools

import pytest

from cxone_messaging.domain import subjects
from cxone_messaging.domain.consents import ConsentStatus, last_in_force
from cxone_messaging.domain.errors import MessagingError
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from functions.manage_consents import handler as consents_api
from functions.manage_consents.handler import ConsentBody
from tests.people import inputs
from tests.webhooks import Webhook

LINE, SENDER = PhoneNumber.parse("+14155550123"), "+15550100000"
EVIDENCE = "https://example.com/consents/4711"


class Line:
    """One line and all that happens to it: its replies, its carrier's refusals, and consents through the API."""

    def __init__(self, webhook):
        self.webhook = webhook
        self.posted = []
        self._ids = itertools.count()

    def step(self, step):
        self.webhook.clock.advance(step.get("wait", 1))
        if "reply" in step:
            self._reply(step)
        elif "refusal" in step:
            told = {"messageId": f"cx-{next(self._ids)}", "status": "failed", "to": LINE.e164, "error": step["refusal"]}
            assert self.webhook.delivery(told)[0] == 200
        elif "api" in step:
            self._api(step)

    def _reply(self, step):
        told = {"event": "message.inbound", "from": step.get("from", LINE.e164), "to": SENDER, "text": step["reply"]}
        told |= {name: step[name] for name in ("id", "timestamp") if name in step}
        written = self.webhook.clock.now() - step.get("age", -step.get("ahead", 0))
        if "of_step" in step:
            told = self.posted[step["of_step"]]
        elif "minute" in step:
            told["timestamp"] = format_time(instant(written))[:16] + "Z"
        elif "epoch" in step:
            told["timestamp"] = int(self.webhook.clock.now() - step["epoch"])
        elif "age" in step or "ahead" in step:
            text = format_time(instant(written))
            told["timestamp"] = text.removesuffix("Z") if "zone" in step else text
        self.posted.append(told)
        assert self.webhook.event(told)[0] == 200

    def _api(self, step):
        given_at = format_time(instant(self.webhook.clock.now() - step["given_age"])) if "given_age" in step else None
        evidence = step.get("evidence", f"{EVIDENCE}/{next(self._ids)}") if "overrides" in step else None
        given = {"status": step["api"], "source": "import", "givenAt": given_at, "evidence": evidence}
        body = ConsentBody.model_validate(given | {"overrides": step.get("overrides")})
        errors = [each.code for each in consents_api._faults(body, given_at)]
        if not errors:
            try:
                self.webhook.manage.record(LINE, consents_api.consent_of(body, given_at))
            except MessagingError as error:
                errors = [error.code]
        assert errors == ([step["answer"]] if "answer" in step else [])

    def status(self):
        """Return the status that senders read, which is that of the ledger."""
        hash_ = self.webhook.pseudonyms.recipient_hash(LINE)
        entries = self.webhook.ledger.read(subjects.consent(hash_))
        stored = self.webhook.consents.find(hash_)
        last = last_in_force(entries)
        assert (stored and stored.status.value) == (last and last.data["status"])
        return (stored.status if stored else None), len(entries)


@pytest.fixture
def line(monkeypatch):
    return Line(Webhook(monkeypatch))


def happens(line, entry):
    for step in entry["steps"]:
        line.step(step)
    status, count = line.status()
    assert status == ConsentStatus(entry["ends"])
    assert count == entry.get("entries", count)


@inputs("a1_second_stops")
def test_a_second_stop_is_no_copy_of_the_first(line, entry):
    happens(line, entry)


@inputs("a2_times")
def test_an_opt_out_loses_only_against_a_later_opt_in_whose_time_is_beyond_doubt(line, entry):
    happens(line, entry)


@inputs("a9_imports")
def test_an_import_does_not_undo_a_recipients_own_opt_out(line, entry):
    happens(line, entry)
