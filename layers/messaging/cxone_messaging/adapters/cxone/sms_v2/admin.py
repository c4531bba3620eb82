"""CXone's messaging administration API: only this module has its URLs, scopes and payloads.

No independent public source confirms this API (README). Its documents do not say whether the calls after an approval
take an `Idempotency-Key`; the client sends one, because it does no harm. Another API can be supported by a second
implementation of `TemplateGateway`.
"""

import json
import math
import random
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import requests

from cxone_messaging.adapters.cxone.http import Answer, CxoneSession, WatchedBody
from cxone_messaging.adapters.cxone.token_cache import Token, TokenCache
from cxone_messaging.domain.approvals import AuditRecord, Receipt, Registration
from cxone_messaging.domain.errors import Code, CxoneCallError, StorageError
from cxone_messaging.domain.templates import APPROVED, Template
from cxone_messaging.domain.written_numbers import mask_numbers_in
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.deadline import Deadline

READ, WRITE, REGISTER, SUBSCRIBE = "messaging:read", "messaging:write", "a2p:write", "webhooks:write"
SCOPES = (READ, WRITE, REGISTER, SUBSCRIBE)
TOKEN_PATH = "/oauth/token"  # noqa: S105  a path

_TIMEOUT_SECONDS = 20.0
# Another try needs at least this much time to connect and to receive the answer.
_LEAST_SECONDS = 2.0
# Documents: after a 429 wait 1 to 5 seconds, doubling, up to 30. A longer `Retry-After` overrides that.
_FIRST_WAIT_SECONDS, _MAX_WAIT_SECONDS = (1.0, 5.0), 30.0
_RETRY_AFTER_SECONDS = 5
_ANSWER_LIMIT, _ID_LIMIT = 4096, 256
_SENSITIVE = ("secret", "token", "password", "authorization")
_DONE = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT})


class CxoneAdmin:
    """The administration family at one base URL."""

    def __init__(
        self, base_url: str, tokens: TokenCache, session: CxoneSession, clock: Clock, rng: random.Random
    ) -> None:
        self._base_url = base_url
        self._tokens = tokens
        self._session = session
        self._clock = clock
        self._rng = rng

    def fetch(self, template_id: str, deadline: Deadline) -> Template:
        """Return the current template."""
        answer = self._call("GET", _path(template_id), READ, deadline)
        document = _object(answer.body)
        texts = [document.get(name) for name in ("status", "content", "from_address")]
        status, content, sender = (text if isinstance(text, str) else None for text in texts)
        if document.get("id") != template_id or status is None or content is None or sender is None:
            raise _unavailable("CXone's answer is not a template", answer.status)
        meta = document.get("meta")
        updated_at = meta.get("updated_at") if isinstance(meta, dict) else None
        return Template(
            id=template_id,
            status=status,
            content=content,
            from_address=sender,
            updated_at=str(updated_at) if updated_at else None,
            etag=answer.headers.get("ETag"),
            document=document,
        )

    def approve(self, template: Template, deadline: Deadline) -> Receipt:
        """Approve a template as it was fetched.

        Raises `template_conflict` if it has changed since, or if another user holds it.
        """
        headers = {"If-Match": template.etag} if template.etag else {}
        body = {**template.document, "status": APPROVED}
        return _receipt(self._call("PUT", _path(template.id), WRITE, deadline, body, headers))

    def register(self, template_id: str, registration: Registration, key: str, deadline: Deadline) -> Receipt:
        """Register an approved template with the carriers' gateway."""
        body = {
            "template_id": template_id,
            "campaign_name": registration.campaign_name,
            "message_class": registration.message_class,
            "opt_in_language": registration.opt_in_language,
        }
        return _receipt(self._post("/api/v1/a2p/registrations", REGISTER, deadline, body, key))

    def subscribe(self, url: str, secret: str, events: Sequence[str], key: str, deadline: Deadline) -> Receipt:
        """Subscribe a URL to the named events; `secret` signs them."""
        body = {"url": url, "events": list(events), "secret": secret}
        receipt = _receipt(self._post("/api/v1/webhooks", SUBSCRIBE, deadline, body, key))
        return Receipt(receipt.http_status, receipt.id)  # its body may repeat the secret, under any name

    def publish(self, record: AuditRecord, key: str, deadline: Deadline) -> Receipt:
        """Record an approval in CXone's audit log."""
        body = {
            "timestamp": record.timestamp,
            "template_id": record.template_id,
            "action": "TEMPLATE_APPROVAL",
            "status": APPROVED,
            "latency_ms": record.latency_ms,
            "operator_id": record.operator_id,
            "carrier_ready": record.carrier_ready,
        }
        return _receipt(self._post("/api/v1/audit/logs", None, deadline, body, key))

    def _post(self, path: str, scope: str | None, deadline: Deadline, body: Mapping[str, Any], key: str) -> Answer:
        return self._call("POST", path, scope, deadline, body, {"Idempotency-Key": key})

    def _call(  # noqa: PLR0917  the parts of an HTTP request
        self,
        method: str,
        path: str,
        scope: str | None,
        deadline: Deadline,
        document: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer to a request; retry once with a new token, and after each 429 in time."""
        wait = self._rng.uniform(*_FIRST_WAIT_SECONDS)
        was_refused = False
        while True:
            token = self._token(deadline.left)
            if deadline.left < _LEAST_SECONDS:
                raise _unavailable("no time was left to call CXone")
            headers = {**(headers or {}), "Authorization": f"Bearer {token.value}"}
            answer = self._once(method, path, deadline, document, headers)
            match answer.status:
                case HTTPStatus.UNAUTHORIZED:
                    self._tokens.invalidate(token)
                    if was_refused:
                        raise CxoneCallError(
                            Code.CXONE_AUTH_FAILED, "CXone refused a new token too", http_status=answer.status
                        )
                    was_refused = True
                case HTTPStatus.TOO_MANY_REQUESTS:
                    pause = max(wait, answer.retry_after or 0.0)
                    if deadline.left < pause + _LEAST_SECONDS:
                        raise _throttled(pause)
                    self._clock.sleep(pause)
                    wait = min(_MAX_WAIT_SECONDS, wait * 2)
                case HTTPStatus.FORBIDDEN:
                    self._tokens.discard(token)
                    raise _forbidden(scope)
                case status if status in _DONE:
                    self._tokens.mark_accepted(token)
                    return answer
                case _:
                    raise _refused(answer.status, method, has_template=path.startswith(_TEMPLATES))

    def _token(self, seconds: float) -> Token:
        try:
            return self._tokens.get(seconds)
        except StorageError as error:
            raise _unavailable("the shared token could not be read") from error

    def _once(
        self, method: str, path: str, deadline: Deadline, document: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> Answer:
        body = None if document is None else WatchedBody(document, lambda: deadline.has_passed)
        if body is not None:
            headers = {**headers, "Content-Type": "application/json"}
        try:
            return self._session.exchange(
                self._base_url + path,
                body,
                headers,
                min(_TIMEOUT_SECONDS, deadline.left),
                must_read=_DONE,
                method=method,
            )
        except (requests.RequestException, OSError, ValueError) as error:
            detail = f"CXone sent no complete answer ({type(error).__name__})"
            raise _unavailable(detail, in_doubt=body is not None and body.written) from None


_TEMPLATES = "/api/v1/messaging/templates/"


def _path(template_id: str) -> str:
    return _TEMPLATES + quote(template_id, safe="")


def _refused(status: int, method: str, *, has_template: bool) -> CxoneCallError:
    if has_template and status == HTTPStatus.NOT_FOUND:
        return CxoneCallError(Code.TEMPLATE_NOT_FOUND, "CXone has no template with this id", http_status=status)
    if has_template and status in {HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED}:
        return CxoneCallError(Code.TEMPLATE_CONFLICT, f"CXone answered {status}", http_status=status)
    if 300 <= status < 500 and status != HTTPStatus.REQUEST_TIMEOUT:  # noqa: PLR2004
        return CxoneCallError(Code.CXONE_REJECTED, f"CXone answered {status}", http_status=status)
    return _unavailable(f"CXone answered {status}", status, in_doubt=method != "GET")


def _forbidden(scope: str | None) -> CxoneCallError:
    detail = f"the credentials lack the scope {scope}" if scope else "the credentials may not do this"
    return CxoneCallError(Code.CXONE_REJECTED, detail, http_status=HTTPStatus.FORBIDDEN)


def _throttled(seconds: float) -> CxoneCallError:
    detail = "CXone requires a wait that is longer than this request may take"
    wait = max(1, math.ceil(seconds))
    return CxoneCallError(Code.RATE_LIMITED, detail, http_status=HTTPStatus.TOO_MANY_REQUESTS, retry_after=wait)


def _unavailable(detail: str, status: int | None = None, *, in_doubt: bool = False) -> CxoneCallError:
    return CxoneCallError(
        Code.CXONE_UNAVAILABLE, detail, http_status=status, in_doubt=in_doubt, retry_after=_RETRY_AFTER_SECONDS
    )


def _receipt(answer: Answer) -> Receipt:
    """Return the status, id and body that an audit needs.

    The status alone means success, whatever the body is.
    """
    document = _object(answer.body)
    id_ = document.get("id")
    valid_id = id_ if isinstance(id_, str) and 0 < len(id_) <= _ID_LIMIT and id_.isprintable() else None
    try:
        # The whole is searched too: a number may be spread over a list.
        text = mask_numbers_in(json.dumps(_redacted(document)))[:_ANSWER_LIMIT] if document else None
    except RecursionError:
        text = None
    return Receipt(answer.status, valid_id, text)


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _redacted(value: Any) -> Any:
    """Return a value without possible secrets, and with possible phone numbers masked, in names and numbers too."""
    match value:
        case dict():
            kept = {key: each for key, each in value.items() if not any(word in key.lower() for word in _SENSITIVE)}
            return {mask_numbers_in(key): _redacted(each) for key, each in kept.items()}
        case list():
            return [_redacted(each) for each in value]
        case str():
            return mask_numbers_in(value)
        case int() | float():
            masked = mask_numbers_in(str(value))
            return value if masked == str(value) else masked
        case _:
            return value
