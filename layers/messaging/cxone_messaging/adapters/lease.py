"""Who refreshes the fleet's token: one at a time, by a conditional write, and anew when the holder dies."""

from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.domain.errors import StorageError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


# For so long after a refresh, who knows an older generation only is sent back to look again.
JUST_RELEASED_SECONDS = 10.0


class RefreshLease(Protocol):
    """The right to refresh one token past one generation. Instants are in Unix seconds."""

    def acquire(self, generation: int, owner: str, now: float, seconds: float) -> int | None:
        """Take the lease, unless somebody holds it or a newer generation has just come out.

        Gives the newest generation there ever was, or None. An owner's name serves for one lease only.
        """
        ...

    def release(self, owner: str, generation: int, now: float) -> None:
        """Give the lease back, telling which generation is out now."""
        ...


class DynamoRefreshLease:
    """The lease as an item of the Coordination table, keyed by the token's name."""

    def __init__(self, client: "DynamoDBClient", table: str, token_name: str) -> None:
        self._client = client
        self._table = table
        self._key = {"name": {"S": f"token#{token_name}"}}

    def acquire(self, generation: int, owner: str, now: float, seconds: float) -> int | None:
        """Take the lease, unless somebody holds it or a newer generation has just come out.

        Who read the shared token just before a refresh, and comes here just after, is turned away by the generation;
        but not for long, since a shared token that was lost or reset would otherwise never be replaced.
        """
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=self._key,
                UpdateExpression="SET leaseOwner = :owner, leaseUntil = :until",
                ConditionExpression=(
                    "(attribute_not_exists(leaseUntil) OR leaseUntil < :now)"
                    " AND (attribute_not_exists(generation) OR generation <= :generation OR releasedAt < :longAgo)"
                    # The SDK repeats a call whose answer was lost: then it is ours already.
                    " OR leaseOwner = :owner"
                ),
                ReturnValues="ALL_NEW",
                ExpressionAttributeValues={
                    ":owner": {"S": owner},
                    ":until": {"N": str(round((now + seconds) * 1000))},
                    ":now": {"N": str(round(now * 1000))},
                    ":longAgo": {"N": str(round((now - JUST_RELEASED_SECONDS) * 1000))},
                    ":generation": {"N": str(generation)},
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the token's lease could not be taken") from error
        newest = answer["Attributes"].get("generation")
        return int(newest["N"]) if newest else 0

    def release(self, owner: str, generation: int, now: float) -> None:
        """Give the lease back, telling which generation is out now; nothing happens if it has passed to another."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=self._key,
                UpdateExpression="SET generation = :generation, releasedAt = :now REMOVE leaseOwner, leaseUntil",
                ConditionExpression="leaseOwner = :owner",
                ExpressionAttributeValues={
                    ":owner": {"S": owner},
                    ":generation": {"N": str(generation)},
                    ":now": {"N": str(round(now * 1000))},
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the token's lease could not be given back") from error
