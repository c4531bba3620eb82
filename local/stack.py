"""The local stack: `template.yaml` deployed by the SAM CLI to MiniStack, beside a CXone simulator.

`python -m local.stack up` leaves it running and writes `.local/stack.json`; `python -m local.stack down` stops it.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from cli.interrupts import INTERRUPTED, interrupt_on_signals
from cli.progress import Progress
from cli.target import LOCAL_NAME, aws_client
from local import sam, stand_ins, template
from local.local_target import LocalTarget
from local.options import FOLDER, ROOT, SMS_V2, Options
from local.processes import ServerError, Servers, alone_in, answers, read_state, uninterrupted, write_state
from local.stand_ins import REGION

# The emulator starts a process for each event that comes while all others are at work.
_EVENT_WORKERS = 6
_SCHEDULE = ROOT / "events" / "approve_template" / "schedule.json"
_AT_WORK = "another `make up` or `make down` is at work in this folder; wait for it, then repeat this"
_PORT_VARIABLES = {"emulator": "MINISTACK_PORT", "simulator": "SIMULATOR_PORT"}


def up(options: Options, progress: Progress) -> LocalTarget:
    """Start the stack, or deploy anew to the stack that runs in the folder.

    Raises `ServerError`; whatever goes wrong, nothing that was started here is left running, and what ran before is
    left alone.
    """
    options.folder.mkdir(parents=True, exist_ok=True)
    servers = Servers(options.folder)
    starting = not _runs_already(servers, options)
    try:
        if starting:
            if down(options.folder):  # a part of it has survived the other
                progress.console.print("  a server of an earlier stack was gone: messages and consents start anew")
            _start(servers, options, progress)
        with progress.step("building the layer and the functions", "built the layer and the functions"):
            sam.build(options)
        with progress.step("deploying template.yaml", f"deployed template.yaml, to speak {options.api}") as outcome:
            sam.deploy(options)
            description = _describe(options)
            _store_credentials(options, description["outputs"])
            _mend_concurrency(options)
            _mend_ledger(options, description["outputs"]["LedgerTableName"])
            deployed = LocalTarget.described(description)
            _wait_for(deployed)
            _check_running(servers, options)
            outcome.text += f"\n{deployed.api_url}\n{deployed.outputs['WebhookUrl']} (for CXone's events)"
        if options.simulator_url and options.api == SMS_V2:  # no other CXone reaches this machine
            with progress.step("subscribing to replies", "") as outcome:
                outcome.text = _subscribe(deployed)
    except BaseException:
        if starting:
            down(options.folder)
        raise
    write_state(_stack_file(options.folder), description)
    return deployed


def down(folder: Path) -> list[str]:
    """Stop the servers that `up` started, and return the names of those that still ran. Raises `ServerError`."""
    with uninterrupted():
        stopped = Servers(folder).stop()
        _stack_file(folder).unlink(missing_ok=True)
        # The emulator unpacks the layer for each process of each function, and leaves that behind.
        shutil.rmtree(sam.temporary_folder(folder), ignore_errors=True)
        return stopped


def _runs_already(servers: Servers, options: Options) -> bool:
    """Whether all of this stack runs. Raises `ServerError` if it runs at other addresses."""
    file = _stack_file(options.folder)
    if not set(options.ports) <= set(servers.running()) or not file.exists():
        return False
    running = read_state(file)
    if not isinstance(running, dict) or not {"awsEndpointUrl", "simulatorUrl"} <= running.keys():
        raise ServerError(f"{file} is broken; `make down` removes it and stops its stack, then repeat this")
    if (running["awsEndpointUrl"], running["simulatorUrl"]) != (options.endpoint, options.simulator_url):
        where = f"{running['awsEndpointUrl']} with CXone at {running['simulatorUrl'] or 'its own address'}"
        raise ServerError(f"a stack runs already on {where}; `make down` stops it")
    return True


def _check_running(servers: Servers, options: Options) -> None:
    """Check that the servers of the ports are still ours: of two that begin at once, one ends. Raises `ServerError`."""
    if gone := set(options.ports) - set(servers.running()):
        raise ServerError(f"the {' and the '.join(sorted(gone))} ended meanwhile; {options.folder} has its log")


def _start(servers: Servers, options: Options, progress: Progress) -> None:
    for name, port in options.ports.items():
        if answers(port):
            remedy = f"stop that, or set {_PORT_VARIABLES[name]} to a free port"
            raise ServerError(f"port {port}, which the {name} needs, is in use by another program; {remedy}")
    with progress.step("starting the AWS emulator", f"started the AWS emulator on {options.endpoint}"):
        stand_ins.start_emulator(servers, options.ministack_port, sam.temporary_folder(options.folder))
    if options.simulator_url:
        with progress.step("starting the CXone simulator", f"started the CXone simulator on {options.simulator_url}"):
            credentials = {
                "CXONE_CLIENT_ID": options.client_id,
                "CXONE_CLIENT_SECRET": options.client_secret,
                "CXONE_ACCESS_KEY_ID": options.access_key_id,
                "CXONE_ACCESS_KEY_SECRET": options.access_key_secret,
            }
            workers = ("--event-workers", str(_EVENT_WORKERS))
            stand_ins.start_simulator(servers, options.simulator_port, *workers, credentials=credentials)


def _describe(options: Options) -> dict[str, Any]:
    cloudformation = aws_client("cloudformation", options.endpoint, REGION)
    described = cloudformation.describe_stacks(StackName=LOCAL_NAME)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    return {
        "apiUrl": outputs["ApiUrl"].rstrip("/"),
        "awsEndpointUrl": options.endpoint,
        "region": REGION,
        "simulatorUrl": options.simulator_url,
        "api": options.api,
        "outputs": outputs,
    }


def _store_credentials(options: Options, outputs: dict[str, str]) -> None:
    aws_client("secretsmanager", options.endpoint, REGION).put_secret_value(
        SecretId=outputs["CredentialsSecretArn"], SecretString=json.dumps(options.credentials)
    )


def _mend_concurrency(options: Options) -> None:
    """Turn the queue's maximum concurrency into a number; the emulator fails on a parameter's text."""
    functions = aws_client("lambda", options.endpoint, REGION)
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        concurrency = int(mapping["ScalingConfig"]["MaximumConcurrency"])
        functions.update_event_source_mapping(UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": concurrency})


def _mend_ledger(options: Options, table: str) -> None:
    """Give the ledger its policy and its point-in-time recovery; the emulator leaves both out of a deployment."""
    dynamodb = aws_client("dynamodb", options.endpoint, REGION)
    properties = template.resources("AWS::DynamoDB::Table")["LedgerTable"]
    dynamodb.put_resource_policy(
        ResourceArn=dynamodb.describe_table(TableName=table)["Table"]["TableArn"],
        Policy=json.dumps(properties["ResourcePolicy"]["PolicyDocument"]),
    )
    dynamodb.update_continuous_backups(
        TableName=table, PointInTimeRecoverySpecification=properties["PointInTimeRecoverySpecification"]
    )


def _wait_for(deployed: LocalTarget) -> None:
    """Wait until all functions with a route have answered once, so that no message waits for a cold start."""
    probes: list[tuple[str, str, object, int]] = [
        ("GET", "/messages/none", None, 404),
        ("POST", "/messages/preview", {}, 200),
        ("POST", "/messages/bulk", {}, 400),  # no Idempotency-Key
        # A number that no sample event opts in: after those, an opted-in one would answer 200.
        ("GET", "/consents/%2B12025550199", None, 404),
        ("GET", "/templates/none/approval", None, 404),
        ("POST", deployed.callback("msg_" + "0" * 32), b"", 400),  # ours, but no event
    ]
    with ThreadPoolExecutor(len(probes)) as pool:
        list(pool.map(lambda probe: _wait_for_answer(deployed, *probe), probes))


def _wait_for_answer(deployed: LocalTarget, method: str, path: str, body: object, status: int) -> None:
    give_up_at = time.monotonic() + 60
    while (answer := deployed.call(method, path, body)).status_code != status:
        if time.monotonic() > give_up_at:
            route = f"{method} {path.partition('?')[0]}"
            raise ServerError(f"{route} answers {answer.status_code}: {answer.text[:500]}")
        time.sleep(0.2)


def _subscribe(deployed: LocalTarget) -> str:
    """Subscribe to the simulator's events, as the schedule does; return the result as a text. Raises `ServerError`."""
    answer = deployed.client("lambda").invoke(
        FunctionName=deployed.function("approve_template"), Qualifier="live", Payload=_SCHEDULE.read_bytes()
    )
    document = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise ServerError("approve-template can't subscribe to replies: its log says why")
    return "subscribed to replies" if document["arrive"] else f"replies do not arrive: {document['reason']}"


def _stack_file(folder: Path) -> Path:
    return folder / "stack.json"


def main() -> int:
    """Run the named command."""
    progress = Progress()

    def stop() -> None:
        with progress.step("stopping", "nothing was running") as outcome:
            if stopped := down(FOLDER):
                outcome.text = f"stopped the {' and the '.join(stopped)}"

    commands: dict[str, Callable[[], object]] = {
        "up": lambda: up(Options.from_environment(), progress),
        "down": stop,
    }
    if len(sys.argv) != 2 or sys.argv[1] not in commands:  # noqa: PLR2004
        progress.error("usage: python -m local.stack up|down")
        return 2
    interrupt_on_signals()
    try:
        with alone_in(FOLDER, _AT_WORK):
            commands[sys.argv[1]]()
    except (ServerError, requests.RequestException) as error:
        progress.error(str(error))
        return 1
    except KeyboardInterrupt:
        progress.error("interrupted")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
