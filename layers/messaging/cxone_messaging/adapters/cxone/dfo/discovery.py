"""Where the Digital Engagement API is: the issuer's endpoints, then the tenant's area.

Sources: NICE's OpenAPI files for both documents, and its agent SDK for the digital host. Hosts differ between areas in
more than a name's part. So they are asked for, and never put together from a setting.
"""

import re
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import requests

from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.adapters.cxone.json_answers import Document, document, text
from cxone_messaging.adapters.cxone.oauth import unavailable

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_AREA, _DOMAIN = re.compile(_LABEL), re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
# FedRAMP: NICE's agent SDK has this domain for the area, whatever the configuration says.
_DOMAINS = {"na2": "nicecxone-gov.com"}
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


class Endpoints(NamedTuple):
    """Where the issuer gives tokens, and the keys that it signs with."""

    token: str
    keys: str


class Discovery:
    """Asks one issuer. All methods take at most `seconds`, and raise `MessagingError` with `cxone_unavailable`."""

    def __init__(self, session: CxoneSession, issuer: str) -> None:
        self._session = session
        self.issuer = issuer

    def endpoints(self, seconds: float) -> Endpoints:
        """Return the issuer's endpoints (OpenID Connect Discovery 1.0)."""
        found = self._get(f"{self.issuer}/.well-known/openid-configuration", seconds)
        # Discovery 1.0, 4.3: an answer for another issuer must not be used.
        if text(found, "issuer").rstrip("/") != self.issuer:
            raise unavailable("the issuer's configuration names another issuer: check CxoneIssuer")
        token, keys = text(found, "token_endpoint"), text(found, "jwks_uri")
        if not (self._is_safe(token) and self._is_safe(keys)):
            raise unavailable("the issuer's configuration names no safe token endpoint and keys: check CxoneIssuer")
        return Endpoints(token, keys)

    def keys(self, url: str, seconds: float) -> Document:
        """Return the issuer's keys (RFC 7517)."""
        return self._get(url, seconds)

    def digital_base_url(self, tenant_id: str, seconds: float) -> str:
        """Return the base URL of a tenant's digital API."""
        found = self._get(
            f"{self.issuer}/.well-known/cxone-configuration?tenantId={quote(tenant_id, safe='')}", seconds
        )
        area = text(found, "area").lower()
        domain = _DOMAINS.get(area) or text(found, "domain").lower()
        if not (_AREA.fullmatch(area) and _DOMAIN.fullmatch(domain)):
            raise unavailable("CXone's configuration names no area and domain: set CxoneDigitalBaseUrl")
        return f"https://api-de-{area}.{domain}"

    def _is_safe(self, url: str) -> bool:
        """Whether credentials may go to a URL: over TLS, or to this machine if the issuer is there too."""
        parts = urlsplit(url)
        if parts.username or not parts.hostname:
            return False
        return parts.scheme == "https" or (
            parts.scheme == "http" and {parts.hostname, urlsplit(self.issuer).hostname} <= _LOCAL
        )

    def _get(self, url: str, seconds: float) -> Document:
        what = urlsplit(url).path.rpartition("/")[2] or "the issuer"
        try:
            answer = self._session.exchange(
                url, None, {"Accept": "application/json"}, seconds, must_read={HTTPStatus.OK}, method="GET"
            )
        except (requests.RequestException, OSError, ValueError) as error:
            raise unavailable(f"{what} sent no answer ({type(error).__name__})") from None
        if answer.status != HTTPStatus.OK:
            raise unavailable(f"{what} answered {answer.status}", answer.retry_after)
        found = document(answer.body)
        if not found:
            raise unavailable(f"{what} answered 200 without an object of JSON: check CxoneIssuer")
        return found
