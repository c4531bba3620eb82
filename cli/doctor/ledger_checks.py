"""Checks of the ledger: what protects it, and the messages in it that wait for a person."""

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Any

from cli.doctor.deployment import Deployment, statements_of
from cli.findings import Finding, green, red, yellow
from cxone_messaging.domain.attention import Attention
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.times import format_time
from cxone_messaging.platform.clock import instant
from cxone_messaging.use_cases.journal import Journal

# What template.yaml denies to everybody.
DENIED_ACTIONS = frozenset(
    {
        "dynamodb:BatchWriteItem",
        "dynamodb:DeleteItem",
        "dynamodb:PartiQLDelete",
        "dynamodb:PartiQLUpdate",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:UpdateTimeToLive",
    }
)
_PUT_BACK = "put it back, find out who removed it, and audit the ledger: docs/runbook.md#what-protects-the-ledger"
_LOOK_UP = "look each up in CXone's reporting, and send none again under its key: docs/runbook.md#unknown-messages"
_LOOKED_UP_ALREADY = (
    f"an entry `looked_up` with candidates in a message's audit needs a person (docs/dfo.md#lost-answers); {_LOOK_UP}"
)
_COLLECTOR_SETTLES = "wait: the collector looks for each in CXone's records, for an hour (docs/dfo.md#lost-answers)"
# An unknown message is reported for a week, as the sweep does.
_WEEK = 7 * 86_400.0
_MOST_READ = 200


def ledger(deployment: Deployment) -> Finding:
    """Check that nothing may change or remove an entry, and that the table can be restored."""
    client, table = deployment.client("dynamodb"), deployment.target.output("LedgerTableName")
    described = client.describe_table(TableName=table)["Table"]
    faults = []
    try:
        policy = client.get_resource_policy(ResourceArn=described["TableArn"])["Policy"]
    except client.exceptions.PolicyNotFoundException:
        faults.append("it has no policy, so its entries can be changed")
    else:
        if allowed := sorted(DENIED_ACTIONS - _denied_to_all(statements_of(policy))):
            faults.append(f"its policy does not deny {', '.join(allowed)}")
    if not described.get("DeletionProtectionEnabled"):
        faults.append("it has no deletion protection")
    backups = client.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    if backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus") != "ENABLED":
        faults.append("it has no point-in-time recovery")
    if faults:
        return red("; ".join(faults), _PUT_BACK)
    return green("nobody may change or remove an entry; it can be restored")


def _denied_to_all(statements: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the actions that statements deny to everybody, under no condition."""
    denied: set[str] = set()
    for each in statements:
        if each.get("Effect") == "Deny" and each.get("Principal") in ("*", {"AWS": "*"}) and not each.get("Condition"):
            actions = each.get("Action", [])
            denied |= {actions} if isinstance(actions, str) else set(actions)
    return set(DENIED_ACTIONS) if denied & {"*", "dynamodb:*"} else denied


def unknown_messages(deployment: Deployment) -> Finding:
    """Check that no message has been `unknown` for longer than `UnknownPatienceMinutes`."""
    minutes = deployment.number("UnknownPatienceMinutes")
    old = _unknown(deployment, _WEEK, minutes * 60)
    if old:
        return red(
            f"{_number(old)} of the last week, for more than {minutes:g} minutes",
            _LOOKED_UP_ALREADY if deployment.speaks_dfo else _LOOK_UP,
        )
    young = _unknown(deployment, minutes * 60, 0)
    if young:
        return yellow(
            f"{_number(young)} of the last {minutes:g} minutes",
            _COLLECTOR_SETTLES if deployment.speaks_dfo else "wait: CXone's events settle them, as a rule",
        )
    return green("none")


def _unknown(deployment: Deployment, since: float, until: float) -> Collection[str]:
    """Return the messages of an interval, in seconds ago, that are still unknown; at most 200 are read."""
    now = deployment.clock.now()
    journal = Journal(deployment.ledger, deployment.clock)
    since_text, until_text = (format_time(instant(now - ago)) for ago in (since, until))
    flagged = dict.fromkeys(islice(deployment.ledger.flagged(Attention.UNKNOWN, since_text, until_text), _MOST_READ))
    return [each for each in flagged if Message.of(journal.newest(each)).status is Status.UNKNOWN]


def _number(subjects: Collection[str]) -> str:
    return f"{'at least ' if len(subjects) >= _MOST_READ else ''}{len(subjects)}"
