"""The token endpoint: the password grant, with a client's and an access key's credentials."""

import base64
import binascii
import hmac
import random
from urllib.parse import parse_qsl

from local.simulator.dfo.errors import UNAUTHENTICATED, DfoRefusedError, TokenRefusedError
from local.simulator.dfo.identity import Keys
from local.simulator.settings import Settings
from local.simulator.wire import Request, Response


class DfoTokens:
    """The tokens in force."""

    def __init__(self, keys: Keys) -> None:
        self._expires: dict[str, float] = {}
        self._keys = keys

    def issue(self, request: Request, issuer: str, settings: Settings, now: float, rng: random.Random) -> Response:
        """Answer a token request with the six fields."""
        form = _form(request)
        _check_client(request, form, settings)
        if form.get("grant_type") != "password":  # `client_credentials` is not among the documented ones
            raise TokenRefusedError(400, "unsupported_grant_type", "grant_type must be password")
        known = (settings.access_key_id, settings.access_key_secret)
        if not all(_same(form.get(name), value) for name, value in zip(("username", "password"), known, strict=True)):
            raise TokenRefusedError(
                settings.dfo_wrong_key_status, "invalid_grant", "unknown access key, or wrong secret"
            )
        lifetime = settings.token_lifetime_seconds
        claims = {
            "iss": issuer,
            "aud": settings.client_id,
            "sub": "user:11eb1111-2222-4333-8444-555566667777",
            "tenantId": settings.dfo_tenant_id,
            "area": settings.dfo_area,
            "iat": int(now),
            "exp": int(now) + lifetime,
        }
        token = self._keys.sign({**claims, "jti": f"{rng.getrandbits(128):032x}"})
        self._expires[token] = now + lifetime
        body = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": lifetime,
            "refresh_token": f"{rng.getrandbits(128):032x}",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }
        if settings.dfo_id_token != "absent":  # noqa: S105
            body["id_token"] = self._keys.id_token(claims, settings)
        return Response(200, body, {"Cache-Control": "no-store"})

    def check(self, request: Request, now: float) -> None:
        """Refuse a token that is missing, expired or unknown with 401."""
        scheme, _, token = (request.header("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or self._expires.get(token, 0.0) <= now:
            raise DfoRefusedError(UNAUTHENTICATED, "the token is missing, expired or unknown here", code="unauthorized")

    def revoke_all(self) -> int:
        """Forget every token; returns how many there were."""
        revoked = len(self._expires)
        self._expires.clear()
        return revoked


def _check_client(request: Request, form: dict[str, str], settings: Settings) -> None:
    scheme, _, encoded = (request.header("Authorization") or "").partition(" ")
    given: tuple[str | None, str | None] = (form.get("client_id"), form.get("client_secret"))
    if scheme.lower() == "basic":
        try:
            client, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            client, secret = "", ""
        given = (client, secret)
    known = (settings.client_id, settings.client_secret)
    if not all(_same(value, right) for value, right in zip(given, known, strict=True)):
        raise TokenRefusedError(UNAUTHENTICATED, "invalid_client", "unknown client, or wrong secret")


def _form(request: Request) -> dict[str, str]:
    content_type = (request.header("Content-Type") or "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise TokenRefusedError(400, "invalid_request", "a token request is form-encoded")
    try:
        pairs = parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)
    except ValueError as error:
        raise TokenRefusedError(400, "invalid_request", "the form is malformed") from error
    if len(dict(pairs)) != len(pairs):
        raise TokenRefusedError(400, "invalid_request", "a form field stands twice")
    return dict(pairs)


def _same(given: str | None, known: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode(), known.encode())
