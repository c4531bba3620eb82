"""Discovery: the issuer's OpenID configuration, and the tenant's place."""

from urllib.parse import urlsplit

from local.simulator.dfo.errors import DfoRefusedError
from local.simulator.dfo.settings import DfoSettings
from local.simulator.wire import Request

TOKEN_PATH = "/auth/token"  # noqa: S105
KEYS_PATH = "/auth/jwks"  # the facts have the field `jwks_uri` but no value of it
_DIGITAL = "api-de-"
_AREA_PREFIX = "/area/"


def issuer_of(request: Request, settings: DfoSettings) -> str:
    """Return the issuer, without a slash at its end."""
    return settings.dfo_issuer or request.base_url


def openid_configuration(issuer: str) -> dict[str, object]:
    """Return what `/.well-known/openid-configuration` says."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/auth/authorize",
        "token_endpoint": f"{issuer}{TOKEN_PATH}",
        "jwks_uri": f"{issuer}{KEYS_PATH}",
        "end_session_endpoint": f"{issuer}/auth/logout",
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "display_values_supported": ["page", "popup"],
        "claim_types_supported": ["normal"],
    }


def cxone_configuration(tenant: str | None, issuer: str, settings: DfoSettings) -> dict[str, object]:
    """Return what `/.well-known/cxone-configuration` says; 400 without a tenant, 404 for an unknown one (a choice)."""
    if not tenant:
        raise DfoRefusedError(400, "tenantId is required", field="tenantId")
    if tenant != settings.dfo_tenant_id:
        raise DfoRefusedError(404, "no such tenant", field="tenantId")
    area, domain = settings.dfo_area, settings.dfo_domain
    found = {
        "private": False,
        "ui_endpoint": f"https://{area}.{domain}",
        "auth_endpoint": issuer,
        "api_endpoint": f"https://api-{area}.{domain}",
        "area": area,
        "cluster": f"{area}-local",
        "domain": domain,
        "acdDomain": domain,
        "uhDomain": domain,
        "tenantId": tenant,
        settings.dfo_global_domain_field: domain,
    }
    return {name: value for name, value in found.items() if name not in settings.dfo_configuration_omits}


def without_area(path: str) -> str:
    """Return a path without the `/area/{area}` before it, by which a test on one host moves a tenant."""
    return f"/{path.removeprefix(_AREA_PREFIX).partition('/')[2]}" if path.startswith(_AREA_PREFIX) else path


def check_place(request: Request, settings: DfoSettings) -> None:
    """Refuse a request to the host, or below the path, of an area that is not the tenant's.

    A host of another form passes: it is that of the simulator (assumption 18).
    """
    host = (urlsplit(request.base_url).hostname or "").lower()
    moved = host.startswith(_DIGITAL) and host != f"{_DIGITAL}{settings.dfo_area}.{settings.dfo_domain}".lower()
    if request.path.startswith(_AREA_PREFIX):
        moved |= request.path.removeprefix(_AREA_PREFIX).partition("/")[0] != settings.dfo_area
    if moved:
        raise DfoRefusedError(settings.dfo_moved_status, "the tenant is not here", code="moved")
