"""`cxone-messaging restore` on tables of a stack of their own, which somebody damages past the ledger."""

import contextlib
import json
import re

import pytest
from botocore.exceptions import ClientError

from cli.restore import command
from cli.target import LOCAL_NAME, Target
from cxone_messaging.adapters.dynamodb.ledger import DynamoLedger
from cxone_messaging.domain.entries import Draft, EntryType
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.use_cases.journal import Journal
from local import template

OUTPUTS = {"LedgerTableName": "LedgerTable", "ConsentsTableName": "ConsentsTable"}
TAGS = [{"Key": "application", "Value": "cxone-messaging"}]
DOCUMENT = {
    "Parameters": template.load()["Parameters"],
    "Conditions": template.load()["Conditions"],
    "Resources": {each: template.load()["Resources"][each] for each in OUTPUTS.values()},
    "Outputs": {name: {"Value": {"Ref": id_}} for name, id_ in OUTPUTS.items()},
}
LEDGER_POLICY = DOCUMENT["Resources"]["LedgerTable"]["Properties"]["ResourcePolicy"]["PolicyDocument"]
DENIED = {action for each in LEDGER_POLICY["Statement"] if "Condition" not in each for action in each["Action"]}
# The operation that the service needs another action for than that of its name.
ACTIONS = {
    "dynamodb:ExecuteStatement": "dynamodb:PartiQLInsert",
    "dynamodb:ListTagsOfResource": "dynamodb:ListTagsOfResource",
}


class Calls(Target):
    """A target that remembers the actions of its clients' calls."""

    made: set[str]

    def client(self, service, config=None):
        client = super().client(service, config)
        client.meta.events.register(
            "before-parameter-build", lambda model, **_: self.made.add(f"{service}:{model.name}")
        )
        return client


@pytest.fixture
def target(emulator, make_client, dynamodb, monkeypatch):
    """Create the two tables by CloudFormation, as the template has them; gives the target that the command finds."""
    cloudformation = make_client("cloudformation")
    cloudformation.create_stack(StackName=LOCAL_NAME, TemplateBody=json.dumps(DOCUMENT), Tags=TAGS)
    cloudformation.get_waiter("stack_create_complete").wait(StackName=LOCAL_NAME, WaiterConfig={"Delay": 1})
    outputs = cloudformation.describe_stacks(StackName=LOCAL_NAME)["Stacks"][0]["Outputs"]
    described = {
        "apiUrl": "",
        "simulatorUrl": None,
        "awsEndpointUrl": emulator,
        "region": "us-east-1",
        "outputs": {each["OutputKey"]: each["OutputValue"] for each in outputs},
    }
    target = Calls.described(described)
    target.made = set()
    monkeypatch.setattr(Target, "find", lambda _: target)
    yield target
    for table in map(target.output, OUTPUTS):
        with contextlib.suppress(dynamodb.exceptions.ResourceNotFoundException):
            delete(dynamodb, table)
    cloudformation.delete_stack(StackName=LOCAL_NAME)


def restore(capsys, **options):
    """Run the command; gives its exit code and its document."""
    code = command.run(command.Options(as_json=True, **options))
    output = capsys.readouterr()
    return code, json.loads(output.out) if output.out else output.err


def everything(dynamodb, table):
    return sorted(
        dynamodb.scan(TableName=table)["Items"], key=lambda item: (item["subject"]["S"], item["sequence"]["N"])
    )


def delete(dynamodb, table):
    """Delete a table, and its policy, which the emulator would keep for the next table of that name."""
    dynamodb.delete_resource_policy(ResourceArn=dynamodb.describe_table(TableName=table)["Table"]["TableArn"])
    dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
    dynamodb.delete_table(TableName=table)


def policy_of(dynamodb, table):
    arn = dynamodb.describe_table(TableName=table)["Table"]["TableArn"]
    return json.loads(dynamodb.get_resource_policy(ResourceArn=arn)["Policy"])


@pytest.fixture
def ledger(dynamodb, target):
    """Write two chains; gives the ledger's table."""
    table = target.outputs["LedgerTableName"]
    journal = Journal(DynamoLedger(dynamodb, table), SystemClock())
    for subject in ("message#one", "message#one", "message#one", "message#two"):
        journal.append(subject, lambda _: Draft(EntryType.DELIVERY, {"status": "delivered"}))
    return table


@pytest.fixture
def copy(dynamodb, ledger):
    """Have the ledger as it is restored into a table beside it."""
    name = f"{ledger}-restored"
    dynamodb.restore_table_to_point_in_time(SourceTableName=ledger, TargetTableName=name, UseLatestRestorableTime=True)
    yield name
    dynamodb.delete_table(TableName=name)


def damage(dynamodb, table):
    for subject, sequence in (("message#one", "2"), ("message#two", "1")):
        dynamodb.delete_item(TableName=table, Key={"subject": {"S": subject}, "sequence": {"N": sequence}})
    changed = dynamodb.get_item(TableName=table, Key={"subject": {"S": "message#one"}, "sequence": {"N": "3"}})["Item"]
    dynamodb.put_item(TableName=table, Item={**changed, "data": {"M": {"status": {"S": "never"}}}})


def test_removed_entries_come_back_only_when_it_is_said_so_and_none_is_overwritten(
    capsys, dynamodb, target, ledger, copy
):
    whole = everything(dynamodb, ledger)
    damage(dynamodb, ledger)
    damaged = everything(dynamodb, ledger)
    missing = [{"subject": "message#one", "sequence": 2}, {"subject": "message#two", "sequence": 1}]
    differ = [{"subject": "message#one", "sequence": 3}]

    code, found = restore(capsys, copy=copy)
    assert (code, found["missing"], found["differ"]) == (1, missing, differ)
    assert everything(dynamodb, ledger) == damaged

    code, found = restore(capsys, copy=copy, apply=True)
    assert (code, found["missing"], found["differ"], found["failed"]) == (1, missing, differ, [])
    assert [each.partition(" - ")[0] for each in found["faults"]] == ["message#one, entry 3: changed"]
    assert everything(dynamodb, ledger) == [*whole[:2], damaged[1], whole[3]]

    dynamodb.put_item(TableName=ledger, Item=whole[2])  # by hand, as the runbook has it
    code, found = restore(capsys, copy=copy, apply=True)
    assert (code, found["clean"], found["faults"]) == (0, True, [])


def test_an_entry_that_another_writer_put_there_first_stays(capsys, dynamodb, target, ledger, copy, monkeypatch):
    dynamodb.delete_item(TableName=ledger, Key={"subject": {"S": "message#two"}, "sequence": {"N": "1"}})
    apply = command._apply

    def overtaken(*arguments):
        Journal(DynamoLedger(dynamodb, ledger), SystemClock()).append(
            "message#two", lambda _: Draft(EntryType.SENDING, {"status": "newer"})
        )
        apply(*arguments)

    monkeypatch.setattr(command, "_apply", overtaken)
    code, found = restore(capsys, copy=copy, apply=True)
    assert (code, len(found["failed"])) == (1, 1)
    assert everything(dynamodb, ledger)[-1]["type"] == {"S": "sending"}


def restore_under_the_same_name(dynamodb, table):
    """Do what is left when a table was deleted: its content under its name, and no more."""
    away = f"{table}-away"
    restore_to = dynamodb.restore_table_to_point_in_time
    restore_to(SourceTableName=table, TargetTableName=away, UseLatestRestorableTime=True)
    delete(dynamodb, table)
    restore_to(SourceTableName=away, TargetTableName=table, UseLatestRestorableTime=True)
    dynamodb.delete_table(TableName=away)


def test_a_table_that_was_restored_gets_its_policy_tags_and_protection_back(capsys, dynamodb, target, ledger):
    entries = everything(dynamodb, ledger)
    for table in map(target.output, OUTPUTS):
        restore_under_the_same_name(dynamodb, table)
    code, found = restore(capsys)
    assert (code, len(found["settings"])) == (1, 8), found
    arn = dynamodb.describe_table(TableName=ledger)["Table"]["TableArn"]
    with pytest.raises(ClientError, match="PolicyNotFound"):
        dynamodb.get_resource_policy(ResourceArn=arn)

    code, found = restore(capsys, apply=True)
    assert (code, found["failed"], found["faults"]) == (0, [], [])
    assert policy_of(dynamodb, ledger) == LEDGER_POLICY
    assert dynamodb.describe_table(TableName=ledger)["Table"]["DeletionProtectionEnabled"]
    backups = dynamodb.describe_continuous_backups(TableName=ledger)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    assert TAGS[0] in dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"]
    assert everything(dynamodb, ledger) == entries
    assert restore(capsys)[0] == 0


def test_a_policy_that_somebody_weakened_is_completed_and_loses_none_of_theirs(capsys, dynamodb, target, ledger):
    arn = dynamodb.describe_table(TableName=ledger)["Table"]["TableArn"]
    theirs = {"Effect": "Deny", "Principal": "*", "Action": "dynamodb:Scan", "Resource": "*"}
    weak = {"Version": "2012-10-17", "Statement": [theirs, LEDGER_POLICY["Statement"][0]]}
    dynamodb.put_resource_policy(ResourceArn=arn, Policy=json.dumps(weak))
    restore(capsys, apply=True)
    assert policy_of(dynamodb, ledger)["Statement"] == [*weak["Statement"], LEDGER_POLICY["Statement"][1]]


def test_a_policy_that_can_not_be_put_is_told_loudly_and_the_rest_goes_on(
    capsys, dynamodb, target, ledger, copy, monkeypatch
):
    dynamodb.delete_item(TableName=ledger, Key={"subject": {"S": "message#two"}, "sequence": {"N": "1"}})
    client = target.client("dynamodb")
    denied = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "PutResourcePolicy")
    monkeypatch.setattr(client, "put_resource_policy", lambda **_: (_ for _ in ()).throw(denied))
    monkeypatch.setattr(
        target, "client", lambda service: client if service == "dynamodb" else Target.client(target, service)
    )
    code, found = restore(capsys, copy=copy, apply=True)
    assert code == 1
    assert any(each.startswith(f"NOT SET: {ledger}: its policy") for each in found["failed"])
    assert everything(dynamodb, ledger)[-1]["subject"] == {"S": "message#two"}


def test_a_table_that_is_gone_and_a_copy_without_entries_are_refused(capsys, dynamodb, target, ledger):
    code, told = restore(capsys, copy="nowhere", apply=True)
    assert (code, "there is no table nowhere" in told) == (3, True)
    code, told = restore(capsys, copy=target.outputs["ConsentsTableName"], apply=True)
    assert (code, "has no entry" in told) == (3, True)
    delete(dynamodb, ledger)
    code, told = restore(capsys, apply=True)
    assert (code, f"there is no table {ledger}" in told) == (3, True)


def test_it_makes_no_call_that_the_ledgers_own_policy_denies_and_the_runbook_names_all(
    capsys, dynamodb, target, ledger, copy
):
    for table in map(target.output, OUTPUTS):
        restore_under_the_same_name(dynamodb, table)
    damage(dynamodb, ledger)
    restore(capsys, copy=copy, apply=True)
    actions = {ACTIONS.get(each, each) for each in target.made}
    assert "dynamodb:PartiQLInsert" in actions
    assert not actions & DENIED
    runbook = (template.ROOT / "docs" / "runbook.md").read_text()
    section = runbook.partition("## Restore the ledger")[2].partition("\n## ")[0]
    assert set(re.findall(r"`((?:dynamodb|cloudformation):\w+)`", section)) == actions
