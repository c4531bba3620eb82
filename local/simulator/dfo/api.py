"""The endpoints of the Digital Engagement API, and the state behind them."""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from local.simulator.api import Answer, Call
from local.simulator.dfo.discovery import (
    KEYS_PATH,
    TOKEN_PATH,
    check_place,
    cxone_configuration,
    issuer_of,
    openid_configuration,
)
from local.simulator.dfo.errors import DfoRefusedError, digital_fault, token_fault
from local.simulator.dfo.identity import Keys
from local.simulator.dfo.limits import DfoLimits
from local.simulator.dfo.outbound import order
from local.simulator.dfo.search import Page, find_contacts, find_messages, messages_of
from local.simulator.dfo.shapes import ME, channel_json, contact_json, message_json
from local.simulator.dfo.store import Contact, Store, Stored
from local.simulator.dfo.tokens import DfoTokens
from local.simulator.faults import Operation
from local.simulator.journal import Message
from local.simulator.settings import Settings
from local.simulator.wire import Refusal, RefusedError, Request, Response, Route

SEND_PATH_END = "/outbound"
_TRACE = "X-Trace-Id"
_NO_CONTENT = 204


@dataclass(frozen=True, slots=True)
class DfoEndpoint:
    """An operation and the method that answers it; `fault` makes the answer of a fault on order."""

    operation: Operation
    answer: Callable[["DfoApi", Call], Answer]
    is_digital: bool = True  # it needs a token, and its answers have a trace id
    fault: Refusal = digital_fault

    @property
    def is_token(self) -> bool:
        """Whether it is as slow as a token endpoint."""
        return not self.is_digital


class DfoApi:
    """Keys, tokens, budgets, contacts and messages. What the carrier got goes to `handed`."""

    def __init__(self, handed: list[Message], rng: random.Random) -> None:
        self.keys = Keys()
        self.tokens = DfoTokens(self.keys)
        self.limits = DfoLimits()
        self.store = Store()
        self._handed = handed
        self._rng = rng

    def take(self, endpoint: DfoEndpoint, call: Call) -> Answer:
        """Check the place, the token and the budget of reads, and answer; raises RefusedError."""
        call = replace(call, now=call.now + call.settings.dfo_clock_ahead_seconds)
        if endpoint.is_digital:
            check_place(call.request, call.settings)
            self.tokens.check(call.request, call.now)
            if call.request.method == "GET":
                self.limits.read(call.now, call.settings)
        return endpoint.answer(self, call)

    def traced(self, endpoint: DfoEndpoint, request: Request, response: Response) -> Response:
        """Return an answer with the trace id of its request, or with a new one."""
        if not endpoint.is_digital:
            return response
        trace = request.header(_TRACE) or str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        return replace(response, headers={**response.headers, _TRACE.lower(): trace})

    def receive(
        self, channel: str, number: str, text: str, *, created: float, now: float, settings: Settings
    ) -> Stored:
        """Store a text of a recipient; raises RefusedError for an unknown channel."""
        known = settings.channel(channel)
        if known is None:
            raise RefusedError(404, f"no channel {channel}")
        ahead = settings.dfo_clock_ahead_seconds
        now, created = now + ahead, created + ahead
        contact = self.store.open_contact(channel, number)
        contact = contact or self.store.add_contact(channel, number, "inbound", min(created, now))
        self.limits.change(contact.number, now, settings)
        to: dict[str, object] = {"idOnExternalPlatform": known.number}
        delivery = settings.delivery_for(number)
        return self.store.add_message(contact, "inbound", text, to, delivery, created=created, now=now)

    def _openid(self, call: Call) -> Answer:
        return Response(200, openid_configuration(issuer_of(call.request, call.settings))), {}

    def _configuration(self, call: Call) -> Answer:
        issuer = issuer_of(call.request, call.settings)
        return Response(200, cxone_configuration(call.request.query.get("tenantId"), issuer, call.settings)), {}

    def _keys(self, _: Call) -> Answer:
        return Response(200, self.keys.as_json()), {}

    def _token(self, call: Call) -> Answer:
        issuer = issuer_of(call.request, call.settings)
        return self.tokens.issue(call.request, issuer, call.settings, call.now, self._rng), {}

    def _send(self, call: Call) -> Answer:
        now, settings = call.now, call.settings
        channel = settings.channel(call.subject)
        if channel is None:
            raise DfoRefusedError(404, "no such channel", field="channelId", code="not_found")
        asked = order(call.request.body, channel, self.store, settings)
        self.limits.send(asked.contact.number if asked.contact else None, now, settings)
        contact = asked.contact or self.store.add_contact(channel.id, asked.digits, "outbound", now)
        contact.change(now, asked.status, asked.fields)
        self.limits.change(contact.number, now, settings)
        delivery = settings.delivery_for(asked.digits)
        stored = self.store.add_message(
            contact, "outbound", asked.text, asked.recipient, delivery, created=now, now=now
        )
        at = now - settings.dfo_clock_ahead_seconds
        message = Message(stored.id, f"+{asked.digits}", channel.id, asked.text, "", None, at)
        self._handed.append(message)
        body = {"consumerContact": contact_json(contact, now), "message": message_json(stored, now, settings)}
        status = settings.dfo_success_status
        response = Response(status, None if status == _NO_CONTENT else body)
        return response, {"messages": [message.as_json()], "contact": contact.number}

    def _messages(self, call: Call) -> Answer:
        page = find_messages(self.store, call.request, call.settings, _seen(call))
        return _listed(page, [message_json(each, _seen(call), call.settings) for each in page.found])

    def _message(self, call: Call) -> Answer:
        # Assumption 10 is of searches; that a single GET does not lag is a choice.
        message = self.store.by_id.get(call.subject)
        if message is None:
            raise DfoRefusedError(404, "no such message", code="not_found")
        return Response(200, message_json(message, call.now, call.settings)), {}

    def _contacts(self, call: Call) -> Answer:
        page = find_contacts(self.store, call.request, call.settings, _seen(call))
        return _listed(page, [contact_json(contact, _seen(call)) for contact in page.found])

    def _contact_messages(self, call: Call) -> Answer:
        contact = self.store.contacts.get(call.subject)
        if contact is None or contact.as_of(_seen(call)) is None:
            raise DfoRefusedError(404, "no such contact", code="not_found")
        page = messages_of(contact, call.request, call.settings, _seen(call))
        return _listed(page, [message_json(each, _seen(call), call.settings) for each in page.found])

    def _channels(self, call: Call) -> Answer:
        wanted = {value for name, value in call.request.pairs if name == "id[]"}
        channels = [each for each in call.settings.dfo_channels if not wanted or each.id in wanted]
        return Response(200, [channel_json(channel) for channel in channels]), {}

    def _custom_fields(self, call: Call) -> Answer:
        # That there are idents is known, the shape of the answer is not.
        return Response(200, [{"ident": ident, "label": ident} for ident in call.settings.dfo_custom_fields]), {}

    def _me(self, _: Call) -> Answer:
        return Response(200, ME), {}

    _BASE = r"/dfo/3\.0"
    ROUTES: ClassVar = (
        Route("POST", rf"{_BASE}/channels/([^/]+)/outbound", DfoEndpoint("dfo.send", _send)),
        Route("GET", rf"{_BASE}/messages", DfoEndpoint("dfo.messages", _messages)),
        Route("GET", rf"{_BASE}/messages/([^/]+)", DfoEndpoint("dfo.message", _message)),
        Route("GET", rf"{_BASE}/contacts", DfoEndpoint("dfo.contacts", _contacts)),
        Route("GET", rf"{_BASE}/contacts/([^/]+)/messages", DfoEndpoint("dfo.contact_messages", _contact_messages)),
        Route("GET", rf"{_BASE}/channels", DfoEndpoint("dfo.channels", _channels)),
        Route("GET", rf"{_BASE}/consumer-contact-custom-fields", DfoEndpoint("dfo.custom_fields", _custom_fields)),
        Route("GET", rf"{_BASE}/me", DfoEndpoint("dfo.me", _me)),
        Route("POST", TOKEN_PATH, DfoEndpoint("dfo.token", _token, is_digital=False, fault=token_fault)),
        Route("GET", KEYS_PATH, DfoEndpoint("dfo.keys", _keys, is_digital=False)),
        Route("GET", r"/\.well-known/openid-configuration", DfoEndpoint("dfo.discovery", _openid, is_digital=False)),
        Route(
            "GET",
            r"/\.well-known/cxone-configuration",
            DfoEndpoint("dfo.configuration", _configuration, is_digital=False),
        ),
    )


def _seen(call: Call) -> float:
    """Until when a search knows what happened."""
    return call.now - call.settings.dfo_index_lag_seconds


def _listed[T: (Stored, Contact)](page: Page[T], data: list[dict[str, object]]) -> Answer:
    token = {} if page.scroll_token is None else {"scrollToken": page.scroll_token}
    return Response(200, {"hits": page.hits, "data": data, **token}), {"hits": page.hits, "shown": len(data)}
