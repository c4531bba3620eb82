"""No name or URL that a deployment is given leads a secret to another host, and each other text is bounded.

CloudFormation checks parameters; the functions check their environment again; `make up` checks its variables.
"""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from cxone_messaging.domain.sender_rates import LIMIT, SenderRates
from local import template
from local.options import Options
from local.processes import ServerError
from tests import functions

PARAMETERS = template.load()["Parameters"]
TEXTS = [name for name, each in PARAMETERS.items() if each["Type"] == "String" and "AllowedValues" not in each]
URLS = ["CxoneSmsBaseUrl", "CxoneApiBaseUrl", "WebhookBaseUrl"]
NAMES = ["CxoneAccount", "CxoneOrg"]
IDENTIFIERS = ["CxoneCampaignId", "CxoneOperatorId"]
MODELS = functions.MODELS

GOOD_URLS = [
    "https://acme.my.cxone.com",
    "https://acme.my.cxone.com/",
    "https://api.example:8443/live/v1.0/~a_b-c%20d",
    "https://10.0.0.1",
    "http://127.0.0.1:8090",
    "http://localhost:8090/a",
    "http://[::1]:8090",
]
BAD_URLS = [
    "http://acme.my.cxone.com",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.1@evil.example",
    "http://localhost.evil.example",
    "http://0.0.0.0:8090",
    "http://cxone.test",
    "http://evil.test:8090/a",
    "https://evil.example?",
    "https://evil.example/x?",
    "https://evil.example/#",
    "https://evil.example#.my.cxone.com",
    "https://acme.my.cxone.com@evil.example",
    "https://user:password@evil.example",
    "https://evil.example\\.my.cxone.com",
    "https://evil.example:443:80",
    "https://evil.example:",
    "https://evil.example:123456",
    "https://evil.example//a",
    "https://a..b",
    "https://-a.example",
    "https://a.example.",
    "https://",
    "https:///a",
    "//evil.example",
    "evil.example",
    "ftp://evil.example",
    "HTTPS://evil.example ",
    " https://evil.example",
    "https://evil.example\n",
    "https://evil.example\nhttps://acme.my.cxone.com",
    "https://évil.example",
    "https://evil.example/ü",
    'https://evil.example" CxoneApiBaseUrl="https://evil.example',
]
BAD_NAMES = [
    *("evil.example/x?", "evil.example#", "evil.example", "a/b", "a@b", "a:b", "-a", "a-", "a b", "A", "é", "a\n"),
    *("a" * 64, "%61", "_"),
]
BAD_EVENTS = [
    *("a" * 65, "a b", ".a", "a.", "a\n", "é", "a/b", '"a"', "a,b", "\x1b[2J"),
    *("template.approved", "a2p.registered"),
]
QUOTABLE = "https://quotable:quotable@evil.example/\n"
BAD_NUMBERS = ["12", "+", "+1 202 555 0100", "1" * 16, "١٢٣٤", "12345\n", "ACME", "+1-202", "=1"]
BAD_IDENTIFIERS = ["a" * 129, " a", "a ", "a\n", "a\x1b[2J", "é", "\u202ea", "\t"]


def takes(parameter, value):
    # As CloudFormation does, all of the value must match.
    return re.fullmatch(PARAMETERS[parameter]["AllowedPattern"], value) is not None


@pytest.mark.parametrize("parameter", TEXTS)
def test_every_text_has_a_pattern_that_is_explained_and_takes_its_default(parameter):
    told = PARAMETERS[parameter]
    assert told["AllowedPattern"].startswith("^")
    assert told["AllowedPattern"].endswith("$")
    assert told["ConstraintDescription"].startswith("must be ")
    assert takes(parameter, told["Default"])
    assert not takes(parameter, "a b\n\x1b" + "c" * 300)


@pytest.mark.parametrize("parameter", URLS)
def test_a_url_is_https_and_a_host_and_a_path(parameter):
    assert [each for each in GOOD_URLS if not takes(parameter, each)] == []
    assert [each for each in BAD_URLS if takes(parameter, each)] == []


def test_the_emulator_is_on_this_machine():
    assert takes("EmulatorEndpoint", "http://127.0.0.1:4566")
    assert not [each for each in (*BAD_URLS, "https://acme.my.cxone.com") if takes("EmulatorEndpoint", each)]


@pytest.mark.parametrize("parameter", NAMES)
def test_a_name_is_one_label_of_a_host(parameter):
    assert all(takes(parameter, each) for each in ("acme", "a", "acme-2", "2", "a" * 63))
    assert [each for each in BAD_NAMES if takes(parameter, each)] == []


def test_a_sender_is_digits():
    assert all(takes("CxoneFromNumber", each) for each in ("24680", "12345", "+15550100000", "15550100000"))
    assert [each for each in BAD_NUMBERS if takes("CxoneFromNumber", each)] == []


@pytest.mark.parametrize("parameter", IDENTIFIERS)
def test_an_identifier_is_bounded_and_printable(parameter):
    assert all(takes(parameter, each) for each in ("local-campaign", "7", "a b", "jane@acme.example", "a" * 128))
    assert [each for each in BAD_IDENTIFIERS if takes(parameter, each)] == []


def test_an_events_name_is_bounded_and_none_of_a_template():
    assert all(takes("InboundEvent", each) for each in ("", "a", "message.inbound", "SMS:Received_v2-x", "a" * 64))
    assert [each for each in BAD_EVENTS if takes("InboundEvent", each)] == []


def test_an_alarm_goes_to_one_address():
    assert takes("AlarmEmail", "on-call@acme.example")
    assert not any(takes("AlarmEmail", each) for each in ("a", "a@", "a@b c@d", "a@b\n", "a@b,c@d", "<a@b>"))


def test_a_minutes_budget_is_a_whole_number_or_nothing():
    assert all(takes("CxoneRequestsPerMinute", each) for each in ("", "1", "6000", "9999999"))
    assert not any(takes("CxoneRequestsPerMinute", each) for each in ("0", "-1", "1.5", "1e3", "nan", " 1", "1\n"))


@example("+1*=5, 12345=2.5")
@example("*=1")
@example("12345=0")
@example("12345=0.000000")
@example("12345=5,")
@example(",".join(f"{10_000 + place}=1" for place in range(LIMIT)))
@example(",".join(f"{10_000 + place}=1" for place in range(LIMIT + 1)))
@given(st.lists(st.sampled_from([*"+*=,. 0159", "12345", "+1*=5", "12345=2.5,"]), max_size=12).map("".join))
def test_rates_of_senders_deploy_just_where_the_functions_read_them(text):
    """But for a sender that is named twice: no pattern sees that."""
    fault = None
    try:
        SenderRates.parse(text)
    except ValueError as error:
        fault = str(error)
    is_taken = takes("SenderRequestsPerSecond", text)
    assert is_taken == (fault is None) or (is_taken and "an entry before it names" in fault)


@pytest.mark.parametrize("model", [each for each in MODELS if "SENDER_REQUESTS_PER_SECOND" in each.variables()])
def test_rates_that_cannot_be_read_are_named_and_not_quoted(model):
    with pytest.raises(ValidationError) as raised:
        model.from_environment({**filled(model), "SENDER_REQUESTS_PER_SECOND": "+15550001111=fast"})
    assert "SENDER_REQUESTS_PER_SECOND" in str(raised.value)
    assert "1555" not in str(raised.value)


BAD_VARIABLES = {
    **dict.fromkeys(("CXONE_SMS_BASE_URL", "CXONE_API_BASE_URL", "WEBHOOK_BASE_URL"), BAD_URLS),
    **dict.fromkeys(("CXONE_ISSUER", "CXONE_DIGITAL_BASE_URL"), BAD_URLS),
    "DEFAULT_SENDER": BAD_IDENTIFIERS,
    "CXONE_CHANNEL_ID": BAD_IDENTIFIERS,
    "CXONE_CAMPAIGN_ID": BAD_IDENTIFIERS,
    "CXONE_OPERATOR_ID": BAD_IDENTIFIERS,
    "INBOUND_EVENT": BAD_EVENTS,
}


def filled(model):
    fields = {str(field.alias): field for field in model.model_fields.values()}
    return {
        name: "https://cxone.example" if name.endswith(("BASE_URL", "ISSUER")) else "1"
        for name, field in fields.items()
        if field.is_required()
    }


@pytest.mark.parametrize(
    ("model", "name"), [(model, name) for model in MODELS for name in sorted(model.variables() & set(BAD_VARIABLES))]
)
def test_a_function_checks_its_environment_again_and_quotes_nothing(model, name):
    for value in BAD_VARIABLES[name]:
        with pytest.raises(ValidationError) as raised:
            model.from_environment({**filled(model), name: value})
        assert name in str(raised.value)
    with pytest.raises(ValidationError) as raised:
        model.from_environment({**filled(model), name: QUOTABLE})
    assert "quotable" not in str(raised.value)
    goods = GOOD_URLS if name.endswith(("BASE_URL", "ISSUER")) else ["24680"]
    assert all(model.from_environment({**filled(model), name: each}) for each in goods)


def test_every_url_and_name_of_a_functions_environment_is_checked():
    checked = set(BAD_VARIABLES)
    for model in MODELS:
        assert {
            each for each in model.variables() if re.match("CXONE_.*(URL|NUMBER|ID|ISSUER)|.*BASE_URL|.*SENDER$", each)
        } <= checked


@pytest.mark.parametrize("name", ["CXONE_SMS_BASE_URL", "CXONE_API_BASE_URL"])
def test_make_up_refuses_a_url_that_the_template_would(name):
    both = dict.fromkeys(("CXONE_SMS_BASE_URL", "CXONE_API_BASE_URL"), "http://127.0.0.1:9")
    for value in BAD_URLS:
        with pytest.raises(ServerError, match=f"{name} must be") as raised:
            Options.from_environment({**both, name: value})
        assert "evil" not in str(raised.value)
    assert Options.from_environment(both).sms_base_url == "http://127.0.0.1:9"


@pytest.mark.parametrize("name", ["CXONE_ISSUER", "CXONE_DIGITAL_BASE_URL"])
def test_make_up_refuses_a_url_of_the_other_api_that_the_template_would(name):
    for value in BAD_URLS:
        with pytest.raises(ServerError, match=f"{name} must be") as raised:
            Options.from_environment({"CXONE_API": "dfo-3.0", name: value})
        assert "evil" not in str(raised.value)
    given = Options.from_environment({"CXONE_API": "dfo-3.0", name: "http://127.0.0.1:9"})
    assert "http://127.0.0.1:9" in given.parameters.values()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("CXONE_CAMPAIGN_ID", BAD_IDENTIFIERS),
        ("CXONE_OPERATOR_ID", BAD_IDENTIFIERS),
        ("CXONE_FROM_NUMBER", BAD_NUMBERS),
    ],
)
def test_make_up_refuses_a_text_that_the_template_would(name, values):
    for value in values:
        with pytest.raises(ServerError, match=f"{name} must be"):
            Options.from_environment({name: value})
