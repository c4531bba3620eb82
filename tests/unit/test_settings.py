import pytest
from pydantic import ValidationError

from cxone_messaging.platform.settings import Settings
from cxone_messaging.wiring.dfo import DfoSettings
from cxone_messaging.wiring.sms_v2 import SmsV2Settings
from functions.approve_template.handler import ApproveTemplateSettings
from functions.receive_webhook.handler import ReceiveWebhookSettings
from functions.send_message.handler import SendMessageSettings
from tests import functions
from tests.functions import filled, required

SEND = {
    "LEDGER_TABLE": "ledger",
    "CONSENTS_TABLE": "consents",
    "COORDINATION_TABLE": "coordination",
    "PEPPER_SECRET_ARN": "arn:pepper",
    "CREDENTIALS_SECRET_ARN": "arn:credentials",
    "SMS_TOKEN_NAME": "arn:token",
}


class Sample(Settings):
    table_name: str
    how_many: int = 3


def test_a_setting_is_the_variable_of_its_name_in_capitals():
    assert Sample.from_environment({"TABLE_NAME": "t", "HOW_MANY": "5"}) == Sample(TABLE_NAME="t", HOW_MANY=5)
    assert Sample.variables() == {"TABLE_NAME", "HOW_MANY"}


def test_variables_of_others_are_passed_over():
    assert Sample.from_environment({"TABLE_NAME": "t", "PATH": "/bin", "table_name": "x"}).table_name == "t"


def test_an_empty_variable_is_a_setting_left_out():
    assert Sample.from_environment({"TABLE_NAME": "t", "HOW_MANY": ""}).how_many == 3
    with pytest.raises(ValidationError, match="TABLE_NAME"):
        Sample.from_environment({"TABLE_NAME": ""})


def test_the_processs_own_environment_is_read_when_asked_and_not_before(monkeypatch):
    monkeypatch.setenv("TABLE_NAME", "from the process")
    assert Sample.from_environment().table_name == "from the process"


def test_a_setting_can_not_be_changed():
    sample = Sample.from_environment({"TABLE_NAME": "t"})
    with pytest.raises(ValidationError, match="frozen"):
        sample.table_name = "u"


MODELS = functions.MODELS


@pytest.mark.parametrize(("model", "missing"), [(model, name) for model in MODELS for name in required(model)])
def test_a_missing_setting_is_named(model, missing):
    given = filled(model)
    del given[missing]
    with pytest.raises(ValidationError) as raised:
        model.from_environment(given)
    assert [error["loc"] for error in raised.value.errors()] == [(missing,)]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (SmsV2Settings, "CXONE_SMS_BASE_URL"),
        (SmsV2Settings, "WEBHOOK_BASE_URL"),
        (ApproveTemplateSettings, "CXONE_API_BASE_URL"),
        (DfoSettings, "CXONE_ISSUER"),
        (DfoSettings, "CXONE_DIGITAL_BASE_URL"),
    ],
)
def test_a_base_url_may_end_in_a_slash(model, name):
    told = model.from_environment({**filled(model), name: "http://127.0.0.1:8090/a/"})
    assert getattr(told, name.lower()) == "http://127.0.0.1:8090/a"


def test_sending_needs_these_variables_and_has_defaults_for_the_rest():
    assert set(required(SendMessageSettings)) == set(SEND)
    told = SendMessageSettings.from_environment(SEND)
    assert (told.default_sender, told.cxone_campaign_id) == ("", "")
    assert told.max_segments == 10
    assert told.send_timeout_seconds == 20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_SEGMENTS", "0"),
        ("MAX_SEGMENTS", "256"),
        ("MAX_SEGMENTS", "many"),
        ("SEND_TIMEOUT_SECONDS", "0"),
        ("SEND_TIMEOUT_SECONDS", "20.1"),  # API Gateway gives up at 29 s, and the outcome is still to be written
    ],
)
def test_a_setting_out_of_its_bounds_is_named(name, value):
    with pytest.raises(ValidationError, match=name):
        SendMessageSettings.from_environment({**SEND, name: value})


def test_what_cxones_events_need():
    needed = {"LEDGER_TABLE", "CONSENTS_TABLE", "PEPPER_SECRET_ARN", "WEBHOOK_SECRET_ARN", "CALLBACK_SECRET_ARN"}
    assert set(required(ReceiveWebhookSettings)) == needed


def test_each_api_needs_its_own_and_nothing_of_the_other():
    assert set(required(SmsV2Settings)) == {"CALLBACK_SECRET_ARN", "CXONE_SMS_BASE_URL", "WEBHOOK_BASE_URL"}
    assert required(DfoSettings) == ["CXONE_ISSUER"]
    assert not SmsV2Settings.variables() & DfoSettings.variables()


@pytest.mark.parametrize(("api", "needed"), [("sms-v2", True), ("dfo-3.0", False)])
def test_a_campaign_is_needed_where_the_api_has_campaigns(api, needed):
    assert SendMessageSettings.from_environment(SEND | {"CXONE_API": api}).rules.needs_campaign is needed


def test_there_is_no_third_api():
    with pytest.raises(ValidationError, match="CXONE_API"):
        SendMessageSettings.from_environment(SEND | {"CXONE_API": "dfo"})
