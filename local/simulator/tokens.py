"""OAuth client credentials: one token endpoint for each API family, tokens that expire by the clock."""

import hmac
import random
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl

from local.simulator.settings import Settings
from local.simulator.wire import RefusedError, Request, Response

type Family = Literal["sms", "admin"]


@dataclass(frozen=True, slots=True)
class Grant:
    """The rights of a token."""

    family: Family
    scopes: tuple[str, ...]
    expires: float


class Tokens:
    """The tokens in force."""

    def __init__(self) -> None:
        self._grants: dict[str, Grant] = {}

    def issue(self, family: Family, request: Request, settings: Settings, now: float, rng: random.Random) -> Response:
        """Answer a token request: all SMS scopes, or the requested admin scopes that the client may have."""
        form = _form(request)
        if form.get("grant_type") != "client_credentials":
            raise RefusedError(400, "grant_type must be client_credentials", error="unsupported_grant_type")
        known = (settings.client_id, settings.client_secret)
        if not all(_same(form.get(n), k) for n, k in zip(("client_id", "client_secret"), known, strict=True)):
            raise RefusedError(401, "unknown client or wrong secret", error="invalid_client")
        scopes = settings.sms_scopes
        if family == "admin":
            scopes = tuple(scope for scope in form.get("scope", "").split() if scope in settings.admin_scopes)
            if not scopes:
                raise RefusedError(400, "the client may have none of the requested scopes", error="invalid_scope")
        token = f"{family}-{rng.getrandbits(128):032x}"
        self._grants[token] = Grant(family, scopes, now + settings.token_lifetime_seconds)
        body = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": settings.token_lifetime_seconds,
            "scope": " ".join(scopes),
        }
        return Response(200, body, {"Cache-Control": "no-store"})

    def check(self, request: Request, family: Family, scope: str | None, now: float) -> None:
        """Refuse a token: 401 if it is missing, expired or of the other family, 403 if it lacks the scope."""
        scheme, _, token = (request.header("Authorization") or "").partition(" ")
        grant = self._grants.get(token)
        if scheme.lower() != "bearer" or grant is None or grant.family != family or grant.expires <= now:
            raise RefusedError(
                401,
                "the token is missing, expired or unknown here",
                {"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )
        if scope is not None and scope not in grant.scopes:
            challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
            raise RefusedError(403, f"the token lacks the scope {scope}", {"WWW-Authenticate": challenge}, scope=scope)

    def revoke_all(self) -> int:
        """Forget every token; returns how many there were."""
        revoked = len(self._grants)
        self._grants.clear()
        return revoked


def _form(request: Request) -> dict[str, str]:
    content_type = (request.header("Content-Type") or "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise RefusedError(400, "a token request is form-encoded", error="invalid_request")
    try:
        pairs = parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)
    except ValueError as error:
        raise RefusedError(400, "the form is malformed", error="invalid_request") from error
    if len(dict(pairs)) != len(pairs):
        raise RefusedError(400, "a form field stands twice", error="invalid_request")
    return dict(pairs)


def _same(given: str | None, known: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode(), known.encode())
