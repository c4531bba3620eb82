"""The options of a local stack: its folder, its ports, and the CXone that it uses."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from local import template
from local.processes import ServerError, free_port
from local.simulator.dfo.settings import MAIN_CHANNEL

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".local"
CLIENT_ID = "local-client"
CLIENT_SECRET = "local-secret&=+%"  # noqa: S105  the simulator's; with all that a form must encode
ACCESS_KEY_ID, ACCESS_KEY_SECRET = "local-access-key", "local-key-secret&+=="
SMS_V2, DFO = (str(each) for each in template.load()["Parameters"]["CxoneApi"]["AllowedValues"])
CAMPAIGN_ID = "local-campaign"
SENDER = "+15550100000"
OPERATOR_ID = "local-operator"
_HIGHEST_PORT = 65535
# What becomes a parameter of the template must be such as that parameter takes.
_PARAMETERS = {
    "CXONE_SMS_BASE_URL": "CxoneSmsBaseUrl",
    "CXONE_API_BASE_URL": "CxoneApiBaseUrl",
    "CXONE_CAMPAIGN_ID": "CxoneCampaignId",
    "CXONE_FROM_NUMBER": "CxoneFromNumber",
    "CXONE_OPERATOR_ID": "CxoneOperatorId",
    "CXONE_DIGITAL_BASE_URL": "CxoneDigitalBaseUrl",
    "CXONE_CHANNEL_ID": "CxoneChannelId",
}
TOKEN_STORES = template.load()["Parameters"]["TokenStore"]["AllowedValues"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One stack's options; two stacks with their own folders and ports are independent."""

    folder: Path
    ministack_port: int
    simulator_port: int
    client_id: str = CLIENT_ID
    client_secret: str = CLIENT_SECRET
    sms_base_url: str | None = None
    api_base_url: str | None = None
    campaign_id: str = CAMPAIGN_ID
    sender: str = SENDER
    operator_id: str = OPERATOR_ID
    token_store: str = TOKEN_STORES[0]
    api: str = SMS_V2
    issuer: str | None = None
    digital_base_url: str = ""
    channel_id: str = MAIN_CHANNEL
    access_key_id: str = ACCESS_KEY_ID
    access_key_secret: str = ACCESS_KEY_SECRET

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the options of `make up`. Raises `ServerError` if they are invalid."""
        for variable, value in environment.items():
            # Python reads bytes that are no UTF-8 as lone surrogates.
            if variable.startswith("CXONE_") and any("\ud800" <= each <= "\udfff" for each in value):
                raise ServerError(f"{variable} is no UTF-8 text")
        sms, api = environment.get("CXONE_SMS_BASE_URL"), environment.get("CXONE_API_BASE_URL")
        if bool(sms) != bool(api):
            raise ServerError("give both CXONE_SMS_BASE_URL and CXONE_API_BASE_URL, or neither")
        for variable, parameter in _PARAMETERS.items():
            definition = template.load()["Parameters"][parameter]
            if not re.fullmatch(definition["AllowedPattern"], environment.get(variable, "")):
                raise ServerError(f"{variable} {definition['ConstraintDescription']}")
        cxone_api, issuer = environment.get("CXONE_API") or SMS_V2, environment.get("CXONE_ISSUER")
        if cxone_api not in {SMS_V2, DFO}:
            raise ServerError(f"CXONE_API must be {SMS_V2} or {DFO}")
        pattern = template.load()["Parameters"]["CxoneIssuer"]
        if issuer and not re.fullmatch(pattern["AllowedPattern"], issuer):
            raise ServerError(f"CXONE_ISSUER {pattern['ConstraintDescription']}")
        is_dfo = cxone_api == DFO
        token_store = environment.get("TOKEN_STORE") or TOKEN_STORES[0]
        if token_store not in TOKEN_STORES:
            raise ServerError(f"TOKEN_STORE must be {' or '.join(TOKEN_STORES)}")
        ministack_port = port_in(environment, "MINISTACK_PORT", 4566)
        simulator_port = port_in(environment, "SIMULATOR_PORT", 8090)
        if ministack_port == simulator_port and not (issuer if is_dfo else sms):
            raise ServerError("MINISTACK_PORT and SIMULATOR_PORT are the same")
        return cls(
            folder=FOLDER,
            ministack_port=ministack_port,
            simulator_port=simulator_port,
            client_id=environment.get("CXONE_CLIENT_ID") or CLIENT_ID,
            client_secret=environment.get("CXONE_CLIENT_SECRET") or CLIENT_SECRET,
            sms_base_url=None if is_dfo else sms or None,
            api_base_url=None if is_dfo else api or None,
            campaign_id=environment.get("CXONE_CAMPAIGN_ID", CAMPAIGN_ID),
            sender=environment.get("CXONE_FROM_NUMBER", SENDER),
            operator_id=environment.get("CXONE_OPERATOR_ID", OPERATOR_ID),
            token_store=token_store,
            api=cxone_api,
            issuer=issuer or None if is_dfo else None,
            digital_base_url=environment.get("CXONE_DIGITAL_BASE_URL", ""),
            channel_id=environment.get("CXONE_CHANNEL_ID") or MAIN_CHANNEL,
            access_key_id=environment.get("CXONE_ACCESS_KEY_ID") or ACCESS_KEY_ID,
            access_key_secret=environment.get("CXONE_ACCESS_KEY_SECRET") or ACCESS_KEY_SECRET,
        )

    @classmethod
    def apart(cls, folder: Path, *, campaign_id: str = CAMPAIGN_ID, api: str = SMS_V2) -> Self:
        """Return options for a stack beside any other: on free ports, always with the simulator."""
        return cls(
            folder=folder.resolve(),
            ministack_port=free_port(),
            simulator_port=free_port(),
            campaign_id=campaign_id,
            api=api,
        )

    @property
    def endpoint(self) -> str:
        """The emulator's URL."""
        return f"http://127.0.0.1:{self.ministack_port}"

    @property
    def simulator_url(self) -> str | None:
        """The simulator's URL, or None if a real CXone is used."""
        return None if self.sms_base_url or self.issuer else f"http://127.0.0.1:{self.simulator_port}"

    @property
    def ports(self) -> dict[str, int]:
        """Return each server's port."""
        simulator = {"simulator": self.simulator_port} if self.simulator_url else {}
        return {"emulator": self.ministack_port, **simulator}

    @property
    def credentials(self) -> dict[str, str]:
        """Return what the credentials secret is to hold."""
        client = {"clientId": self.client_id, "clientSecret": self.client_secret}
        key = {"accessKeyId": self.access_key_id, "accessKeySecret": self.access_key_secret}
        return client | (key if self.api == DFO else {})

    @property
    def parameters(self) -> dict[str, str]:
        """Return the template's parameters that say how CXone is reached."""
        if self.api == DFO:
            return {
                "CxoneApi": self.api,
                "CxoneIssuer": self.issuer or self.simulator_url or "",
                # The simulator has no host of an area's name.
                "CxoneDigitalBaseUrl": self.digital_base_url or self.simulator_url or "",
                "CxoneChannelId": self.channel_id,
            }
        return {
            "CxoneApi": self.api,
            "CxoneSmsBaseUrl": self.sms_base_url or self.simulator_url or "",
            "CxoneApiBaseUrl": self.api_base_url or self.simulator_url or "",
            "CxoneFromNumber": self.sender,
            "CxoneOperatorId": self.operator_id,
        }


def port_in(environment: Mapping[str, str], name: str, default: int) -> int:
    """Return the port that a variable names, or the default. Raises `ServerError` if it names none."""
    text = environment.get(name) or str(default)
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(_HIGHEST_PORT))
    if not (is_number and 0 < int(text) <= _HIGHEST_PORT):
        raise ServerError(f"{name} is {text!r}, but a port is a number from 1 to {_HIGHEST_PORT}")
    return int(text)
