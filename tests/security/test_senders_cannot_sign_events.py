"""Claim: no sender holds what signs an event's body, by its environment, its settings or its role."""

import json

import pytest

from local import template
from tests.functions import MODELS

FUNCTIONS = template.resources("AWS::Serverless::Function")
READERS = {
    "WebhookSecret": {"ReceiveWebhookFunction", "ApproveTemplateFunction"},
    "CallbackSecret": {"ReceiveWebhookFunction", "SendMessageFunction", "SendBulkFunction"},
}


@pytest.mark.parametrize("secret", READERS)
def test_a_secret_that_signs_is_named_by_its_readers_only(secret):
    assert {name for name, each in FUNCTIONS.items() if secret in json.dumps(each)} == READERS[secret]


def test_so_it_is_in_their_settings():
    reading = {
        variable: {model.__name__ for model in MODELS if variable in model.variables()}
        for variable in ("WEBHOOK_SECRET_ARN", "CALLBACK_SECRET_ARN")
    }
    assert reading == {
        "WEBHOOK_SECRET_ARN": {"ReceiveWebhookSettings", "ApproveTemplateSettings"},
        "CALLBACK_SECRET_ARN": {"ReceiveWebhookSettings", "SmsV2Settings"},
    }
