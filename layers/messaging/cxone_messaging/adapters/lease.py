"""Who refreshes the fleet's token: one at a time, by a conditional write, and anew when the holder dies."""

from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.domain.errors import StorageError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class RefreshLease(Protocol):
    """The right to refresh one token past one generation. Instants are in Unix seconds."""

    def acquire(self, generation: int, owner: str, now: float, seconds: float) -> bool:
        """Take the lease, unless somebody holds it or a newer generation is out already."""
        ...

    def release(self, owner: str, generation: int) -> None:
        """Give the lease back, telling which generation is out now."""
        ...


class DynamoRefreshLease:
    """The lease as an item of the Coordination table, keyed by the token's name."""

    def __init__(self, client: "DynamoDBClient", table: str, token_name: str) -> None:
        self._client = client
        self._table = table
        self._key = {"name": {"S": f"token#{token_name}"}}

    def acquire(self, generation: int, owner: str, now: float, seconds: float) -> bool:
        """Take the lease, unless somebody holds it or a newer generation is out already.

        Who read the shared token just before a refresh, and comes here just after, is turned away by the generation.
        """
        try:
            self._client.update_item(
                TableName=self._table,
                Key=self._key,
                UpdateExpression="SET leaseOwner = :owner, leaseUntil = :until",
                ConditionExpression=(
                    "(attribute_not_exists(leaseUntil) OR leaseUntil < :now)"
                    " AND (attribute_not_exists(generation) OR generation <= :generation)"
                ),
                ExpressionAttributeValues={
                    ":owner": {"S": owner},
                    ":until": {"N": str(round((now + seconds) * 1000))},
                    ":now": {"N": str(round(now * 1000))},
                    ":generation": {"N": str(generation)},
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the token's lease could not be taken") from error
        return True

    def release(self, owner: str, generation: int) -> None:
        """Give the lease back, telling which generation is out now; nothing happens if it has passed to another."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=self._key,
                UpdateExpression="SET generation = :generation REMOVE leaseOwner, leaseUntil",
                ConditionExpression="leaseOwner = :owner",
                ExpressionAttributeValues={":owner": {"S": owner}, ":generation": {"N": str(generation)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the token's lease could not be given back") from error
