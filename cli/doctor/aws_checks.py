"""Checks of the AWS account, the stack and its functions."""

import io
import math
import re
import time
import zipfile
from http import HTTPStatus
from typing import Any

import boto3
import requests
from botocore.exceptions import BotoCoreError, ClientError

from cli.doctor.deployment import CONFIG, OUTPUTS, Deployment
from cli.findings import Finding, NotCheckedError, green, not_checked, red, yellow
from cli.target import TargetError
from cli.versions import FUNCTIONS, versions_of
from cxone_messaging import __version__
from cxone_messaging.platform.clock_skew import MAX_SKEW_SECONDS, ClockCheck

_DEPLOY = "deploy it: docs/runbook.md#deploy"
_START = "start the local stack: make up"
# Calls of functions at the same time, for each message a second: a send takes 0.2 to 0.6 s, and its events as long.
_LEAST_CALLS, _ENOUGH_CALLS = 0.4, 2.0
# The name of a wheel's native code ends with its architecture.
_NATIVE = re.compile(r"-(aarch64|x86_64)-linux-gnu\.so$")
_ARCHITECTURES = {"aarch64": "arm64", "x86_64": "x86_64"}
# An archive ends with the list of its files, which takes some 200 KB for the layer.
_END_BYTES, _MOST_BYTES = 2 * 1024 * 1024, 64 * 1024 * 1024
_FETCH_SECONDS, _PACE_SECONDS = 60.0, 30.0


def credentials(deployment: Deployment) -> Finding:
    """Check that AWS accepts the operator's credentials, and that a region is set."""
    try:
        if deployment.is_on_aws:
            session: Any = boto3.Session()
            if session.get_credentials() is None:
                return red("there are none in your environment", "set AWS_PROFILE, or sign in (aws sso login)")
            if not session.region_name:
                return red("no region is set", "set AWS_REGION to the stack's region")
            region, client = session.region_name, session.client("sts", config=CONFIG)
        else:
            region, client = deployment.target.region, deployment.client("sts")
        account = client.get_caller_identity()["Account"]
    except TargetError:
        raise NotCheckedError("there is no local stack") from None
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return red(f"AWS refuses them ({code})", "sign in again (aws sso login), or set AWS_PROFILE to another profile")
    except BotoCoreError as error:
        remedy = "look at AWS_PROFILE and your network, or sign in again" if deployment.is_on_aws else _START
        return red(f"AWS can't be asked ({type(error).__name__})", remedy)
    deployment.is_reached = True
    return green(f"account {account}, region {region}")


def clock(deployment: Deployment) -> Finding:
    """Check this machine's clock against AWS's."""
    check = ClockCheck(deployment.clock)
    sent_at = check.stopwatch
    check.observe_answer(deployment.client("sts").get_caller_identity(), sent_at)
    if check.server_time() is None:
        raise NotCheckedError("AWS's answer has no time within a day of this machine's")
    if check.is_wrong:
        direction = "ahead of" if check.skew > 0 else "behind"
        return red(
            f"this machine's is {abs(check.skew):.0f} s {direction} AWS's",
            "set it (timedatectl set-ntp true): AWS refuses requests from a wrong clock, and an audit misdates entries",
        )
    return green(f"this machine's agrees with AWS's to {MAX_SKEW_SECONDS:.0f} s")


def stack(deployment: Deployment) -> Finding:
    """Check that the stack is deployed whole, with the outputs of this version's template."""
    if deployment.is_on_aws and not deployment.is_reached:
        raise NotCheckedError("it needs credentials")
    try:
        name = deployment.target.name
    except TargetError as error:
        if deployment.is_on_aws:
            return red(str(error), f"compare its name with CloudFormation's, or {_DEPLOY}")
        text, _, remedy = str(error).partition("; ")
        return red(text, remedy)
    if not deployment.is_reached:
        raise NotCheckedError("it needs credentials")
    if missing := sorted(OUTPUTS - {each["OutputKey"] for each in deployment.description.get("Outputs", [])}):
        return red(f"{name} has no output {', '.join(missing)}", f"it is of another version: {_DEPLOY}")
    return _with_status(name, deployment.description["StackStatus"], deployment.parameters.get("CxoneApi", ""))


def _with_status(name: str, status: str, api: str) -> Finding:
    why = f"see why (CloudFormation's events), and {_DEPLOY}"
    if status == "UPDATE_ROLLBACK_COMPLETE":
        return yellow(f"{name}: its last deployment was taken back", why)
    if status.endswith("_IN_PROGRESS"):
        return yellow(f"{name} is being deployed ({status})", "wait until it is done, and run this again")
    if status.endswith("_FAILED") or "ROLLBACK" in status or status.startswith("DELETE"):
        return red(f"{name} is {status}", why)
    return green(f"{name}, with all {len(OUTPUTS)} outputs{f'; it speaks {api}' if api else ''}")


def architecture(deployment: Deployment) -> Finding:
    """Check that each function has the architecture that its layer's code was built for."""
    if missing := [deployment.target.function(each) for each in FUNCTIONS if each not in deployment.functions]:
        return red(f"there is no {', '.join(missing)}", _DEPLOY)
    built: dict[str, set[str]] = {}
    wrong, found = [], set()
    for folder, configuration in deployment.functions.items():
        of_function = configuration["Architectures"][0]
        arns = [each["Arn"] for each in configuration.get("Layers", [])]
        for arn in arns:
            if arn not in built:
                built[arn] = _architectures_in(deployment, arn)
        of_layers = set().union(*(built[arn] for arn in arns))
        found |= of_layers
        if not of_layers <= {of_function}:
            wrong.append(f"{deployment.target.function(folder)} is {of_function}, its layer {', '.join(of_layers)}")
    if wrong:
        others = f", and so on: {len(wrong)} functions" if len(wrong) > 1 else ""
        return red(f"{wrong[0]}{others}", "build for the parameter Architecture and deploy: make build ARCHITECTURE=…")
    if not found:
        raise NotCheckedError("no layer has code of any architecture")
    return green(f"{', '.join(sorted(found))}, {len(deployment.functions)} functions and their layer")


def _architectures_in(deployment: Deployment, arn: str) -> set[str]:
    """Return the architectures of the native code in a layer, by the names of its files."""
    url = deployment.client("lambda").get_layer_version_by_arn(Arn=arn)["Content"]["Location"]
    with zipfile.ZipFile(io.BytesIO(_end_of(url, trust_environment=not deployment.target.is_local))) as archive:
        names = archive.namelist()
    return {_ARCHITECTURES[match[1]] for name in names if (match := _NATIVE.search(name))}


def _end_of(url: str, *, trust_environment: bool) -> bytes:
    """Return the end of a file at a URL; all of it from a server that sends no parts. Raises `requests`' errors."""
    give_up_at = time.monotonic() + _FETCH_SECONDS
    content = bytearray()
    with requests.Session() as session:
        session.trust_env = trust_environment
        session.auth = lambda prepared: prepared  # the URL is signed; no .netrc adds credentials
        with session.get(url, headers={"Range": f"bytes=-{_END_BYTES}"}, timeout=(5, 15), stream=True) as answer:
            answer.raise_for_status()
            for part in answer.iter_content(64 * 1024):
                content += part
                if len(content) > _MOST_BYTES or time.monotonic() > give_up_at:
                    raise requests.Timeout("the layer is too large, or comes too slowly")
    return bytes(content)


def functions(deployment: Deployment) -> Finding:
    """Check that each function starts and answers, and of which version it is."""
    versions = versions_of(deployment.target)
    if versions.failed:
        named = [f"{deployment.target.function(folder)}: {why}" for folder, why in versions.failed.items()]
        return red("; ".join(named), f"look at the log group /aws/lambda/{deployment.target.name}, and {_DEPLOY}")
    if len(versions.all_known) > 1:
        return red(f"they are of different versions: {', '.join(sorted(versions.all_known))}", _DEPLOY)
    (version,) = versions.all_known
    if version != __version__:
        remedy = f"{_DEPLOY}; or use the command line of {version}"
        return yellow(f"all {len(versions.known)} answer as {version}, but this command line is {__version__}", remedy)
    return green(f"all {len(versions.known)} answer, version {version}")


def concurrency(deployment: Deployment) -> Finding:
    """Check the account's quota of concurrent executions against the rate of messages."""
    limits = deployment.client("lambda").get_account_settings()["AccountLimit"]
    free, quota = limits["UnreservedConcurrentExecutions"], limits["ConcurrentExecutions"]
    rate = deployment.number("CxoneRequestsPerSecond")
    least, enough = math.ceil(rate * _LEAST_CALLS), math.ceil(rate * _ENOUGH_CALLS)
    found = f"the account leaves {free} calls at once of {quota}, and {rate:g} messages a second need"
    remedy = "have Lambda's quota Concurrent executions raised (Service Quotas), or free what other functions reserve"
    if free < least:
        return red(f"{found} {least} at least", remedy)
    if free < enough:
        return yellow(f"{found} up to {enough}", remedy)
    return green(f"{free} calls at once, enough for {rate:g} messages a second")


def sending(deployment: Deployment) -> Finding:
    """Check that nobody has stopped the functions that send, or set a ceiling of 0."""
    client, target = deployment.client("lambda"), deployment.target
    stopped = []
    single = client.get_function_concurrency(FunctionName=target.function("send_message"))
    if single.get("ReservedConcurrentExecutions") == 0:
        stopped.append("single messages (the function's concurrency is 0)")
    mappings = client.list_event_source_mappings(FunctionName=f"{target.function('send_bulk')}:live")
    states = [each["State"] for each in mappings["EventSourceMappings"]]
    if not states:
        stopped.append("bulk messages (the queue's mapping is gone)")
    elif not set(states) <= {"Enabled", "Enabling", "Updating", "Creating"}:
        stopped.append(f"bulk messages (the queue's mapping is {', '.join(states)})")
    answer = target.call("GET", "/pace", timeout_seconds=_PACE_SECONDS)
    if answer.status_code == HTTPStatus.OK and answer.json().get("ceiling") == 0:
        stopped.append("all messages (the ceiling of the pace is 0)")
    if stopped:
        return red(
            f"stopped: {' and '.join(stopped)}", "if nobody means it, start it again: docs/runbook.md#stop-all-sending"
        )
    if answer.status_code != HTTPStatus.OK:
        return yellow(
            f"no function is stopped, but GET /pace answers {answer.status_code}, so the ceiling is not known",
            "have execute-api:Invoke allowed (docs/runbook.md#what-an-operator-may-do), or look at manage-pace's log",
        )
    return green("neither single nor bulk messages are stopped")


def dead_letters(deployment: Deployment) -> Finding:
    """Check that no bulk record waits for a person."""
    names = [f"ApproximateNumberOfMessages{each}" for each in ("", "NotVisible", "Delayed")]
    url = deployment.target.output("BulkDeadLetterQueueUrl")
    attributes = deployment.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    number = sum(int(attributes[name]) for name in names)
    if number:
        records = "1 bulk record waits" if number == 1 else f"{number:,} bulk records wait"
        return red(f"{records} for a person", "look at each: docs/runbook.md#the-dead-letter-queue")
    return green("none")


def alarms(deployment: Deployment) -> Finding:
    """Check that none of the stack's alarms rings."""
    logical = {physical: name for name, physical in deployment.resources("AWS::CloudWatch::Alarm").items()}
    if not logical:
        return not_checked("the stack has no alarm", _DEPLOY)
    described = deployment.client("cloudwatch").describe_alarms(AlarmNames=sorted(logical), MaxRecords=100)
    states = {logical[each["AlarmName"]]: each["StateValue"] for each in described["MetricAlarms"]}
    if ringing := sorted(name for name, state in states.items() if state == "ALARM"):
        return red(f"ringing: {', '.join(ringing)}", "what to do about each: docs/runbook.md#alarms-and-other-signs")
    return green(f"none of {len(states)} rings")
