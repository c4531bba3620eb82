import json

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from botocore.stub import Stubber

from cxone_messaging.adapters.secrets import (
    BusyStoreError,
    ParameterStore,
    SecretsManagerStore,
    UnreadableSecretError,
    WebhookSecrets,
    read_object,
)
from cxone_messaging.domain.errors import StorageError
from tests.fakes import FakeClock, FakeSecretStore

ARN = "arn:secret"


@pytest.fixture
def stub():
    client = boto3.Session("x", "x", region_name="us-east-1").client("secretsmanager")
    with Stubber(client) as stubber:
        stubber.store = SecretsManagerStore(client)
        yield stubber
        stubber.assert_no_pending_responses()


class TestSecretsManagerStore:
    def test_a_secret_is_read_by_its_arn(self, stub):
        stub.add_response("get_secret_value", {"SecretString": "text"}, {"SecretId": ARN})
        assert stub.store.read(ARN) == "text"

    def test_a_secret_is_replaced(self, stub):
        stub.add_response("put_secret_value", {}, {"SecretId": ARN, "SecretString": "new"})
        stub.store.write(ARN, "new")

    @pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException", "InternalServiceError"])
    def test_what_aws_refuses_is_a_storage_error(self, stub, code):
        stub.add_client_error("get_secret_value", code)
        stub.add_client_error("put_secret_value", code)
        with pytest.raises(StorageError):
            stub.store.read(ARN)
        with pytest.raises(StorageError) as raised:
            stub.store.write(ARN, "the secret's text")
        assert "the secret's text" not in str(raised.value)

    def test_a_secret_that_is_no_text_or_has_no_value_is_unreadable(self, stub):
        stub.add_response("get_secret_value", {"SecretBinary": b"\x00"}, {"SecretId": ARN})
        stub.add_client_error("get_secret_value", "ResourceNotFoundException")
        for _ in range(2):
            with pytest.raises(UnreadableSecretError):
                stub.store.read(ARN)

    @pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
    def test_what_a_later_try_may_read_is_not_unreadable(self, stub, code):
        stub.add_client_error("get_secret_value", code)
        with pytest.raises(StorageError) as raised:
            stub.store.read(ARN)
        assert type(raised.value) is (BusyStoreError if code == "ThrottlingException" else StorageError)


NAME = "/cxone-messaging/stack/sms-token"


class TestParameterStore:
    @pytest.fixture
    def stub(self):
        client = boto3.Session("x", "x", region_name="us-east-1").client("ssm")
        with Stubber(client) as stubber:
            stubber.store = ParameterStore(client)
            yield stubber
            stubber.assert_no_pending_responses()

    def test_a_parameter_is_read_decrypted(self, stub):
        asked = {"Name": NAME, "WithDecryption": True}
        stub.add_response("get_parameter", {"Parameter": {"Value": "text"}}, asked)
        assert stub.store.read(NAME) == "text"

    def test_a_parameter_is_made_or_replaced_encrypted_and_as_large_as_it_needs_to_be(self, stub):
        told = {"Name": NAME, "Value": "new", "Type": "SecureString", "Tier": "Intelligent-Tiering", "Overwrite": True}
        stub.add_response("put_parameter", {"Version": 1}, told)
        stub.store.write(NAME, "new")

    def test_one_that_is_not_there_yet_is_unreadable(self, stub):
        stub.add_client_error("get_parameter", "ParameterNotFound")
        with pytest.raises(UnreadableSecretError):
            stub.store.read(NAME)

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("ThrottlingException", BusyStoreError),
            ("AccessDeniedException", StorageError),
            ("InvalidKeyId", StorageError),
            ("InternalServerError", StorageError),
        ],
    )
    def test_what_a_later_try_may_read_is_not_unreadable(self, stub, code, kind):
        stub.add_client_error("get_parameter", code)
        with pytest.raises(StorageError) as raised:
            stub.store.read(NAME)
        assert type(raised.value) is kind

    @pytest.mark.parametrize(
        "error",
        [
            EndpointConnectionError(endpoint_url=NAME),
            ConnectTimeoutError(endpoint_url=NAME),
            ReadTimeoutError(endpoint_url=NAME),
            ConnectionClosedError(endpoint_url=NAME),
        ],
    )
    def test_no_answer_is_worth_another_try(self, error):
        once = Config(retries={"total_max_attempts": 1})
        client = boto3.Session("x", "x", region_name="us-east-1").client("ssm", config=once)

        def fail(**_):
            raise error

        client.meta.events.register("before-send.ssm.*", fail)
        with pytest.raises(BusyStoreError):
            ParameterStore(client).read(NAME)
        with pytest.raises(BusyStoreError):
            ParameterStore(client).write(NAME, "text")

    @pytest.mark.parametrize(
        "code", ["ValidationException", "ThrottlingException", "TooManyUpdates", "ParameterMaxVersionLimitExceeded"]
    )
    def test_what_is_not_written_is_a_storage_error_that_quotes_nothing(self, stub, code):
        """`ValidationException` is the answer to a text of more than 8 KB."""
        stub.add_client_error("put_parameter", code, "the token's text")
        with pytest.raises(StorageError) as raised:
            stub.store.write(NAME, "the token's text")
        assert "the token's text" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "hush", "[]", '"hush"', "null", "{", "[" * 100_000], ids=range(7))
def test_a_secret_that_is_no_object_is_an_unreadable_secret_and_nothing_of_it_is_quoted(text):
    with pytest.raises(UnreadableSecretError) as raised:
        read_object(FakeSecretStore(**{ARN: text}), ARN)
    assert "hush" not in str(raised.value)


def test_a_secret_that_is_an_object():
    assert read_object(FakeSecretStore(**{ARN: '{"a": 1}'}), ARN) == {"a": 1}


def test_a_byte_order_mark_is_skipped():
    assert read_object(FakeSecretStore(**{ARN: '\ufeff{"a": 1}'}), ARN) == {"a": 1}


C1, C2 = "c1" * 32, "c2" * 32


class TestWebhookSecrets:
    @pytest.fixture
    def clock(self):
        return FakeClock()

    @pytest.fixture
    def store(self):
        return FakeSecretStore(**{ARN: json.dumps({"current": C1, "previous": ""})})

    @pytest.fixture
    def secrets(self, store, clock):
        return WebhookSecrets(store, ARN, clock)

    def rotate(self, store):
        store.secrets[ARN] = json.dumps({"current": C2, "previous": C1})

    def test_nothing_is_read_before_it_is_needed(self, secrets, store):
        assert store.reads == 0
        assert secrets.current == C1
        assert store.reads == 1

    def test_an_empty_previous_value_signs_nothing(self, secrets, store):
        assert secrets.accepted() == (C1,)

    def test_both_values_are_accepted_the_current_one_first(self, secrets, store):
        self.rotate(store)
        assert secrets.accepted() == (C2, C1)
        assert secrets.current == C2

    def test_they_are_read_once_a_minute(self, secrets, store, clock):
        for _ in range(60):
            assert secrets.accepted() == (C1,)
            clock.advance(0.99)
        assert store.reads == 1
        clock.advance(1)
        self.rotate(store)
        assert secrets.accepted() == (C2, C1)
        assert store.reads == 2

    def test_a_rotation_is_seen_at_once_by_who_rereads(self, secrets, store, clock):
        assert secrets.accepted() == (C1,)
        self.rotate(store)
        assert secrets.accepted() == (C1,)
        clock.advance(1)
        assert secrets.reread() == (C2, C1)
        assert secrets.accepted() == (C2, C1)

    def test_a_reread_in_vain_is_repeated_after_pauses_that_double(self, secrets, store, clock):
        reads = []
        for _ in range(20_000):
            before = store.reads
            secrets.reread()
            if store.reads > before:
                reads.append(round(clock.monotonic()))
            clock.advance(0.05)
        assert reads == [0, 1, 31, 91, 211, 451, 931]

    def test_a_reread_that_finds_something_new_may_be_followed_by_another(self, secrets, store, clock):
        secrets.accepted()
        for number in range(5):
            clock.advance(1)
            store.secrets[ARN] = json.dumps({"current": f"d{number}" * 16, "previous": ""})
            assert secrets.reread() == (f"d{number}" * 16,)

    def test_after_ten_quiet_minutes_a_rotation_is_seen_at_once_again(self, secrets, store, clock):
        for _ in range(1000):
            secrets.accepted()
            secrets.reread()
            clock.advance(1)
        clock.advance(600)
        secrets.accepted()
        self.rotate(store)
        clock.advance(1)
        assert secrets.reread() == (C2, C1)

    @pytest.mark.parametrize("name", ["current", "previous"])
    @pytest.mark.parametrize(
        "value", [" ", " " * 64, "\0" * 64, C1 + "\n", "ab" * 15, "\u00fc" * 64, 12345, True, [C1]]
    )
    def test_what_can_be_no_key_is_refused_and_not_quoted(self, secrets, store, name, value):
        store.secrets[ARN] = json.dumps({"current": C1, "previous": "", name: value})
        with pytest.raises(UnreadableSecretError, match=f"the {name} value of a signing secret") as raised:
            secrets.accepted()
        assert str(value) == " " or str(value) not in str(raised.value)

    @pytest.mark.parametrize("document", ["{}", '{"current": "", "previous": ""}', '{"current": null}', "[]", "hush"])
    def test_an_empty_secret_signs_nothing_and_accepts_nothing(self, secrets, store, document):
        store.secrets[ARN] = document
        with pytest.raises(StorageError):
            secrets.accepted()
        with pytest.raises(StorageError):
            _ = secrets.current

    def test_a_second_after_a_failed_read_it_is_read_again(self, secrets, store, clock):
        store.secrets[ARN] = "{}"
        with pytest.raises(StorageError):
            secrets.accepted()
        self.rotate(store)
        clock.advance(1)
        assert secrets.accepted() == (C2, C1)
