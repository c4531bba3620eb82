"""AWS clients: one session for all of a function's clients, bounded in time and in retries."""

from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

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
)


@cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()


@cache
def dynamodb() -> "DynamoDBClient":
    """Give the DynamoDB client."""
    return _session().client("dynamodb", config=_CONFIG)


@cache
def secrets_manager() -> "SecretsManagerClient":
    """Give the Secrets Manager client."""
    return _session().client("secretsmanager", config=_CONFIG)


@cache
def sqs() -> "SQSClient":
    """Give the SQS client."""
    return _session().client("sqs", config=_CONFIG)
