"""The functions' handlers: their names, their modules, the settings that they read, and a request to one of them."""

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from cxone_messaging.platform.settings import Settings
from cxone_messaging.wiring.dfo import DfoSettings
from cxone_messaging.wiring.sending import SenderSettings
from cxone_messaging.wiring.sms_v2 import SmsV2Settings
from tests.webhooks import Context

NAMES = sorted(path.parent.name for path in Path("functions").glob("*/handler.py"))


def module(name: str) -> ModuleType:
    """Return a function's handler module."""
    return importlib.import_module(f"functions.{name}.handler")


def settings_of(function: ModuleType) -> list[type[Settings]]:
    """Return the settings models that a handler defines."""
    own = (each for each in vars(function).values() if isinstance(each, type) and each.__module__ == function.__name__)
    return [each for each in own if issubclass(each, Settings)]


def variables(model: type[Settings]) -> frozenset[str]:
    """Return the variables that a handler reads: its own model's, and those of each API that it may speak."""
    own = model.variables()
    if issubclass(model, SenderSettings):
        return own | SmsV2Settings.variables() | DfoSettings.variables()
    return own | DfoSettings.variables() - {"CXONE_RECIPIENT_FORMAT"} if "CXONE_CHANNEL_ID" in own else own


def required(model: type[Settings]) -> list[str]:
    """Return the environment variables that a settings model requires."""
    return sorted(str(field.alias) for field in model.model_fields.values() if field.is_required())


def filled(model: type[Settings]) -> dict[str, str]:
    """Return a value for each variable that a settings model requires."""
    return {name: "https://cxone.test" if name.endswith(("BASE_URL", "ISSUER")) else "1" for name in required(model)}


def call(
    function: ModuleType,
    route: str,
    body: object = None,
    *,
    headers: dict[str, str] | None = None,
    path: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Send a function a request as the REST API does, and return its answer."""
    method, _, resource = route.partition(" ")
    event = {
        "httpMethod": method,
        "resource": resource,
        "pathParameters": path,
        "headers": headers or {},
        "body": None if body is None else json.dumps(body),
    }
    answer: dict[str, Any] = function.handler(event, Context())
    return answer


MODELS = [model for name in NAMES for model in settings_of(module(name))] + [SmsV2Settings, DfoSettings]
