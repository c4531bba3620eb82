"""The schedule's item as operators see it: its pace read, and their ceiling written."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.pace_state import PaceState

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

# As in `schedule_item.py`; a role allows this key alone.
KEY: "Mapping[str, AttributeValueTypeDef]" = {"name": {"S": "schedule"}}


class PaceStore(Protocol):
    """Where the account's pace is, and an operator's ceiling."""

    def read(self) -> PaceState:
        """Return the present state. Raises `StorageError`."""
        ...

    def set_ceiling(self, ceiling: int | None, *, entry: int, seen: int) -> bool:
        """Set the ceiling in micro-requests a second, None for the deployed one; return whether it is set.

        `entry` is the sequence of the ledger's entry about it. `seen` is that of the ceiling that it replaces, or 0;
        where another request has set one since, nothing changes. Raises `StorageError`.
        """
        ...


class PaceItem:
    """The schedule's item in DynamoDB."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def read(self) -> PaceState:
        """Return the present state. Raises `StorageError`."""
        try:
            answer = self._client.get_item(TableName=self._table, Key=KEY, ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the pace could not be read") from error
        return _read(answer.get("Item", {}))

    def set_ceiling(self, ceiling: int | None, *, entry: int, seen: int) -> bool:
        """Set the ceiling; see `PaceStore`.

        The schedule's stamp stays: no sender takes this change for a reservation.
        """
        change = "SET ceilingEntry = :entry REMOVE ceiling"
        values: dict[str, AttributeValueTypeDef] = {":entry": {"N": str(entry)}}
        if ceiling is not None:
            change = "SET ceilingEntry = :entry, ceiling = :ceiling"
            values[":ceiling"] = {"N": str(ceiling)}
        condition = "attribute_not_exists(ceilingEntry)"
        if seen:
            condition = "ceilingEntry = :seen"
            values[":seen"] = {"N": str(seen)}
        try:
            self._client.update_item(
                TableName=self._table,
                Key=KEY,
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the ceiling could not be written") from error
        return True


def _read(item: Mapping[str, Any]) -> PaceState:
    def number(name: str) -> int:
        return int(item[name]["N"]) if name in item else 0

    return PaceState(
        ceiling=number("ceiling") if "ceiling" in item else None,
        ceiling_entry=number("ceilingEntry"),
        pace=number("pace") if "pace" in item else None,
        paced_at=number("paceAt"),
        lowered=number("lowered"),
        next_slot=number("nextSlot"),
        held_until=number("heldUntil"),
        holds=number("holdsInARow"),
        failures=number("failures"),
        open_until=number("openUntil"),
        probe_until=number("probeUntil"),
    )
