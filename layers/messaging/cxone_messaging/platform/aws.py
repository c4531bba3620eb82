"""AWS clients: one session for all of a function's clients, bounded in time and in retries.

The clients are botocore's: boto3 adds resources and transfers, which this code does not use, and a tenth to a cold
start.
"""

from functools import cache
from typing import TYPE_CHECKING, cast

from botocore.config import Config
from botocore.session import Session

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient

# The services answer in milliseconds. A call that takes seconds is better repeated while the caller still waits.
_CONFIG = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=32,
    # Otherwise botocore builds its own for every call, which takes a tenth of a call's CPU.
    user_agent="cxone-messaging",
    # The services check parameters too, and the type checker has already done so: another tenth.
    parameter_validation=False,
)


@cache
def _session() -> Session:
    return Session()


@cache
def dynamodb() -> "DynamoDBClient":
    """Return the DynamoDB client."""
    return cast("DynamoDBClient", _session().create_client("dynamodb", config=_CONFIG))


@cache
def secrets_manager() -> "SecretsManagerClient":
    """Return the Secrets Manager client."""
    return cast("SecretsManagerClient", _session().create_client("secretsmanager", config=_CONFIG))


@cache
def ssm() -> "SSMClient":
    """Return the client of Systems Manager's Parameter Store.

    It tries once. Its callers wait longer before another try, because the whole account shares few requests a second.
    """
    once = _CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
    return cast("SSMClient", _session().create_client("ssm", config=once))


@cache
def sqs() -> "SQSClient":
    """Return the SQS client."""
    return cast("SQSClient", _session().create_client("sqs", config=_CONFIG))
