"""Claim: what is blank, short or no plain text keys no HMAC: neither the pepper nor a signing secret."""

import json
from unittest.mock import MagicMock

import pytest

from cxone_messaging.adapters.secrets import SecretsManagerStore, UnreadableSecretError, read_pepper
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.platform import aws
from functions.manage_consents import handler as manage_consents
from tests.building import MESSAGE_ID
from tests.functions import call
from tests.webhooks import ARN, CALLBACK_ARN, SMS, Webhook, callback
from tests.worlds import RECIPIENT

WEAK = [
    "",
    " ",
    " " * 64,
    "\0" * 64,
    "\t" * 64,
    "ab" * 32 + "\n",
    " " + "ab" * 32,
    "a" * 31,
    "\u00fc" * 64,
    "\ufeff" + "ab" * 32,
]


def keep(monkeypatch, pepper):
    secrets = MagicMock(**{"get_secret_value.return_value": {"SecretString": pepper}})
    monkeypatch.setattr(aws, "secrets_manager", lambda: secrets)


@pytest.mark.parametrize("pepper", WEAK)
def test_a_pepper_that_can_be_guessed_is_refused_and_not_quoted(monkeypatch, pepper):
    keep(monkeypatch, pepper)
    with pytest.raises(UnreadableSecretError, match="the pepper") as raised:
        read_pepper(SecretsManagerStore(aws.secrets_manager()), "arn")
    assert len(pepper) < 2 or pepper not in str(raised.value)


def test_a_pepper_as_the_template_makes_it_is_taken(monkeypatch):
    keep(monkeypatch, "aB3" * 21 + "x")
    pepper = read_pepper(SecretsManagerStore(aws.secrets_manager()), "arn")
    assert Pseudonyms(pepper).recipient_hash(PhoneNumber.parse(RECIPIENT.e164))


def test_the_log_says_what_is_wrong_with_a_secret(monkeypatch, log):
    def refuse():
        raise UnreadableSecretError("the pepper has fewer than 32 characters")

    monkeypatch.setattr(manage_consents, "use_case", refuse)
    answer = call(manage_consents, "GET /consents/{phoneNumber}", None, path={"phoneNumber": RECIPIENT.e164})
    assert answer["statusCode"] == 500
    assert "the pepper has fewer than 32 characters" in log.getvalue()
    assert "pepper" not in answer["body"]


@pytest.mark.parametrize("arn", [ARN, CALLBACK_ARN])
@pytest.mark.parametrize("name", ["current", "previous"])
@pytest.mark.parametrize("weak", [each for each in WEAK if each])
def test_no_event_is_let_in_on_a_key_that_can_be_guessed(monkeypatch, arn, name, weak):
    webhook = Webhook(monkeypatch)
    webhook.secrets.secrets[arn] = json.dumps({"current": "ef" * 32, "previous": "", name: weak})
    event = {"messageId": "cx", "status": "sent", "to": RECIPIENT.e164, "timestamp": "2026-11-22T14:14:00Z"}
    body = json.dumps(event).encode()
    if arn == ARN:
        status, _ = webhook.post(SMS, body, headers=webhook.signed(body, weak))
    else:
        status, _ = webhook.post(SMS, body, query=callback(MESSAGE_ID, weak))
    assert status == 500
    assert len(webhook.ledger) == 0
