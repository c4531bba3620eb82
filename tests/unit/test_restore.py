"""What `cxone-messaging restore` puts back, and what it leaves to a person."""

import json
from dataclasses import replace

import pytest

from cli.restore.comparison import Comparison
from cli.restore.settings import TABLES, Settings, _is_among
from cli.restore.tables import RestoreError, wait_until_active
from cxone_messaging.adapters.dynamodb.values import written
from cxone_messaging.domain.entries import EntryType
from tests.building import SUBJECT, chain


def item(entry):
    return {name: written(value) for name, value in entry.attributes().items()}


def differences(copy, live):
    comparison = Comparison()
    comparison.add_copy(map(item, copy))
    comparison.add_ledger(map(item, live))
    comparison.check_kinship()
    return [(each.sequence, each.missing, each.fits) for each in comparison.differences()]


ENTRIES = chain(*((EntryType.DELIVERY, {"number": number}) for number in range(1, 6)))
OTHER = chain((EntryType.DELIVERY, {"number": 0}), subject="message#other")


def resealed(entry, **changes):
    changed = replace(entry, **changes)
    return replace(changed, hash=changed.computed_hash())


@pytest.mark.parametrize("gone", [[0], [1, 2], [4], [3, 4], [0, 1, 2, 3, 4]])
def test_entries_that_were_removed_fit_where_they_were(gone):
    live = [*(each for number, each in enumerate(ENTRIES) if number not in gone), *OTHER]
    assert differences([*ENTRIES, *OTHER], live) == [(number + 1, True, True) for number in gone]


def test_what_was_written_after_the_copy_is_no_difference():
    assert differences(ENTRIES[:3], ENTRIES) == []


def test_an_entry_that_was_changed_is_named_and_never_put_back():
    changed = replace(ENTRIES[1], data={"number": 99})
    assert differences(ENTRIES, [ENTRIES[0], changed, *ENTRIES[2:]]) == [(2, False, False)]


def test_nothing_is_put_back_behind_an_entry_that_took_its_place():
    """The chain went on: the old entries would follow no longer."""
    instead = resealed(ENTRIES[3], data={"number": 99})
    assert differences(ENTRIES, [*ENTRIES[:3], instead]) == [(4, False, False), (5, True, False)]


def test_nothing_is_put_back_before_an_entry_that_does_not_follow_it():
    after = resealed(ENTRIES[2], previous_hash="0" * 64)
    assert differences(ENTRIES[:2], [ENTRIES[0], after]) == [(2, True, False)]


def test_an_entry_that_was_changed_in_the_copy_is_not_put_back():
    changed = replace(ENTRIES[1], data={"number": 99})
    assert differences([ENTRIES[0], changed], ENTRIES[:1]) == [(2, True, False)]


def test_a_copy_of_another_ledger_is_refused():
    with pytest.raises(RestoreError, match="no entry in common"):
        differences(ENTRIES, OTHER)
    assert [fits for *_, fits in differences(ENTRIES, [])] == [True] * len(ENTRIES)


class Dynamo:
    """A table that is restored for a while."""

    class exceptions:  # noqa: N801
        class ResourceNotFoundException(Exception):  # noqa: N818
            pass

    def __init__(self, looks):
        self.looks = looks

    def describe_table(self, TableName):  # noqa: N803
        self.looks -= 1
        if TableName == "gone":
            raise self.exceptions.ResourceNotFoundException
        return {"Table": {"TableStatus": "CREATING" if self.looks else "ACTIVE", "TableArn": f"arn:{TableName}"}}


def test_a_restore_that_takes_longer_than_the_sdks_waiter_is_waited_for():
    slept = []
    assert wait_until_active(Dynamo(looks=91), "ledger", slept.append) == "arn:ledger"
    assert sum(slept) > 25 * 20


def test_a_restore_without_end_and_a_table_that_is_gone_are_told_apart():
    with pytest.raises(RestoreError, match="still CREATING"):
        wait_until_active(Dynamo(looks=-1), "ledger", lambda _: None)
    with pytest.raises(RestoreError, match="there is no table gone"):
        wait_until_active(Dynamo(looks=1), "gone", lambda _: None)


def test_items_are_compared_whatever_the_order_of_their_attributes():
    backwards = [dict(reversed(item(each).items())) for each in ENTRIES]
    comparison = Comparison()
    comparison.add_copy(map(item, ENTRIES))
    comparison.add_ledger(json.loads(json.dumps(backwards)))
    assert list(comparison.differences()) == []
    assert ENTRIES[0].subject == SUBJECT


STATEMENT = {"Effect": "Deny", "Principal": "*", "Action": ["dynamodb:PutItem"], "Resource": "*"}


class TestPolicy:
    """A policy that is put on a table is in force some time later, which DynamoDB's own reading of it shows."""

    class Service:
        """As much of CloudFormation and DynamoDB as there is to ask for settings."""

        class exceptions:  # noqa: N801
            class PolicyNotFoundException(Exception):  # noqa: N818
                pass

        def __init__(self, statement, looks):
            self.statement, self.looks, self.put = statement, looks, None
            self.outputs, self.name = dict.fromkeys(TABLES.values(), "table"), "stack"
            self.meta = self

        def client(self, service):
            return self

        def output(self, name):
            return self.outputs[name]

        def get_template(self, **_):
            policy = {"Version": "2012-10-17", "Statement": [self.statement]}
            table = {"Properties": {"ResourcePolicy": {"PolicyDocument": policy}}}
            return {"TemplateBody": {"Resources": dict.fromkeys(TABLES, table)}}

        def describe_stacks(self, **_):
            return {"Stacks": [{}]}

        def describe_table(self, **_):
            return {"Table": {}}

        def describe_continuous_backups(self, **_):
            point = {"PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "ENABLED"}}
            return {"ContinuousBackupsDescription": point}

        def get_paginator(self, _):
            return self

        def paginate(self, **_):
            return []

        def get_resource_policy(self, **_):
            if self.put:
                self.looks -= 1
            if not self.put or self.looks:
                raise self.exceptions.PolicyNotFoundException
            return {"Policy": self.put["Policy"], "RevisionId": "2"}

        def put_resource_policy(self, **request):
            self.put = request

    def settings(self, looks):
        service, slept = self.Service(STATEMENT, looks), []
        settings = Settings(service, slept.append)
        return service, next(settings.missing(dict.fromkeys(TABLES, "arn"))), slept

    def test_it_is_waited_for(self):
        service, setting, slept = self.settings(looks=4)
        setting.apply()
        assert 10 <= sum(slept) <= 60
        assert service.put["ExpectedRevisionId"] == "NO_POLICY", "somebody else's change in between is not overwritten"
        assert json.loads(service.put["Policy"])["Statement"] == [STATEMENT]

    def test_one_that_never_shows_is_told(self):
        _, setting, _ = self.settings(looks=-1)
        with pytest.raises(RestoreError, match="does not show it"):
            setting.apply()

    @pytest.mark.parametrize(
        "written",
        [{"Principal": {"AWS": "*"}}, {"Sid": "named"}, {"Action": "dynamodb:PutItem", "Resource": ["*"]}],
        ids=str,
    )
    def test_one_that_aws_writes_otherwise_is_the_same(self, written):
        assert _is_among(STATEMENT, [{**STATEMENT, **written}])

    @pytest.mark.parametrize("weaker", [{"Action": []}, {"Condition": {"Bool": {}}}, {"Effect": "Allow"}], ids=str)
    def test_a_weaker_one_is_not(self, weaker):
        assert not _is_among(STATEMENT, [{**STATEMENT, **weaker}])
