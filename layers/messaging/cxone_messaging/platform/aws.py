"""AWS clients: one session for all of a function's clients, bounded in time and in retries.

Of botocore alone: boto3 adds resources and transfers, which nobody here uses, and a tenth to a cold start.
"""

from functools import cache
from typing import TYPE_CHECKING, cast

from botocore.config import Config
from botocore.session import Session

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

# Both services answer in milliseconds; a call that takes seconds is better made again while the caller still waits.
_CONFIG = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=32,
    # Otherwise botocore writes its own anew for every call, a tenth of what a call costs in CPU.
    user_agent="cxone-messaging",
    # The services check parameters too, and the types did before: another tenth.
    parameter_validation=False,
)


@cache
def _session() -> Session:
    return Session()


@cache
def dynamodb() -> "DynamoDBClient":
    """Give the DynamoDB client."""
    return cast("DynamoDBClient", _session().create_client("dynamodb", config=_CONFIG))


@cache
def secrets_manager() -> "SecretsManagerClient":
    """Give the Secrets Manager client."""
    return cast("SecretsManagerClient", _session().create_client("secretsmanager", config=_CONFIG))


@cache
def sqs() -> "SQSClient":
    """Give the SQS client."""
    return cast("SQSClient", _session().create_client("sqs", config=_CONFIG))
