"""The collector's state, kept in one item of the Coordination table; one run holds it at a time."""

import uuid
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.domain.collection import Collection
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.platform.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

_KEY: "Mapping[str, AttributeValueTypeDef]" = {"name": {"S": "collection"}}
# A run that outlives its time by this much has died. One that claims more than Lambda gives had a wrong clock.
_GRACE_SECONDS, _LONGEST_SECONDS = 10.0, 900.0


class CollectionStore(Protocol):
    """Where the collector's state is."""

    def begin(self, until: float) -> Collection | None:
        """Hold the state for a run until an instant in Unix seconds, and return it; None if another run holds it.

        Raises `StorageError`.
        """
        ...

    def end(self, state: Collection) -> None:
        """Store the state and let it go, unless the run took so long that another holds it. Raises `StorageError`."""
        ...


class CollectionItem:
    """The state in DynamoDB."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._owner = ""

    def begin(self, until: float) -> Collection | None:
        """Hold the state, and return it; see `CollectionStore`."""
        now, owner = self._clock.now(), uuid.uuid4().hex
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=_KEY,
                UpdateExpression="SET heldBy = :owner, heldUntil = :until",
                # The SDK repeats a call whose answer was lost: then this run already holds it.
                ConditionExpression=(
                    "attribute_not_exists(heldUntil) OR heldUntil < :now OR heldUntil > :longest OR heldBy = :owner"
                ),
                ExpressionAttributeValues={
                    ":owner": {"S": owner},
                    ":until": {"N": f"{until + _GRACE_SECONDS:.3f}"},
                    ":now": {"N": f"{now:.3f}"},
                    ":longest": {"N": f"{now + _LONGEST_SECONDS + 2 * _GRACE_SECONDS:.3f}"},
                },
                ReturnValues="ALL_NEW",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the collector's state could not be read") from error
        self._owner = owner
        text = answer.get("Attributes", {}).get("state", {}).get("S")
        return Collection.begun(now) if text is None else Collection.parse(text, now)

    def end(self, state: Collection) -> None:
        """Store the state and let it go; see `CollectionStore`."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_KEY,
                UpdateExpression="SET #state = :state REMOVE heldBy, heldUntil",
                ConditionExpression="heldBy = :owner",
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues={":state": {"S": state.text()}, ":owner": {"S": self._owner}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the collector's state could not be stored") from error
