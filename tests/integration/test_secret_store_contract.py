"""One contract for secrets, kept by both stores on two implementations of AWS and by the unit tests' stand-in."""

import uuid

import pytest

from cxone_messaging.adapters.cxone.shared_token import SharedToken, Token
from cxone_messaging.adapters.secrets import (
    ParameterStore,
    SecretsManagerStore,
    UnreadableSecretError,
    read_object,
)
from cxone_messaging.platform.clock import SystemClock
from tests.fakes import FakeSecretStore


class Secrets:
    """Secrets Manager, and a way to create secrets in it."""

    nowhere = "arn:aws:secretsmanager:eu-central-1:000000000000:secret:nowhere-abcdef"
    longest = 65_536

    def __init__(self, client):
        self._client = client
        self.store = SecretsManagerStore(client)

    def create(self, text=None):
        options = {} if text is None else {"SecretString": text}
        return self._client.create_secret(Name=uuid.uuid4().hex, **options)["ARN"]


class Parameters:
    """Parameter Store, where a first write creates."""

    nowhere = "/cxone-messaging/nowhere/sms-token"
    longest = 8_192

    def __init__(self, client):
        self._client = client
        self.store = ParameterStore(client)

    def create(self, text=None):
        name = f"/cxone-messaging/{uuid.uuid4().hex}/sms-token"
        if text is not None:
            self.store.write(name, text)
            assert self._client.get_parameter(Name=name)["Parameter"]["Type"] == "SecureString"
        return name


class ImaginedSecrets:
    nowhere = "nowhere"
    longest = 65_536

    def __init__(self):
        self.store = FakeSecretStore()

    def create(self, text=None):
        arn = uuid.uuid4().hex
        if text is not None:
            self.store.write(arn, text)
        return arn


@pytest.fixture(params=["fake", "moto", "secrets manager", "moto's parameter store", "parameter store"])
def secrets(request):
    match request.param:
        case "fake":
            return ImaginedSecrets()
        case "moto":
            return Secrets(request.getfixturevalue("moto").client("secretsmanager"))
        case "moto's parameter store":
            return Parameters(request.getfixturevalue("moto").client("ssm"))
        case "parameter store":
            return Parameters(request.getfixturevalue("make_client")("ssm"))
    return Secrets(request.getfixturevalue("secrets_manager"))


@pytest.mark.parametrize("text", ["plain", '{"clientId": "a", "clientSecret": "ü&=+%"}', " "])
def test_a_secret_is_read_as_it_was_created(secrets, text):
    assert secrets.store.read(secrets.create(text)) == text


def test_a_text_may_be_as_long_as_the_store_allows(secrets):
    text = "x" * secrets.longest
    assert secrets.store.read(secrets.create(text)) == text


def test_a_secret_is_replaced_whole_and_read_at_once(secrets):
    name = secrets.create('{"token": "old"}')
    for number in range(3):
        secrets.store.write(name, f'{{"token": "{number}"}}')
        assert read_object(secrets.store, name) == {"token": str(number)}


def test_secrets_have_texts_of_their_own(secrets):
    one, other = secrets.create("one"), secrets.create("other")
    secrets.store.write(one, "new")
    assert (secrets.store.read(one), secrets.store.read(other)) == ("new", "other")


def test_a_secret_that_is_not_there_or_has_no_text_is_unreadable(secrets):
    for name in (secrets.nowhere, secrets.create()):
        with pytest.raises(UnreadableSecretError):
            secrets.store.read(name)


@pytest.mark.parametrize("length", [1_200, 4_096, 7_900])
def test_the_first_token_is_shared_and_each_one_after_it(secrets, length):
    """So is one that takes more than the 4 KB of a standard parameter."""
    clock = SystemClock()
    shared = SharedToken(secrets.store, secrets.create(), clock)
    assert shared.read() is None
    for generation in (1, 2):
        token = Token.issued("t" * length, generation, clock.now(), 3600)
        shared.write(token)
        assert shared.read() == token
