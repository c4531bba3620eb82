"""AWS's service descriptions, read once for all sessions of a process, and of the processes that it forks.

Each botocore session reads them anew, which takes longer than all else of a client. A test that starts a function
afresh makes a session.
"""

from functools import cache

import boto3
import botocore.session


def share() -> None:
    """Have all sessions from here on share what they read."""
    if not hasattr(botocore.session.create_loader, "cache_info"):
        botocore.session.create_loader = cache(botocore.session.create_loader)


def read_ahead() -> None:
    """Read what senders need, so that processes forked from this one have it."""
    share()
    session = boto3.Session("local", "local", region_name="us-east-1")
    for service in ("dynamodb", "secretsmanager", "sqs", "ssm"):
        session.client(service, endpoint_url="http://127.0.0.1:9")
