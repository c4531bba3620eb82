"""Digital Engagement as the client speaks it: discovery and token, each answer to a send, records as they are read."""

import json
import random

import pytest

from cxone_messaging import segments
from cxone_messaging.adapters.cxone.dfo.messages import DfoMessages
from cxone_messaging.adapters.cxone.dfo.sms import DfoSms
from cxone_messaging.adapters.cxone.dfo.token import AccessKey, DfoTokenEndpoint
from cxone_messaging.adapters.cxone.http import Answer, CxoneSession
from cxone_messaging.adapters.cxone.token_cache import TokenCache
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.found_messages import Direction, Receipt
from cxone_messaging.domain.outcomes import Accepted, NotAccepted, OutcomeUnknown, Rejected
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.sms import Sms
from cxone_messaging.platform.deadline import Deadline
from local.simulator import MAIN_CHANNEL, Delivery, Settings, Simulator
from local.simulator.faults import Fault
from local.simulator.transport import SimulatorAdapter
from tests.fakes import FakeClock, FakeRefreshLease, FakeSecretStore, FakeTelemetry

ISSUER = "https://cxone.niceincontact.com"
KEY = AccessKey("local-client", "local-secret&=+%", "local-access-key", "local-key-secret&+==")
SMS = Sms(PhoneNumber.parse("+15551234567"), "Hello", "campaign", MAIN_CHANNEL, segments.count("Hello"))


class Tenant:
    """One tenant, and a process that sends to it."""

    def __init__(self):
        self.clock = FakeClock()
        self.simulator = Simulator(Settings(), self.clock.now, random.Random(1))
        self.secrets, self.lease, self.key = FakeSecretStore(token="{}"), FakeRefreshLease(), KEY
        self.issuer, self.base_url = ISSUER, ""
        self.restart()

    def restart(self, **options):
        self.session = CxoneSession(self.clock)
        self.session.mount("https://", SimulatorAdapter(self.simulator, self.clock.sleep))
        self.fetch = DfoTokenEndpoint(self.session, self.issuer, lambda: self.key, self.clock, self.base_url)
        self.tokens = TokenCache(
            fetch=self.fetch,
            store=self.secrets,
            name="token",
            lease=self.lease,
            clock=self.clock,
            telemetry=FakeTelemetry(),
            rng=random.Random(1),
            located=True,
        )
        self.gateway = DfoSms(self.tokens, self.session, self.clock, timeout_seconds=20, **options)
        self.records = DfoMessages(self.tokens, self.session, "reference")

    def set(self, **changes):
        self.simulator.settings = self.simulator.settings.changed(changes)

    def fault(self, **fault):
        self.simulator.add_fault(Fault(**{"operation": "dfo.send", **fault}))

    def send(self, sms=SMS, **options):
        self.gateway.prepare(10)
        return self.gateway.send(sms, "msg_" + "a" * 32, 28, **options)

    def within(self, seconds=60.0):
        return Deadline.after(self.clock, seconds)

    def requests(self, operation):
        return sum(self.simulator.counts().get(operation, {}).values())


@pytest.fixture
def tenant():
    return Tenant()


class TestToken:
    def test_it_comes_with_the_tenants_base_url(self, tenant):
        token = tenant.fetch(10)
        assert token.base_url == "https://api-de-na1.niceincontact.com"
        assert token.lifetime == 3600

    @pytest.mark.parametrize(
        ("area", "domain", "host"),
        [
            ("eu1", "niceincontact.com", "api-de-eu1.niceincontact.com"),
            ("za1", "nicecxone.com", "api-de-za1.nicecxone.com"),
            ("uk2", "nicecxone-sov1.uk", "api-de-uk2.nicecxone-sov1.uk"),
            ("na2", "niceincontact.com", "api-de-na2.nicecxone-gov.com"),
        ],
    )
    def test_areas_are_a_matter_of_discovery(self, tenant, area, domain, host):
        tenant.set(dfo_area=area, dfo_domain=domain)
        assert tenant.fetch(10).base_url == f"https://{host}"

    def test_a_base_url_that_is_set_replaces_what_discovery_finds(self, tenant):
        tenant.base_url = "https://proxy.example/dfo"
        tenant.restart()
        assert tenant.fetch(10).base_url == "https://proxy.example/dfo"

    @pytest.mark.parametrize("fault", ["unsigned", "forged", "wrong_issuer", "expired", "no_tenant", "absent"])
    def test_an_id_token_that_the_issuer_does_not_vouch_for_gives_none(self, tenant, fault):
        tenant.set(dfo_id_token=fault)
        with pytest.raises(MessagingError) as caught:
            tenant.fetch(10)
        assert caught.value.code is Code.CXONE_UNAVAILABLE

    def test_keys_that_rotate_are_asked_for_anew(self, tenant):
        tenant.fetch(10)
        tenant.simulator.dfo.rotate_keys(keep_old=False)
        assert tenant.fetch(10).base_url

    @pytest.mark.parametrize("name", KEY._fields)
    def test_each_of_the_four_credentials_is_needed(self, tenant, name):
        tenant.key = KEY._replace(**{name: ""})
        with pytest.raises(MessagingError) as caught:
            tenant.fetch(10)
        assert caught.value.code is Code.CXONE_AUTH_FAILED
        assert tenant.requests("dfo.token") == 0

    @pytest.mark.parametrize("status", [400, 401])
    @pytest.mark.parametrize("name", KEY._fields)
    def test_wrong_credentials_are_no_outage(self, tenant, name, status):
        tenant.set(dfo_wrong_key_status=status)
        tenant.key = KEY._replace(**{name: "wrong"})
        with pytest.raises(MessagingError) as caught:
            tenant.fetch(10)
        assert caught.value.code is Code.CXONE_AUTH_FAILED
        assert "wrong" not in caught.value.detail

    @pytest.mark.parametrize("operation", ["dfo.discovery", "dfo.token", "dfo.keys", "dfo.configuration"])
    @pytest.mark.parametrize(
        "fault", [{"action": "status", "status": 500}, {"action": "reset"}, {"action": "garbage_body"}]
    )
    def test_whatever_step_fails_is_an_outage(self, tenant, operation, fault):
        tenant.simulator.add_fault(Fault(**{"operation": operation, **fault}))
        with pytest.raises(MessagingError) as caught:
            tenant.fetch(10)
        assert caught.value.code is Code.CXONE_UNAVAILABLE

    def test_another_process_needs_no_discovery(self, tenant):
        tenant.send()
        tenant.restart()
        tenant.send()
        assert tenant.requests("dfo.discovery") == tenant.requests("dfo.token") == tenant.requests("dfo.keys") == 1

    def test_a_token_of_the_other_api_is_none(self, tenant):
        tenant.secrets.write(
            "token", '{"accessToken": "other", "generation": 7, "expiresAt": 1795003600, "refreshAt": 1795003000}'
        )
        assert isinstance(tenant.send(), Accepted)

    @pytest.mark.parametrize(
        "named",
        [
            {"issuer": "https://evil.example"},
            {"token_endpoint": "http://cxone.niceincontact.com/auth/token"},
            {"token_endpoint": "https://user@cxone.niceincontact.com/auth/token"},
            {"jwks_uri": "http://127.0.0.1/keys"},
            {"jwks_uri": None},
        ],
    )
    def test_credentials_go_nowhere_unsafe(self, tenant, named):
        found = {
            "issuer": ISSUER,
            "token_endpoint": ISSUER + "/auth/token",
            "jwks_uri": ISSUER + "/auth/jwks",
        } | named
        tenant.fetch._discovery._get = lambda *_: found
        with pytest.raises(MessagingError):
            tenant.fetch(10)
        assert tenant.requests("dfo.token") == 0


class TestSend:
    @pytest.mark.parametrize("status", [200, 201, 202])
    def test_any_success_with_a_messages_id_is_an_acceptance(self, tenant, status):
        tenant.set(dfo_success_status=status)
        outcome = tenant.send()
        assert isinstance(outcome, Accepted)
        assert tenant.simulator.texts() == {("15551234567", "Hello"): [outcome.cxone_message_id]}

    @pytest.mark.parametrize("fault", [{"action": "no_message_id"}, {"action": "garbage_body"}])
    def test_a_success_without_one_leaves_the_outcome_unknown(self, tenant, fault):
        tenant.fault(**fault)
        assert isinstance(tenant.send(), OutcomeUnknown)

    def test_no_content_leaves_it_unknown(self, tenant):
        tenant.set(dfo_success_status=204)
        assert tenant.send() == OutcomeUnknown("unreadable_acceptance", 204)

    @pytest.mark.parametrize("number_format", ["digits", "e164"])
    def test_numbers_are_written_as_is_set(self, tenant, number_format):
        tenant.set(dfo_number_format=number_format)
        tenant.restart(number_format=number_format)
        assert isinstance(tenant.send(), Accepted)

    @pytest.mark.parametrize(
        ("status", "outcome"),
        [
            (400, Rejected),
            (403, Rejected),
            (405, Rejected),
            (408, OutcomeUnknown),
            (409, Rejected),
            (413, Rejected),
            (422, Rejected),
            (425, NotAccepted),
            (429, NotAccepted),
            (500, OutcomeUnknown),
            (502, OutcomeUnknown),
            (503, OutcomeUnknown),
            (504, OutcomeUnknown),
        ],
    )
    def test_each_line_of_the_table_of_errors(self, tenant, status, outcome):
        tenant.fault(action="status", status=status)
        assert type(tenant.send()) is outcome

    def test_redirects_are_refusals_but_those_that_may_follow_a_success(self, tenant):
        tenant.gateway.prepare(10)
        answers = {}
        for status in (301, 303, 304, 307):
            tenant.session.exchange = lambda *_, status=status, **__: Answer(status, {}, b"")
            answers[status] = type(tenant.send())
        assert answers == {301: Rejected, 303: OutcomeUnknown, 304: OutcomeUnknown, 307: Rejected}

    @pytest.mark.parametrize("action", ["accept_then_reset", "accept_then_timeout", "reset", "send_without_record"])
    def test_without_an_answer_the_outcome_is_unknown(self, tenant, action):
        tenant.fault(action=action)
        assert isinstance(tenant.send(), OutcomeUnknown)

    @pytest.mark.parametrize("action", ["refuse", "connect_timeout"])
    def test_what_was_never_reached_was_not_accepted(self, tenant, action):
        tenant.fault(action=action)
        assert isinstance(tenant.send(), NotAccepted)
        assert tenant.simulator.texts() == {}

    def test_a_refusal_names_cxones_code_and_field(self, tenant):
        tenant.set(dfo_longest_text=3)
        refused = tenant.send()
        assert isinstance(refused, Rejected)
        assert refused.reason.startswith("CXone answered 400 (messageContent")
        assert "Hello" not in refused.reason

    def test_an_unknown_channel_is_a_refusal(self, tenant):
        unknown = Sms(SMS.to, SMS.text, "", "sms_nobody_1/2?x", SMS.size)
        assert isinstance(tenant.send(unknown), Rejected)

    def test_a_tenant_that_moves_to_another_area_is_found_there(self, tenant):
        assert isinstance(tenant.send(), Accepted)
        tenant.set(dfo_area="eu1")
        tenant.clock.advance(300)
        assert isinstance(tenant.send(), NotAccepted)
        assert isinstance(tenant.send(), Accepted)

    def test_a_reference_goes_with_the_contact_if_that_is_set(self, tenant):
        tenant.restart(reference_field="reference")
        tenant.send()
        (record,) = tenant.records.search([MAIN_CHANNEL], Direction.OUTBOUND, 0, "", tenant.within()).messages
        assert tenant.records.reference(record, tenant.within()) == "a" * 16

    def test_what_is_held_back_does_not_leave_and_costs_no_token(self, tenant):
        tenant.send()
        tenant.clock.advance(300)
        tenant.send(hold_back=lambda: True)
        tenant.send()
        assert len(tenant.simulator.accepted_messages()) == 2
        assert tenant.requests("dfo.token") == 1


class TestOneContact:
    def test_more_texts_than_its_bucket_has_wait_and_are_not_posted(self, tenant):
        outcomes = [tenant.send() for _ in range(251)]
        assert [type(each) for each in outcomes[:250]] == [Accepted] * 250
        assert (outcomes[250].reason, outcomes[250].tried) == ("contact_throttled", False)
        assert tenant.requests("dfo.send") == 250
        tenant.clock.advance(outcomes[250].retry_after)
        assert isinstance(tenant.send(), Accepted)

    def test_a_429_after_many_texts_to_one_contact_is_that_contacts(self, tenant):
        """Another process sends to it too, so that it is full before this one has counted as many."""
        tenant.set(dfo_contact_burst=30)
        outcomes = [tenant.send() for _ in range(32)]
        assert [type(each) for each in outcomes[:30]] == [Accepted] * 30
        assert [(each.reason, each.tried) for each in outcomes[30:]] == [("contact_throttled", False)] * 2
        other = Sms(PhoneNumber.parse("+15559876543"), "Hello", "", MAIN_CHANNEL, SMS.size)
        assert isinstance(tenant.send(other), Accepted)

    def test_a_429_on_anybody_elses_is_the_tenants(self, tenant):
        tenant.fault(action="status", status=429)
        throttled = tenant.send()
        assert (throttled.reason, throttled.tried) == ("throttled", True)


class TestRecords:
    def test_a_message_is_read_by_its_id(self, tenant):
        tenant.set(dfo_delivery=Delivery())
        sent = tenant.send()
        found = tenant.records.message(sent.cxone_message_id, tenant.within())
        assert (found.id, found.direction, found.number) == (sent.cxone_message_id, "outbound", "+15551234567")
        assert (found.text, found.channel, found.receipts) == ("Hello", MAIN_CHANNEL, ())
        assert abs(found.created_at - tenant.clock.now()) <= 1
        assert tenant.records.message("nobody's", tenant.within()) is None

    @pytest.mark.parametrize("shape", ["agent_sdk", "chat_sdk"])
    def test_both_shapes_of_delivered_are_understood(self, tenant, shape):
        tenant.set(dfo_delivered_shape=shape, dfo_delivery=Delivery(delivered_after=1, seen_after=5))
        sent = tenant.send()
        tenant.clock.advance(2)
        words = [each.word for each in tenant.records.message(sent.cxone_message_id, tenant.within()).receipts]
        assert words == ["delivered"]
        tenant.clock.advance(5)
        words = [each.word for each in tenant.records.message(sent.cxone_message_id, tenant.within()).receipts]
        assert words == ["delivered", "seen"]

    def test_a_failure_has_its_reason(self, tenant):
        tenant.set(dfo_delivery=Delivery(failed_after=1, reason="30003 unreachable"))
        sent = tenant.send()
        tenant.clock.advance(2)
        (receipt,) = tenant.records.message(sent.cxone_message_id, tenant.within()).receipts
        assert (receipt.word, receipt.error) == ("failed", "30003 unreachable")

    def test_what_an_agents_screen_shows_is_no_delivery(self, tenant):
        tenant.set(dfo_delivery=Delivery())
        sent = tenant.send()
        read = tenant.records._get

        def with_items(*args, **options):
            shown = {"deliveredAt": "2026-11-18T10:00:00Z", "seenAt": "2026-11-18T10:00:00Z", "userId": "agent"}
            items = {"delivered": [shown], "seen": [shown]}
            return json.dumps(json.loads(read(*args, **options)) | items).encode()

        tenant.records._get = with_items
        assert tenant.records.message(sent.cxone_message_id, tenant.within()).receipts == ()

    def test_a_message_that_was_seen_was_delivered(self, tenant):
        tenant.set(dfo_delivered_shape="absent", dfo_delivery=Delivery(seen_after=1))
        sent = tenant.send()
        tenant.clock.advance(2)
        receipts = tenant.records.message(sent.cxone_message_id, tenant.within()).receipts
        assert [each.word for each in receipts] == ["delivered", "seen"]
        assert isinstance(receipts[0], Receipt)

    def test_pages_follow_one_another_to_the_last(self, tenant):
        ids = []
        for number in range(60):
            ids.append(tenant.send(Sms(SMS.to, f"Hello {number}", "", MAIN_CHANNEL, SMS.size)).cxone_message_id)
            tenant.clock.advance(1)
        found, scroll, pages = [], "", 0
        while True:
            page = tenant.records.search([MAIN_CHANNEL], Direction.OUTBOUND, 0, scroll, tenant.within())
            found += [each.id for each in page.messages]
            pages, scroll = pages + 1, page.next
            if not scroll:
                break
        assert found == ids[::-1]
        assert pages <= 4

    def test_replies_have_their_author(self, tenant):
        tenant.simulator.dfo.inbound(MAIN_CHANNEL, "15551234567", "STOP")
        (reply,) = tenant.records.search([MAIN_CHANNEL], Direction.INBOUND, 0, "", tenant.within()).messages
        assert (reply.direction, reply.number, reply.text) == ("inbound", "+15551234567", "STOP")

    def test_channels_that_exist_say_whether_they_track_delivery(self, tenant):
        ids = [f"sms_local_1555000000{n}" for n in (0, 1, 9)]
        assert tenant.records.channels(ids, tenant.within()) == {ids[0]: True, ids[1]: False}

    def test_each_try_of_a_read_counts(self, tenant):
        tenant.simulator.add_fault(Fault(operation="dfo.channels", action="status", status=503, times=2))
        tenant.records.channels(["sms_local_15550000000"], tenant.within())
        assert tenant.records.reads == 3

    def test_a_token_that_expired_is_replaced(self, tenant):
        tenant.send()
        tenant.simulator.revoke_tokens()
        tenant.clock.advance(400)
        assert tenant.records.message("nobody's", tenant.within()) is None

    @pytest.mark.parametrize(
        ("status", "code"), [(403, Code.CXONE_AUTH_FAILED), (429, Code.RATE_LIMITED), (500, Code.CXONE_UNAVAILABLE)]
    )
    def test_an_error_says_what_kind_it_is(self, tenant, status, code):
        tenant.simulator.add_fault(Fault(operation="dfo.message", action="status", status=status, times=3))
        with pytest.raises(MessagingError) as caught:
            tenant.records.message("1", tenant.within())
        assert caught.value.code is code
