"""Approvals in memory: the real use cases and the real client over the simulator, on a clock that tests turn."""

import json
import random

from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.adapters.cxone.sms_v2.admin import SCOPES, TOKEN_PATH, CxoneAdmin
from cxone_messaging.adapters.cxone.sms_v2.token import TokenEndpoint
from cxone_messaging.adapters.cxone.token_cache import TokenCache
from cxone_messaging.adapters.secrets import WebhookSecrets
from cxone_messaging.domain import subjects
from cxone_messaging.domain.approvals import Registration
from cxone_messaging.domain.entries import Draft, Entry, EntryType
from cxone_messaging.domain.errors import MessagingError
from cxone_messaging.domain.event_names import REPLY_EVENT
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from cxone_messaging.platform.deadline import Deadline
from cxone_messaging.use_cases.approvals.approve import ApprovalRequest, Approved, ApproveTemplate
from cxone_messaging.use_cases.approvals.keep_subscription import Kept
from cxone_messaging.use_cases.approvals.read import AuditedApproval, ReadApproval
from cxone_messaging.use_cases.approvals.validate import ValidateTemplate
from cxone_messaging.use_cases.journal import Journal
from functions.approve_template.handler import approve_template, keep_subscription
from local.simulator import Edit, Fault, Settings, Simulator
from local.simulator.transport import SimulatorAdapter
from tests.fakes import FakeClock, FakeLedger, FakeRefreshLease, FakeSecretStore, FakeTelemetry
from tests.worlds import BASE_URL, CLIENT, Injected, InjectedTransport, Injector, Plan

LAMBDA_SECONDS = 28.0
WEBHOOK_SECRET = "ab" * 32
EVENTS_URL = "http://us.test/webhooks/cxone/events"
OPERATOR = "op-default"
REQUEST = ApprovalRequest(Registration("Welcome", "TRANSACTIONAL", "en"))
CONTENT = "Welcome to Example. Reply STOP to opt out."  # the simulator's `welcome`
# Everything that CXone is asked to do once.
STEPS = ("template_put", "register", "subscribe", "audit")
ALL_ONCE = dict.fromkeys(STEPS, 1)


class ApprovalWorld:
    """Everything there is, and functions that share it."""

    def __init__(self, settings: Settings | None = None, seed: int = 0) -> None:
        client_id, client_secret = CLIENT
        chosen = (settings or Settings()).changed({"client_id": client_id, "client_secret": client_secret})
        self.clock = FakeClock()
        self.rng = random.Random(seed)
        self.simulator = Simulator(chosen, self.clock.now, random.Random(seed))
        self.ledger = FakeLedger()
        self.secrets = FakeSecretStore(token="{}", webhook=json.dumps({"current": WEBHOOK_SECRET, "previous": ""}))
        self.lease = FakeRefreshLease()
        self.telemetry = FakeTelemetry()

    def gateway(self, injector: Injector | None = None) -> CxoneAdmin:
        injector = injector or Injector()
        session = CxoneSession(self.clock)
        session.mount("http://", InjectedTransport(SimulatorAdapter(self.simulator, self.clock.sleep), injector))
        tokens = TokenCache(
            fetch=TokenEndpoint(session, BASE_URL + TOKEN_PATH, lambda: CLIENT, SCOPES, self.clock),
            store=Injected(self.secrets, injector),
            name="token",
            lease=Injected(self.lease, injector),
            clock=self.clock,
            telemetry=self.telemetry,
            rng=self.rng,
        )
        return CxoneAdmin(BASE_URL, tokens, session, self.clock, self.rng)

    def approver(self, injector: Injector | None = None, operator: str = OPERATOR) -> ApproveTemplate:
        """Start a new process: it remembers nothing."""
        injector = injector or Injector()
        secrets = WebhookSecrets(Injected(self.secrets, injector), "webhook", self.clock)
        return approve_template(
            ledger=Injected(self.ledger, injector),
            gateway=self.gateway(injector),
            events_url=EVENTS_URL,
            secret=lambda: secrets.reread()[0],
            default_operator=operator,
            clock=self.clock,
            telemetry=self.telemetry,
            rng=self.rng,
        )

    def approve(
        self,
        template_id: str = "welcome",
        request: ApprovalRequest = REQUEST,
        injector: Injector | None = None,
        seconds: float = LAMBDA_SECONDS,
    ) -> Approved:
        return self.approver(injector)(template_id, request, Deadline.after(self.clock, seconds))

    def keep(
        self,
        *,
        at_once: bool = False,
        reply_event: str = REPLY_EVENT,
        url: str = EVENTS_URL,
        injector: Injector | None = None,
        seconds: float = LAMBDA_SECONDS,
    ) -> Kept:
        """Keep the subscription, as its schedule does in a new process."""
        injector = injector or Injector()
        keep = keep_subscription(
            ledger=Injected(self.ledger, injector),
            gateway=self.gateway(injector),
            events_url=url,
            secrets=WebhookSecrets(Injected(self.secrets, injector), "webhook", self.clock).reread,
            default_operator="",
            clock=self.clock,
            telemetry=self.telemetry,
            reply_event=reply_event,
        )
        return keep(Deadline.after(self.clock, seconds), at_once=at_once)

    def refused(self, template_id: str = "welcome", request: ApprovalRequest = REQUEST) -> MessagingError:
        """Approve what must not succeed, and give the error."""
        try:
            approved = self.approve(template_id, request)
        except MessagingError as error:
            return error
        raise AssertionError(f"approved: {approved}")

    def validate(self, template_id: str = "welcome"):
        return ValidateTemplate(self.gateway())(template_id, Deadline.after(self.clock, LAMBDA_SECONDS))

    def read(self, template_id: str = "welcome") -> AuditedApproval:
        return ReadApproval(self.ledger)(template_id)

    def types(self, template_id: str = "welcome") -> list[str]:
        return [entry.type for entry in self.ledger.read(subjects.template(template_id))]

    def fault(self, operation: str, action: str = "status", **options: object) -> None:
        self.simulator.add_fault(Fault.model_validate({"operation": operation, "action": action, **options}))

    def done(self) -> dict[str, int]:
        """Count what CXone really did."""
        counts = self.simulator.counts()
        return {step: counts.get(step, {}).get("accepted", 0) for step in STEPS}

    def event(self, name: str, template_id: str = "welcome", seconds: float = 0.0) -> Entry:
        """Record an event of CXone's, as its webhook does; it happened that many seconds from now."""
        at = format_time(instant(self.clock.now() + seconds))
        draft = Draft(EntryType.TEMPLATE_EVENT, {"eventId": f"{name} {at}", "event": name, "instant": at})
        return Journal(self.ledger, self.clock).append(subjects.template(template_id), lambda _: draft).entries[-1]


def rewrite(world, content, template_id="welcome"):
    """Give an approved template other content, a minute later, as somebody would in CXone's console."""
    world.clock.advance(60)
    world.simulator.edit_template(template_id, Edit(content=content, status="DRAFT"))


def warned(approved):
    return [warning.code for warning in approved.warnings]


def is_whole(world, template_id="welcome"):
    approval = world.read(template_id).approval
    return approval.status == "APPROVED" and approval.carrier_ready and approval.subscribed and approval.published


def io_of_registrations_claim():
    """Count up to the I/O of a clean run that claims the registration."""
    for number in range(1, 40):
        world, injector, seen = ApprovalWorld(), Injector(), []
        injector.begin(Plan(number, act=lambda world=world, seen=seen: seen.extend(world.types()[-1:]), after=True))
        world.approve(injector=injector)
        if seen == ["step_claimed"]:
            return number
    raise AssertionError("a clean run claims no registration")
