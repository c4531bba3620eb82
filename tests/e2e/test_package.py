"""The release bundle, deployed from a folder that holds nothing else, with all that an organisation may ask for."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import boto3
import pytest
import requests

from local import stand_ins, template
from local.options import ROOT
from local.package import package
from local.sam import architecture
from local.stand_ins import REGION

STACK = "cxone-messaging-dev"  # as the bundle's samconfig.toml has it
TAGS = {"application": "cxone-messaging", "environment": "dev"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Package, and unpack the zip file elsewhere; gives the folder of it alone."""
    made = package(tmp_path_factory.mktemp("dist"), architecture())
    alone = tmp_path_factory.mktemp("alone")
    with zipfile.ZipFile(f"{made}.zip") as archive:
        archive.extractall(alone)
    (folder,) = alone.iterdir()
    return folder


@pytest.fixture(scope="module")
def aws(stack):
    """Make clients of the emulator that the local stack runs on."""
    session = boto3.Session("local", "local", region_name=REGION)
    endpoint = stack.client("sts").meta.endpoint_url
    return lambda service: session.client(service, endpoint_url=endpoint)


@pytest.fixture(scope="module")
def organisation(aws):
    """Give what an organisation asks for, as parameters."""
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    boundary = aws("iam").create_policy(PolicyName="boundary", PolicyDocument=json.dumps(policy))["Policy"]["Arn"]
    key = aws("kms").create_key()["KeyMetadata"]["Arn"]
    return {"PermissionsBoundaryArn": boundary, "RolePath": "/messaging/", "KmsKeyArn": key}


@pytest.fixture(scope="module")
def outputs(bundle, stack, aws, organisation):
    """Deploy the bundle as its README says, in its own folder; gives the stack's outputs."""
    endpoint = aws("sts").meta.endpoint_url
    parameters = {
        **organisation,
        "CxoneSmsBaseUrl": stack.simulator_url,
        "CxoneApiBaseUrl": stack.simulator_url,
        "CxoneFromNumber": "+15550100000",
        "CxoneCampaignId": "bundle",
        "EmulatorEndpoint": endpoint,
    }
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    done = subprocess.run(  # noqa: S603
        [
            *(str(Path(sys.executable).parent / "sam"), "deploy", "--config-env", "dev", "--region", REGION),
            *("--no-progressbar", "--parameter-overrides", *overrides),
        ],
        cwd=bundle,
        env={**stand_ins.environment(endpoint), "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (described,) = aws("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}


def test_it_holds_no_path_of_the_machine_that_made_it(bundle):
    for path in (each for each in bundle.rglob("*") if each.is_file()):
        assert os.fsencode(ROOT) not in path.read_bytes() or path.suffix == ".pyc", path


def test_it_takes_the_architecture_that_it_was_built_for_and_no_other(bundle):
    parameter = template.read(bundle / "template.yaml")["Parameters"]["Architecture"]
    assert (parameter["Default"], parameter["AllowedValues"]) == (architecture(), [architecture()])


def test_its_api_answers(aws, outputs):
    def call(method, path, body):
        headers = {"Authorization": "local"}
        answer = requests.request(method, outputs["ApiUrl"].rstrip("/") + path, json=body, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    call("PUT", "/consents/15551234567", {"status": "opted_in", "source": "bundle"})
    assert call("POST", "/messages/preview", {"to": "+15551234567", "text": "Hello"})["valid"] is True


def test_every_role_has_the_path_and_reads_under_the_key(aws, outputs):
    iam = aws("iam")
    pages = iam.get_paginator("list_roles").paginate()
    roles = [each for page in pages for each in page["Roles"] if each["RoleName"].startswith(f"{STACK}-")]
    functions = template.resources("AWS::Serverless::Function").keys()
    assert len(roles) == sum("Condition" not in template.load()["Resources"][each] for each in functions)
    assert {each["Path"] for each in roles} == {"/messaging/"}
    for role in roles:
        assert "reading-under-the-key" in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]


def test_what_it_stores_is_under_the_key(aws, outputs, organisation):
    """The emulator keeps the key of queues, secrets and logs, and shows none of tables and topics."""
    key = organisation["KmsKeyArn"]
    for queue in ("BulkQueueUrl", "BulkDeadLetterQueueUrl"):
        attributes = aws("sqs").get_queue_attributes(QueueUrl=outputs[queue], AttributeNames=["KmsMasterKeyId"])
        assert attributes["Attributes"] == {"KmsMasterKeyId": key}
    for secret in (name for name in outputs if name.endswith("SecretArn")):
        assert aws("secretsmanager").describe_secret(SecretId=outputs[secret])["KmsKeyId"] == key
    (group,) = aws("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{STACK}")["logGroups"]
    assert group["kmsKeyId"] == key


def test_what_bears_tags_has_the_deployments(aws, outputs):
    table = aws("dynamodb").describe_table(TableName=outputs["LedgerTableName"])["Table"]["TableArn"]
    tags = aws("dynamodb").list_tags_of_resource(ResourceArn=table)["Tags"]
    assert TAGS.items() <= {each["Key"]: each["Value"] for each in tags}.items()
    assert TAGS.items() <= aws("sqs").list_queue_tags(QueueUrl=outputs["BulkQueueUrl"])["Tags"].items()
    function = aws("lambda").get_function(FunctionName=f"{STACK}-send-bulk")
    assert TAGS.items() <= function["Tags"].items()
