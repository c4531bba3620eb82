"""The schedule's item as operators see it: its pace read, and their ceiling written."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.adapters.dynamodb.schedule_item import ACCOUNT, schedule_of
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.schedule import Schedule

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

# A role allows this key alone.
_KEY: "Mapping[str, AttributeValueTypeDef]" = {"name": {"S": ACCOUNT}}


class PaceStore(Protocol):
    """Where the account's pace is, and an operator's ceiling."""

    def read(self) -> Schedule:
        """Return the present state. Raises `StorageError`."""
        ...

    def set_ceiling(self, ceiling: int | None, *, entry: int, seen: int) -> bool:
        """Set the ceiling in micro-requests a second, None for the deployed one; return whether it is set.

        `entry` is the sequence of the ledger's entry about it. `seen` is that of the ceiling that it replaces, or 0;
        where another request has set one since, nothing changes. What is learnt of the pace stays. Raises
        `StorageError`.
        """
        ...


class PaceItem:
    """The schedule's item in DynamoDB."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def read(self) -> Schedule:
        """Return the present state. Raises `StorageError`."""
        try:
            answer = self._client.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the pace could not be read") from error
        return schedule_of(answer.get("Item", {}))

    def set_ceiling(self, ceiling: int | None, *, entry: int, seen: int) -> bool:
        """Set the ceiling; see `PaceStore`.

        The schedule's stamp stays: no sender takes this change for a reservation.
        """
        numbers = {":entry": entry, ":one": 1}
        change = "SET ceilingEntry = :entry REMOVE ceiling ADD paceVersion :one"
        if ceiling is not None:
            change = "SET ceilingEntry = :entry, ceiling = :ceiling ADD paceVersion :one"
            numbers[":ceiling"] = ceiling
        condition = "attribute_not_exists(ceilingEntry)"
        if seen:
            condition = "ceilingEntry = :seen"
            numbers[":seen"] = seen
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_KEY,
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeValues={name: {"N": str(number)} for name, number in numbers.items()},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the ceiling could not be written") from error
        return True
