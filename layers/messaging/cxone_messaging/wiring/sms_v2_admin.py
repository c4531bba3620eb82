"""The client of the messaging administration API of the two source documents, and its setting."""

import random

from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.adapters.cxone.sms_v2 import admin
from cxone_messaging.adapters.cxone.sms_v2.admin import CxoneAdmin
from cxone_messaging.adapters.cxone.sms_v2.token import TokenEndpoint
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.telemetry import Telemetry
from cxone_messaging.wiring.sms_v2 import credentials
from cxone_messaging.wiring.tokens import TokenSettings, token_cache


def template_gateway(settings: TokenSettings, token_name: str, base_url: str, telemetry: Telemetry) -> CxoneAdmin:
    """Return the client of CXone's messaging administration API at its base URL.

    `token_name` is the shared token's in its store.
    """
    clock, session = SystemClock(), CxoneSession(SystemClock())
    read = credentials(settings.credentials_secret_arn)
    fetch = TokenEndpoint(session, base_url + admin.TOKEN_PATH, read, admin.SCOPES, clock)
    tokens = token_cache(settings, fetch, token_name, "admin", telemetry)
    rng = random.Random()  # noqa: S311  jitter is no secret
    return CxoneAdmin(base_url, tokens, session, clock, rng)
