"""Checks of what this stack and CXone need of each other: secrets, tokens, the webhook's address."""

import ipaddress
from collections.abc import Collection, Sequence
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

from cli.doctor.deployment import Deployment
from cli.findings import Finding, NotCheckedError, green, red, yellow
from cxone_messaging.adapters.cxone.http import Answer, CxoneSession
from cxone_messaging.adapters.cxone.json_answers import objects, text
from cxone_messaging.adapters.cxone.resolver import Resolver
from cxone_messaging.adapters.cxone.sms_v2 import admin, sms
from cxone_messaging.adapters.cxone.sms_v2.token import TokenEndpoint
from cxone_messaging.adapters.cxone.token_cache import FetchedToken
from cxone_messaging.adapters.secrets import UnreadableSecretError, WebhookSecrets, read_object, read_pepper
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.platform.clock import SystemClock

_TOKEN_SECONDS, _LOOK_UP_SECONDS, _READ_SECONDS = 15.0, 10.0, 10.0
_READ_LIMIT = 1024 * 1024
_CREDENTIALS = "docs/runbook.md#rotate-cxones-credentials"
_ORGANISATION = "set CxoneOrg, or have CXone post replies by hand: docs/runbook.md#have-replies-posted"
_NEEDED = "docs/dfo.md#what-it-needs"
_ACCESS_KEY = ("accessKeyId", "accessKeySecret")
# What a channel says about delivery: `isTrackingMessageDeliveryStatus`.
_TRACKING = {
    True: "it tracks delivery",
    False: "it tracks no delivery, so `dispatched` is final after a day",
    None: "it does not say whether it tracks delivery",
}
_DELIVERIES_PATH = "/webhooks/cxone/sms"


def secrets(deployment: Deployment) -> Finding:
    """Check that each secret holds what the functions need, and not the template's placeholder."""
    store, target = deployment.secrets, deployment.target
    faults, remedies = [], []
    if missing := [name for name, value in _cxone_credentials(deployment).items() if not value]:
        faults.append(f"CredentialsSecretArn holds no {' and '.join(missing)}")
        remedies.append(f"put CXone's credentials in: {_CREDENTIALS}")
    for output in ("WebhookSecretArn", "CallbackSecretArn"):
        try:
            WebhookSecrets(store, target.output(output), deployment.clock).accepted()
        except UnreadableSecretError as error:
            faults.append(f"{output}: {error}")
            remedies.append("rotate it: docs/runbook.md#rotate-the-webhook-secret")
    try:
        read_pepper(store, target.output("PepperSecretArn"))
    except UnreadableSecretError as error:
        faults.append(f"PepperSecretArn: {error}")
        remedies.append("put the pepper back that it had, never another: docs/runbook.md#the-pepper")
    if faults:
        return red("; ".join(faults), "; ".join(dict.fromkeys(remedies)))
    return green("all four are filled in")


def _cxone_credentials(deployment: Deployment) -> dict[str, str]:
    """Return CXone's credentials by name, empty where the secret does not have them."""
    names = ("clientId", "clientSecret", *(_ACCESS_KEY if deployment.speaks_dfo else ()))
    try:
        document = read_object(deployment.secrets, deployment.target.output("CredentialsSecretArn"))
    except UnreadableSecretError:
        document = {}
    return {name: str(document.get(name) or "") for name in names}


def sms_token(deployment: Deployment) -> Finding:
    """Check that CXone gives a token that may send."""
    if deployment.speaks_dfo:
        return _dfo_token(deployment)
    url = deployment.setting("send_message", "CXONE_SMS_BASE_URL") + sms.TOKEN_PATH
    return _token(deployment, url, requested=(), needed={sms.SCOPE})


def admin_token(deployment: Deployment) -> Finding:
    """Check that CXone gives a token that may approve templates."""
    if deployment.speaks_dfo:
        return green("not supported: Digital Engagement approves no templates, CXone's own pages do")
    url = deployment.setting("approve_template", "CXONE_API_BASE_URL")
    if has_no_organisation(deployment):
        return yellow(
            "CxoneOrg is not set: no template can be approved, and nobody subscribes to replies", _ORGANISATION
        )
    return _token(deployment, url + admin.TOKEN_PATH, requested=admin.SCOPES, needed=set(admin.SCOPES))


def _token(deployment: Deployment, url: str, requested: Sequence[str], needed: Collection[str]) -> Finding:
    """Fetch one token, which is neither used nor shared, and check its scopes."""
    client_id, client_secret = _filled_in(deployment)
    fetch = TokenEndpoint(CxoneSession(SystemClock()), url, lambda: (client_id, client_secret), requested)
    try:
        token = fetch(_TOKEN_SECONDS)
    except MessagingError as error:
        return _no_token(error, url)
    # An answer that names no scopes grants those that were requested (RFC 6749, 5.1).
    scopes = token.scopes if token.scopes is not None else frozenset(requested)
    if token.scopes is None and not requested:
        return yellow("CXone gives a token, but does not name its scopes", "see whether it may send: --send-to NUMBER")
    if missing := sorted(set(needed) - scopes):
        plural = "s" if len(missing) > 1 else ""
        return red(f"the token lacks the scope{plural} {', '.join(missing)}", "have NICE grant it to these credentials")
    return green(f"CXone gives one, with {', '.join(sorted(needed))}")


def _dfo_token(deployment: Deployment) -> Finding:
    """Fetch one token of Digital Engagement, with the tenant's place."""
    try:
        token = _fetched(deployment)
    except MessagingError as error:
        return _no_token(error, deployment.setting("send_message", "CXONE_ISSUER"))
    return green(f"CXone gives one, and the tenant is at {token.base_url}")


@lru_cache(maxsize=1)
def _fetched(deployment: Deployment) -> FetchedToken:
    """Return a token of Digital Engagement, one for all checks of a run. Raises `MessagingError`."""
    from cxone_messaging.adapters.cxone.dfo.token import AccessKey, DfoTokenEndpoint

    issuer, base_url = (
        deployment.setting("send_message", name).rstrip("/") for name in ("CXONE_ISSUER", "CXONE_DIGITAL_BASE_URL")
    )
    key = AccessKey(*_filled_in(deployment))
    fetch = DfoTokenEndpoint(CxoneSession(SystemClock()), issuer, lambda: key, SystemClock(), base_url)
    return fetch(_TOKEN_SECONDS)


def channel(deployment: Deployment) -> Finding:
    """Check that the channel exists and has an outbound flow, and say whether it tracks delivery."""
    if not deployment.speaks_dfo:
        return green("not needed: messages go out from a number")
    channel_id = deployment.setting("send_message", "DEFAULT_SENDER")
    try:
        token = _fetched(deployment)
    except MessagingError:
        raise NotCheckedError("it needs a token") from None
    return _judged(_channels(token, channel_id), channel_id)


def _channels(token: FetchedToken, channel_id: str) -> Answer:
    """Ask CXone for one channel. Raises the errors of requests."""
    from cxone_messaging.adapters.cxone.dfo.sms import PATH

    return CxoneSession(SystemClock()).exchange(
        f"{token.base_url}{PATH}/channels?{urlencode([('id[]', channel_id)])}",
        None,
        {"Authorization": f"Bearer {token.value}", "Accept": "application/json"},
        _READ_SECONDS,
        must_read={HTTPStatus.OK},
        method="GET",
        limit=_READ_LIMIT,
    )


def _judged(answer: Answer, channel_id: str) -> Finding:
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        remedy = f"give the access key's user the permissions to read channels and messages: {_NEEDED}"
        return red(f"CXone answers {answer.status}: the access key may not read the channel", remedy)
    if answer.status != HTTPStatus.OK:
        remedy = "is the host in `token to send` the tenant's (CxoneDigitalBaseUrl)? Otherwise see CXone's status page"
        return red(f"CXone answers {answer.status}, so nothing is known of the channel", remedy)
    found = next((each for each in objects(answer.body) if text(each, "id") == channel_id), None)
    if found is None:
        remedy = f"set CxoneChannelId to the id of a channel that the access key's user may use: {_NEEDED}"
        return red("CXone shows no channel with the id in CxoneChannelId", remedy)
    if found.get("hasOutboundFlow") is False:
        return red("the channel has no outbound flow, so it sends nothing", f"switch on Has Outbound Flow: {_NEEDED}")
    sends = "sends" if found.get("hasOutboundFlow") is True else "does not say whether it sends"
    tracks = found.get("isTrackingMessageDeliveryStatus")
    return green(f"the channel is there and {sends}; {_TRACKING[tracks if isinstance(tracks, bool) else None]}")


def _filled_in(deployment: Deployment) -> tuple[str, ...]:
    """Return the credentials' values. Raises `NotCheckedError` if one is missing."""
    values = tuple(_cxone_credentials(deployment).values())
    if not all(values):
        raise NotCheckedError("CXone's credentials are not filled in")
    return values


def _no_token(error: MessagingError, url: str) -> Finding:
    if error.code is Code.CXONE_AUTH_FAILED:
        return red(error.detail, f"compare CredentialsSecretArn with CXone's: {_CREDENTIALS}")
    host = urlsplit(url).hostname
    return red(error.detail, f"is {host} the right host (docs/configuration.md)? Otherwise see CXone's status page")


def webhook(deployment: Deployment) -> Finding:
    """Check that the address that CXone posts to is one address, answers, and refuses a forged event."""
    if deployment.speaks_dfo:
        return green("CXone posts no events with this API; receipts and replies are collected")
    target = deployment.target
    url = target.output("WebhookUrl").rstrip("/")
    for folder in ("send_message", "send_bulk", "approve_template"):
        if deployment.setting(folder, "WEBHOOK_BASE_URL").rstrip("/") != url:
            remedy = "deploy again, after make build: docs/runbook.md#give-cxone-another-address"
            return red(f"{target.function(folder)} gives CXone another address than the output WebhookUrl", remedy)
    if not target.is_local and (private := _private_addresses(url)):
        return red(
            f"its name leads to {private}, which CXone can't reach", "give CXone a public address: WebhookBaseUrl"
        )
    answer = target.call_as_stranger("POST", url + _DELIVERIES_PATH, b"{}")
    if answer.status_code != HTTPStatus.UNAUTHORIZED:
        return red(
            f"it answers {answer.status_code} to a forged event, not 401",
            "does the address lead to the stack, and does receive-webhook run? docs/runbook.md#check-a-stack",
        )
    where = "on this machine, where the simulator is" if target.is_local else "as far as can be told from here"
    return green(f"it answers, and refuses a forged event; {where}")


def _private_addresses(url: str) -> str:
    """Return the addresses of a URL's host that only a private network reaches."""
    host = urlsplit(url).hostname or ""
    found = {str(each.address[0]) for each in Resolver(SystemClock()).addresses(host, 443, _LOOK_UP_SECONDS)}
    return ", ".join(sorted(each for each in found if not ipaddress.ip_address(each).is_global))


def has_no_organisation(deployment: Deployment) -> bool:
    """Whether the administration API's URL is the template's, without an organisation."""
    return deployment.setting("approve_template", "CXONE_API_BASE_URL").startswith("https://.")
