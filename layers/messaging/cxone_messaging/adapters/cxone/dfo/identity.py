"""The tenant that an id token names, once the issuer's signature is verified."""

import jwt

from cxone_messaging.adapters.cxone.json_answers import Document
from cxone_messaging.adapters.cxone.oauth import unavailable

# How far this clock and the issuer's may differ, in seconds.
_LEEWAY_SECONDS = 60.0
_ID_LIMIT = 128


def tenant_of(id_token: str, keys: Document, issuer: str, now: float) -> str:
    """Return the tenant's id. Raises `MessagingError` with `cxone_unavailable` for a token that is not the issuer's.

    `now` is in Unix seconds. The audience is not compared: no source shows what CXone puts there, and the token came
    from the issuer itself. No error quotes the token.
    """
    try:
        known = jwt.PyJWKSet.from_dict(dict(keys))
        id_ = jwt.get_unverified_header(id_token).get("kid")
        # A set of one key need not name it (RFC 7517, 4.5).
        key = known.keys[0] if id_ is None and len(known.keys) == 1 else known[str(id_)]
        claims = jwt.decode(
            id_token,
            key,
            algorithms=["RS256"],
            issuer=[issuer, f"{issuer}/"],  # as discovery, which takes either
            # Times are compared with this process's own clock.
            options={
                "require": ["exp", "iss"],
                "verify_aud": False,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except (jwt.PyJWTError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise unavailable(f"the id token cannot be verified with the issuer's keys ({type(error).__name__})") from None
    expires, tenant = claims["exp"], claims.get("tenantId")
    if not isinstance(expires, int | float) or expires + _LEEWAY_SECONDS < now:
        raise unavailable("the id token has expired: check this machine's clock")
    if not (isinstance(tenant, str) and 0 < len(tenant) <= _ID_LIMIT):
        raise unavailable("the id token names no tenant: Digital Engagement needs a UserHub tenant")
    return tenant
