"""The endpoints of both API families, and the state behind them."""

import hashlib
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from local.simulator.events import EventQueue
from local.simulator.faults import Operation
from local.simulator.journal import Message
from local.simulator.rate import Excess, Limits
from local.simulator.settings import Settings
from local.simulator.sms import accept, delivery_events, sender_of
from local.simulator.subscriptions import AuditRequest, RegistrationRequest, SubscriptionRequest, Subscriptions
from local.simulator.templates import APPROVED, Templates
from local.simulator.tokens import Family, Tokens
from local.simulator.wire import Refusal, RefusedError, Request, Response, Route, parse, problem, retry_after

type Answer = tuple[Response, dict[str, object]]  # with the details that the log keeps

# The operations that accept an `Idempotency-Key`; and the mark of a replayed answer in the log's details.
_REPEATABLE = frozenset({"register", "subscribe", "audit"})
REPLAYED = "replayed"
SEND_PATH = "/api/v2/message/sms/send"


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way to an endpoint; `subject` is the id in its path, if the path has one."""

    request: Request
    subject: str
    settings: Settings
    now: float


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An operation, the token family that it needs, if any, and the method that answers it."""

    operation: Operation
    family: Family | None
    scope: str | None
    answer: Callable[["Api", Call], Answer]
    fault: Refusal = problem

    @property
    def is_token(self) -> bool:
        """Whether it is as slow as a token endpoint."""
        return self.family is None


class Api:
    """Tokens, the rate limit, templates and subscriptions. What the carrier got goes to `handed`."""

    def __init__(self, handed: list[Message], events: EventQueue, now: float, rng: random.Random) -> None:
        self._handed = handed
        self.tokens = Tokens()
        self.templates = Templates(now)
        self.subscriptions = Subscriptions(events)
        self._answered: dict[tuple[Operation, str], tuple[str, Answer]] = {}
        self._limits = Limits(now)
        self._events = events
        self._rng = rng

    def take(self, endpoint: Endpoint, call: Call) -> Answer:
        """Check the token and answer; raises RefusedError."""
        if endpoint.family is not None:
            self.tokens.check(call.request, endpoint.family, endpoint.scope, call.now)
        key = call.request.header("Idempotency-Key")
        if key is None or not (call.settings.idempotency_keys and endpoint.operation in _REPEATABLE):
            return endpoint.answer(self, call)
        return self._answered_once(endpoint, call, key)

    def _answered_once(self, endpoint: Endpoint, call: Call, key: str) -> Answer:
        """Answer a request once for each key, and repeat the first answer; a refusal leaves the key free."""
        digest = hashlib.sha256(call.request.body).hexdigest()
        known = self._answered.get((endpoint.operation, key))
        if known is None:
            answer = endpoint.answer(self, call)
            self._answered[endpoint.operation, key] = (digest, answer)
            return answer
        first, (response, details) = known
        if first != digest:
            raise RefusedError(422, "the Idempotency-Key was used for another request")
        return replace(response, headers={**response.headers, "Idempotency-Replayed": "true"}), {
            **details,
            REPLAYED: True,
        }

    def others(self, now: float, settings: Settings) -> Iterator[tuple[float, Excess | None]]:
        """Let in the sends of the account's other users until `now`, each with its time and the limit it exceeds."""
        return self._limits.others(now, settings, self._rng)

    def new_id(self) -> str:
        """A random UUID."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def _token_sms(self, call: Call) -> Answer:
        return self.tokens.issue("sms", call.request, call.settings, call.now, self._rng), {}

    def _token_admin(self, call: Call) -> Answer:
        return self.tokens.issue("admin", call.request, call.settings, call.now, self._rng), {}

    def _send(self, call: Call) -> Answer:
        sender = sender_of(call.request.body) if call.settings.sender_requests_per_second else None
        if excess := self._limits.admit(call.now, call.settings, sender):
            headers = retry_after(call.settings.retry_after, excess.wait_seconds, call.now)
            raise RefusedError(429, excess.detail, headers)
        messages = accept(call.request.body, self.new_id(), call.settings, call.now)
        self._handed += messages
        secret = call.settings.event_signing_secret
        for message in messages:
            if message.webhook_url is not None:
                for due, event in delivery_events(message, call.settings, self._rng):
                    self._events.add("delivery", message.webhook_url, event, due, secret)
        return Response(202, {"id": messages[0].id}), {"messages": [message.as_json() for message in messages]}

    def _get_template(self, call: Call) -> Answer:
        template = self.templates.get(call.subject)
        headers = {"ETag": template.etag} if call.settings.etags else {}
        return Response(200, template.as_json(), headers), {"template_id": template.id}

    def _put_template(self, call: Call) -> Answer:
        template = self.templates.put(call.subject, call.request.body, call.request.header("If-Match"), call.now)
        if template.status == APPROVED:
            delay = call.settings.subscription_delay_seconds
            self.subscriptions.announce("template.approved", template.id, self.new_id(), call.now, delay)
        headers = {"ETag": template.etag} if call.settings.etags else {}
        status = call.settings.template_put_status
        return Response(status, template.as_json() if status != 204 else None, headers), template.as_json()  # noqa: PLR2004

    def _register(self, call: Call) -> Answer:
        registration = parse(RegistrationRequest, call.request.body)
        answer = {"id": self.new_id(), "template_id": registration.template_id, "status": "REGISTERED"}
        delay = call.settings.subscription_delay_seconds
        self.subscriptions.announce("a2p.registered", registration.template_id, self.new_id(), call.now, delay)
        return Response(call.settings.registration_status, answer), {"id": answer["id"], **registration.model_dump()}

    def _subscribe(self, call: Call) -> Answer:
        subscription = parse(SubscriptionRequest, call.request.body)
        self.subscriptions.add(subscription, call.settings)
        answer = {"id": self.new_id(), **subscription.model_dump(exclude={"secret"})}
        return Response(201, answer), answer

    def _audit(self, call: Call) -> Answer:
        record = parse(AuditRequest, call.request.body)
        answer = {"id": self.new_id()}
        return Response(201, answer), {**answer, **record.model_dump()}

    _TEMPLATE = r"/api/v1/messaging/templates/([^/]+)"
    ROUTES: ClassVar = (
        Route("POST", r"/api/v2/oauth/token", Endpoint("token_sms", None, None, _token_sms)),
        Route("POST", r"/oauth/token", Endpoint("token_admin", None, None, _token_admin)),
        Route("POST", SEND_PATH, Endpoint("send", "sms", "message:sms:send", _send)),
        Route("GET", _TEMPLATE, Endpoint("template_get", "admin", "messaging:read", _get_template)),
        Route("PUT", _TEMPLATE, Endpoint("template_put", "admin", "messaging:write", _put_template)),
        Route("POST", r"/api/v1/a2p/registrations", Endpoint("register", "admin", "a2p:write", _register)),
        Route("POST", r"/api/v1/webhooks", Endpoint("subscribe", "admin", "webhooks:write", _subscribe)),
        Route("POST", r"/api/v1/audit/logs", Endpoint("audit", "admin", None, _audit)),
    )
