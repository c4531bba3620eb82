import hmac
import json

import pytest

from cxone_messaging.adapters.secrets import WebhookSecrets
from cxone_messaging.domain.delivery import DeliveryEvent
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.signatures import sign_reference
from cxone_messaging.platform.telemetry import Metric
from cxone_messaging.use_cases.events.delivery import Recorded
from cxone_messaging.use_cases.events.record_events import Proof
from functions.receive_webhook.handler import receive_event
from tests.building import MESSAGE_ID, SUBJECT
from tests.fakes import FakeClock, FakeConsentStore, FakeLedger, FakeSecretStore, FakeTelemetry

ARN, CALLBACK_ARN = "arn:webhook", "arn:callback"
SECRET, PREVIOUS = "c0" * 32, "b1" * 32
CALLBACK, CALLBACK_PREVIOUS = "ca" * 32, "cb" * 32
OTHER_ID = "msg_" + "2" * 32
BODY = b'{"messageId": "cx-1"}'
GOOD = {"ref": MESSAGE_ID, "sig": sign_reference(CALLBACK, MESSAGE_ID)}
NAMED, NAMED_AND_SIGNED, SIGNED = Proof(MESSAGE_ID, False), Proof(MESSAGE_ID, True), Proof(None, True)


class Door:
    def __init__(self):
        self.clock = FakeClock()
        self.ledger = FakeLedger()
        self.telemetry = FakeTelemetry()
        self.store = FakeSecretStore(
            **{
                ARN: json.dumps({"current": SECRET, "previous": PREVIOUS}),
                CALLBACK_ARN: json.dumps({"current": CALLBACK, "previous": CALLBACK_PREVIOUS}),
            }
        )
        names = Pseudonyms("pepper")
        self.consents = FakeConsentStore()
        self.receive = receive_event(
            ledger=self.ledger,
            consents=self.consents,
            pseudonyms=lambda: names,
            secrets=WebhookSecrets(self.store, ARN, self.clock),
            callback_secrets=WebhookSecrets(self.store, CALLBACK_ARN, self.clock),
            clock=self.clock,
            telemetry=self.telemetry,
        )

    def lets_in(self, query=None, headers=None, body=BODY):
        return self.receive.authenticate(query or {}, headers or {}, body)

    def refuses(self, query=None, headers=None, body=BODY):
        before = len(self.telemetry[Metric.WEBHOOKS_REFUSED])
        with pytest.raises(MessagingError) as raised:
            self.lets_in(query, headers, body)
        assert raised.value.code is Code.INVALID_SIGNATURE
        assert len(self.telemetry[Metric.WEBHOOKS_REFUSED]) == before + 1
        assert len(self.ledger) == 0
        return raised.value.detail


@pytest.fixture
def door():
    return Door()


def signed(body=BODY, secret=SECRET, timestamp=None):
    payload = body if timestamp is None else f"{timestamp}.".encode() + body
    headers = {"x-cxone-signature": "sha256=" + hmac.new(secret.encode(), payload, "sha256").hexdigest()}
    return headers if timestamp is None else {**headers, "x-cxone-timestamp": str(timestamp)}


WRONG = {"x-cxone-signature": "sha256=" + "0" * 64}


def test_a_signed_url_lets_in_and_names_the_message(door):
    assert door.lets_in(GOOD) == NAMED
    assert door.telemetry.values == {}


def test_a_signed_body_lets_in_and_names_none(door):
    assert door.lets_in(headers=signed()) == SIGNED
    assert door.lets_in(headers=signed(timestamp=int(door.clock.now()))) == SIGNED


def test_both_together_let_in(door):
    assert door.lets_in(GOOD, signed()) == NAMED_AND_SIGNED


def test_nothing_signed_is_refused(door):
    door.refuses()
    door.refuses(headers={"authorization": "Bearer x"})


@pytest.mark.parametrize(
    "query",
    [
        {"ref": MESSAGE_ID},
        {"sig": GOOD["sig"]},
        {"ref": "", "sig": sign_reference(CALLBACK, "")},  # well signed, but of no message
        {"ref": OTHER_ID, "sig": GOOD["sig"]},
        {"ref": "msg_2", "sig": sign_reference(CALLBACK, "msg_2")},
        {"ref": MESSAGE_ID.upper(), "sig": sign_reference(CALLBACK, MESSAGE_ID.upper())},
        {"ref": MESSAGE_ID, "sig": "0" * 64},
        {"ref": MESSAGE_ID, "sig": GOOD["sig"][:-1]},
        {"ref": MESSAGE_ID + " ", "sig": GOOD["sig"]},
        {"ref": MESSAGE_ID, "sig": "é" * 64},
        {"ref": "\ud800", "sig": GOOD["sig"]},
    ],
)
def test_a_url_that_we_never_gave_away_is_refused(door, query):
    door.refuses(query)


@pytest.mark.parametrize("headers", [WRONG, {"x-cxone-signature": ""}, {"x-cxone-timestamp": "1"}, signed(secret="x")])
def test_a_wrong_signature_is_refused_even_when_the_url_is_good(door, headers):
    door.refuses(GOOD, headers)


def test_a_good_signature_of_the_body_makes_a_wrong_url_no_name(door):
    assert door.lets_in({"ref": OTHER_ID, "sig": "0" * 64}, signed()) == SIGNED


def test_an_old_body_is_refused_even_when_the_url_is_good(door):
    now = int(door.clock.now())
    assert door.lets_in(GOOD, signed(timestamp=now - 300)) == NAMED_AND_SIGNED
    door.refuses(GOOD, signed(timestamp=now - 301))
    door.refuses(GOOD, signed(timestamp=now + 301))


def test_a_body_that_was_changed_on_its_way_is_refused(door):
    door.refuses(GOOD, signed(), BODY + b"\n")


def test_the_previous_secret_is_accepted(door):
    assert door.lets_in(headers=signed(secret=PREVIOUS)) == SIGNED
    assert door.lets_in({"ref": MESSAGE_ID, "sig": sign_reference(CALLBACK_PREVIOUS, MESSAGE_ID)}) == NAMED


def test_what_can_not_be_ours_is_refused_before_a_secret_is_even_read(door):
    for reference in ("msg_1", MESSAGE_ID + "1", MESSAGE_ID + "\n", "m" * 10_000, "{}"):
        door.refuses({"ref": reference, "sig": sign_reference(CALLBACK, reference)})
    for signature in (GOOD["sig"] + "0", GOOD["sig"].upper() + "0", GOOD["sig"] + "\n", "0" * 10_000):
        door.refuses({"ref": MESSAGE_ID, "sig": signature})
    door.refuses(GOOD, {"x-cxone-signature": "sha256=" + "0" * 513})
    door.refuses(GOOD, {**signed(), "x-cxone-timestamp": "1" * 513})
    door.refuses()
    assert door.store.reads == 0


def test_no_answer_tells_why(door):
    reasons = {
        door.refuses(),
        door.refuses(GOOD, WRONG),
        door.refuses({"ref": MESSAGE_ID, "sig": "0"}),
        door.refuses({"ref": "m" * 101}),
        door.refuses({"ref": MESSAGE_ID, "sig": hmac.digest(SECRET.encode(), MESSAGE_ID.encode(), "sha256").hex()}),
        door.refuses(GOOD, signed(timestamp=1)),
    }
    assert len(reasons) == 1


def test_a_rotated_secret_is_known_at_once(door):
    assert door.lets_in(headers=signed()) == SIGNED
    new = "d2" * 32
    door.store.secrets[ARN] = json.dumps({"current": new, "previous": SECRET})
    door.clock.advance(1)
    assert door.lets_in(headers=signed(secret=new)) == SIGNED
    assert door.lets_in(headers=signed()) == SIGNED
    door.refuses(headers=signed(secret=PREVIOUS))


def test_so_is_a_rotated_callback_secret(door):
    assert door.lets_in(GOOD) == NAMED
    new = "d2" * 32
    door.store.secrets[CALLBACK_ARN] = json.dumps({"current": new, "previous": CALLBACK})
    door.clock.advance(1)
    assert door.lets_in({"ref": OTHER_ID, "sig": sign_reference(new, OTHER_ID)}) == Proof(OTHER_ID, False)
    assert door.lets_in(GOOD) == NAMED
    door.refuses({"ref": MESSAGE_ID, "sig": sign_reference(CALLBACK_PREVIOUS, MESSAGE_ID)})


def told(timestamp):
    return DeliveryEvent("cx-1", "delivered", "+15551234567", timestamp)


def test_an_event_that_was_let_in_is_recorded(door):
    assert door.receive.record(told("2026-11-22T13:12:00Z"), NAMED) is Recorded.ACCEPTED
    assert door.receive.record(told("2026-11-22T13:12:00Z"), NAMED) is Recorded.DUPLICATE
    assert door.ledger.subjects() == [SUBJECT]


@pytest.mark.parametrize("timestamp", ["2026-11-22T13:12:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_a_timestamp_without_zone_or_of_another_age_is_recorded_and_can_be_read_again(door, timestamp):
    door.receive.record(told(timestamp), NAMED)
    (entry,) = door.ledger.read(SUBJECT)
    assert len(entry.data["instant"]) == 24
    assert door.receive.record(told("2026-11-22T13:12:01Z"), NAMED) is Recorded.ACCEPTED


@pytest.mark.parametrize("timestamp", ["", "yesterday", "17950000", "0001-01-01T00:00:00+01:00", "\ud800"])
def test_an_event_without_a_time_that_can_be_read_counts_as_of_its_receipt(door, timestamp):
    assert door.receive.record(told(timestamp), NAMED) is Recorded.ACCEPTED
    assert door.receive.record(told(timestamp), NAMED) is Recorded.DUPLICATE
    (entry,) = door.ledger.read(SUBJECT)
    assert entry.data["instant"] == entry.timestamp
    assert "told" not in entry.data
