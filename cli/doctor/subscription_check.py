"""Check that CXone posts its events here, replies among them: without replies, no STOP arrives."""

import json
from collections.abc import Sequence
from typing import Any

from botocore.config import Config

from cli.doctor.cxone_checks import has_no_organisation
from cli.doctor.deployment import Deployment
from cli.findings import Finding, NotCheckedError, green, red, yellow
from cli.versions import COLLECTOR
from cxone_messaging.adapters.secrets import UnreadableSecretError, WebhookSecrets
from cxone_messaging.domain import subjects
from cxone_messaging.domain.entries import Entry, EntryType
from cxone_messaging.domain.subscriptions import Judgement, Replies, is_made_with
from cxone_messaging.domain.written_numbers import mask_numbers_in
from cxone_messaging.use_cases.approvals.subscription import fingerprint_of

_COLLECTED = "look at the log of collect-receipts: docs/dfo.md#receipts-and-replies"
_NOT_COLLECTED = (
    "after 401 or 403, look at the permissions of the access key's user (docs/dfo.md#what-it-needs);"
    f" otherwise {_COLLECTED}"
)
_ERROR_LIMIT = 200
_OTHER_RUN = "look again in a minute; if it stays so, runs die: docs/dfo.md#receipts-and-replies"
_LONGEST_SECONDS = 600
# At full rate, a run takes most of a minute. Lambda ends it after five.
_OF_A_RUN = Config(connect_timeout=5, read_timeout=310, retries={"total_max_attempts": 1})
_EVENTS_PATH = "/webhooks/cxone/events"
_REPLIES = "docs/runbook.md#have-replies-posted"
_SUBSCRIBE = f"run cxone-messaging subscribe, which says why it fails: {_REPLIES}"
_ANOTHER_NAME = f"ask NICE for the name of the event of replies, and set InboundEvent to it: {_REPLIES}"
_ORGANISATION = f"set CxoneOrg, or have CXone post replies by hand and make InboundEvent empty: {_REPLIES}"
_BY_HAND = f"see that it does, signed with the current webhook secret: {_REPLIES}"


def subscription(deployment: Deployment) -> Finding:
    """Check that CXone posts its events, replies among them, and signs them with a secret that is in force.

    Where it posts none, check that a run of the collector succeeds.
    """
    if deployment.speaks_dfo:
        return _collection(deployment)
    url = deployment.setting("approve_template", "WEBHOOK_BASE_URL").rstrip("/") + _EVENTS_PATH
    reply_event = deployment.setting("approve_template", "INBOUND_EVENT")
    entries = deployment.ledger.read(subjects.subscription(url))
    arn = deployment.target.output("WebhookSecretArn")
    try:
        accepted = WebhookSecrets(deployment.secrets, arn, deployment.clock).accepted()
    except UnreadableSecretError:
        raise NotCheckedError("the webhook secret is not filled in") from None
    fingerprints = [fingerprint_of(each, url) for each in accepted]
    current, *previous = (Judgement.of(entries, each, reply_event) for each in fingerprints)
    if current.replies is Replies.SUBSCRIBED and current.entry:
        return green(f"CXone posts its events, replies among them, since {current.entry.timestamp[:10]}")
    if any(each.replies is Replies.SUBSCRIBED for each in previous):
        return yellow("CXone signs with the previous value of the webhook secret", _SUBSCRIBE)
    if _is_of_dropped_secret(entries, fingerprints):
        return red("CXone signs with a value of the webhook secret that is in force no more", _SUBSCRIBE)
    if not reply_event:
        return yellow("InboundEvent is empty, so a STOP arrives only if CXone posts replies by hand", _BY_HAND)
    return _not_subscribed(deployment, current, reply_event)


def collect(deployment: Deployment) -> dict[str, Any]:
    """Have the collector do one run, and return its counts, or its error as Lambda describes it."""
    client = deployment.target.client("lambda", _OF_A_RUN)
    answer = client.invoke(FunctionName=deployment.target.function(COLLECTOR), Qualifier="live", Payload=b"{}")
    document: dict[str, Any] = json.loads(answer["Payload"].read())
    return document


def _collection(deployment: Deployment) -> Finding:
    document = collect(deployment)
    if {"errorType", "errorMessage"} & document.keys():  # a run that Lambda ended may have no type
        named = [str(document[name]) for name in ("errorType", "errorMessage") if document.get(name)]
        error = mask_numbers_in(": ".join(named))[:_ERROR_LIMIT]
        return red(f"receipts and replies, STOP among them, are not collected ({error})", _NOT_COLLECTED)
    behind = document.get("behindSeconds")
    if behind is None:
        return yellow("another run collects receipts and replies now, or one has died", _OTHER_RUN)
    if behind > _LONGEST_SECONDS:
        return yellow(f"receipts and replies are collected, but {behind} s behind", _COLLECTED)
    return green(f"receipts and replies are collected, {document['reads']} reads for this run")


def _not_subscribed(deployment: Deployment, judged: Judgement, reply_event: str) -> Finding:
    failure = judged.entry
    if failure is None and has_no_organisation(deployment):
        return red("STOP replies do not arrive: CxoneOrg is not set, so nobody subscribes to them", _ORGANISATION)
    if failure is None:
        return red("STOP replies do not arrive: nobody has subscribed to them yet", _SUBSCRIBE)
    answer = str(failure.data.get("reason") or failure.data.get("error") or "no reason is recorded")
    if judged.replies is Replies.REFUSED:
        return red(f"CXone refuses the event {reply_event} ({answer}): STOP replies do not arrive", _ANOTHER_NAME)
    return red(f"STOP replies do not arrive: the last try to subscribe failed ({answer})", _SUBSCRIBE)


def _is_of_dropped_secret(entries: Sequence[Entry], fingerprints: Sequence[str]) -> bool:
    """Whether there are subscriptions, and each is under a secret that is not accepted any more."""
    made = [each for each in entries if each.type == EntryType.SUBSCRIBED]
    return bool(made) and not any(is_made_with(each, fingerprint) for each in made for fingerprint in fingerprints)
