"""The template's rules: what must hold of every function, route, role, table and parameter in it."""

import importlib
import json
import re
import string
from fnmatch import fnmatchcase

import pytest
from pydantic.alias_generators import to_pascal

from cxone_messaging.domain.checkpoints import COMPLETE_AFTER
from cxone_messaging.platform.subscribe_event import SUBSCRIBE_EVENT
from local import template
from tests import functions, roles, transformed
from tests.roles import as_list, statements

TEMPLATE = template.load()
FUNCTIONS = template.resources("AWS::Serverless::Function")
GLOBALS = TEMPLATE["Globals"]["Function"]
(API,) = template.resources("AWS::Serverless::Api").values()
OPERATIONS = transformed.rest_operations()
GATEWAY_SECONDS = 29

each_function = pytest.mark.parametrize("function", FUNCTIONS)
each_operation = pytest.mark.parametrize("route", OPERATIONS)


def settings_model(folder):
    """Give the settings model that a handler defines, by its name."""
    return getattr(importlib.import_module(f"functions.{folder}.handler"), to_pascal(folder) + "Settings")


def folder(function):
    return FUNCTIONS[function]["CodeUri"].removeprefix("functions/")


def is_of(resource, logical_id):
    """Whether an ARN is a resource's, or of something within it."""
    return bool(re.search(rf"\b{logical_id}\b", str(resource)))


def invoked_by(operation):
    """Name the function whose alias a route's integration invokes."""
    uri = operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
    (name,) = re.findall(r"/functions/\$\{(\w+)Aliaslive\}/invocations$", uri)
    return name


def routes_of(function):
    if function == "ReceiveWebhookFunction":
        return set(transformed.webhook_routes())
    return {route for route, operation in OPERATIONS.items() if invoked_by(operation) == function}


ON_THE_API = [function for function in FUNCTIONS if routes_of(function)]


def test_there_is_a_function_for_each_folder_and_the_other_way_round():
    folders = {each.parent.name for each in (template.ROOT / "functions").glob("*/handler.py")}
    assert {folder(function) for function in FUNCTIONS} == folders
    assert GLOBALS["Handler"] == "handler.handler"
    assert not any("Handler" in each for each in FUNCTIONS.values())


class TestFunctions:
    def test_all_log_into_one_group_with_retention(self):
        log_groups = {
            each["LoggingConfig"]["LogGroup"]["Ref"] for each in transformed.resources("AWS::Lambda::Function").values()
        }
        assert log_groups == {"FunctionLogs"}
        properties = template.resources("AWS::Logs::LogGroup")["FunctionLogs"]
        assert properties["RetentionInDays"] == {"Ref": "LogRetentionDays"}

    @each_function
    def test_its_environment_is_what_its_settings_read(self, function):
        model = settings_model(folder(function))
        of_libraries = {"LOG_LEVEL", "POWERTOOLS_SERVICE_NAME", "PYDANTIC_DISABLE_PLUGINS"}
        assert set(template.variables(function)) - of_libraries == functions.variables(model)

    def test_what_all_have_is_said_once(self):
        shared = set(GLOBALS["Environment"]["Variables"])
        own = [set(each.get("Environment", {}).get("Variables", {})) for each in FUNCTIONS.values()]
        assert not set.intersection(*own)
        assert not shared & set.union(*own)

    @each_function
    def test_values_written_out_are_ones_that_its_settings_take(self, function):
        model = settings_model(folder(function))
        own = template.variables(function)
        defaults = {name: each.get("Default", "") for name, each in TEMPLATE["Parameters"].items()}
        built = {name: "https://built.example" if name.endswith("BASE_URL") else name for name in own}
        given = {name: defaults.get(v.get("Ref"), built[name]) if isinstance(v, dict) else v for name, v in own.items()}
        assert model.from_environment({name: str(value) for name, value in given.items()})

    @each_function
    def test_its_role_is_all_written_out(self, function):
        assert "Role" not in FUNCTIONS[function]
        assert "Policies" not in GLOBALS
        for policy in FUNCTIONS[function]["Policies"]:
            assert set(policy) == {"Version", "Statement"}
        assert {each["Effect"] for each in roles.written(function)} == {"Allow", "Deny"}

    @each_function
    def test_its_role_names_just_the_actions_and_resources_it_uses(self, function):
        assert statements(function)
        for statement in statements(function):
            assert set(statement) <= {"Effect", "Action", "Resource", "Condition", "Sid"}
            for action in as_list(statement["Action"]):
                assert re.fullmatch(r"[a-z]+:[A-Za-z]+", action), action
            for resource in as_list(statement["Resource"]):
                assert isinstance(resource, dict), f"{resource} is written out"
                assert "*" not in str(resource), resource

    @each_function
    def test_it_can_append_to_the_ledger_and_read_it_and_nothing_else(self, function):
        allowed = {"dynamodb:PartiQLInsert", "dynamodb:Query", "dynamodb:GetItem"}
        for statement in statements(function):
            if any(is_of(resource, "LedgerTable") for resource in as_list(statement["Resource"])):
                assert set(as_list(statement["Action"])) <= allowed

    @each_function
    def test_it_can_not_remove_a_consent(self, function):
        for statement in statements(function):
            if any(is_of(resource, "ConsentsTable") for resource in as_list(statement["Resource"])):
                assert set(as_list(statement["Action"])) <= {
                    "dynamodb:GetItem",
                    "dynamodb:BatchGetItem",
                    "dynamodb:PutItem",
                }

    @each_function
    def test_only_who_calls_cxone_may_read_credentials_and_tokens(self, function):
        variables = template.variables(function)
        calls_cxone = {"CXONE_SMS_BASE_URL", "CXONE_API_BASE_URL", "CXONE_ISSUER"} & set(variables)
        for secret in ("CredentialsSecret", "SmsTokenSecret", "AdminTokenSecret", "sms-token", "admin-token"):
            allowed = any(is_of(each["Resource"], secret) for each in statements(function))
            assert not allowed or calls_cxone

    @pytest.mark.parametrize("function", ON_THE_API)
    def test_it_ends_before_api_gateway_gives_up(self, function):
        properties = {**GLOBALS, **FUNCTIONS[function]}
        assert 3 < properties["Timeout"] < GATEWAY_SECONDS

    def test_a_send_ends_before_its_function_does(self):
        properties = FUNCTIONS["SendMessageFunction"]
        assert float(properties["Environment"]["Variables"]["SEND_TIMEOUT_SECONDS"]) <= properties["Timeout"] - 5

    def test_checkpoints_are_made_once_a_days_entries_are_settled_and_every_hour_from_then_on(self):
        (event,) = FUNCTIONS["CheckpointLedgerFunction"]["Events"].values()
        minute = re.fullmatch(r"cron\((\d+) \* \* \* \? \*\)", event["Properties"]["Schedule"])
        assert int(minute[1]) >= COMPLETE_AFTER.total_seconds() / 60

    def test_nobody_gets_a_role_in_another_way(self):
        """CodeDeploy's role and what the key asks for are judged in test_organisation.py."""
        named = {id_ for id_, each in TEMPLATE["Resources"].items() if each["Type"].startswith("AWS::IAM::")}
        assert named == {"CodeDeployRole", "ReadingUnderTheKey", "WritingUnderTheKey"}


class TestApi:
    @each_operation
    def test_every_route_is_signed(self, route):
        (body,) = (each["Body"] for each in transformed.resources("AWS::ApiGateway::RestApi").values())
        ((name, scheme),) = body["components"]["securitySchemes"].items()
        assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "Authorization")
        assert scheme["x-amazon-apigateway-authtype"] == "awsSigv4"
        assert OPERATIONS[route]["security"] == [{name: []}]

    @each_operation
    def test_every_integration_hands_the_request_to_a_function_as_it_is(self, route):
        integration = OPERATIONS[route]["x-amazon-apigateway-integration"]
        assert (integration["type"], integration["httpMethod"]) == ("aws_proxy", "POST")
        assert "credentials" not in integration, "the API would need a role, or the caller lambda:InvokeFunction"
        assert invoked_by(OPERATIONS[route]) in FUNCTIONS

    @each_operation
    def test_every_route_may_invoke_its_function(self, route):
        method, _, path = route.partition(" ")
        asked = f"{method}{re.sub(r'{[^}]+}', '*', path)}"
        assert asked in granted(invoked_by(OPERATIONS[route]))

    @pytest.mark.parametrize("function", sorted({invoked_by(each) for each in OPERATIONS.values()}))
    def test_nothing_else_may_invoke_it(self, function):
        routes = {re.sub(r"{[^}]+}", "*", route.replace(" ", "")) for route in routes_of(function)}
        assert granted(function) == routes

    def test_it_has_one_stage_which_is_the_one_that_is_throttled(self):
        """SAM's permissions let any stage of the API in. Without `OpenApiVersion` there would be a second."""
        stages = [each["StageName"] for each in transformed.resources("AWS::ApiGateway::Stage").values()]
        assert stages == ["live"]
        assert not any("StageName" in each for each in transformed.resources("AWS::ApiGateway::Deployment").values())

    @pytest.mark.parametrize("function", ON_THE_API)
    def test_the_handler_answers_just_the_routes_that_lead_to_it(self, function):
        handler = importlib.import_module(f"functions.{folder(function)}.handler").handler
        assert handler.routes == routes_of(function)

    def test_the_routes_are_those_of_the_interface(self):
        assert set(OPERATIONS) >= {
            "POST /messages",
            "POST /messages/preview",
            "GET /messages/{messageId}",
            "PUT /consents/{phoneNumber}",
            "GET /consents/{phoneNumber}",
            "POST /templates/{templateId}/validation",
            "POST /templates/{templateId}/approval",
            "GET /templates/{templateId}/approval",
        }

    def test_throttling_is_told_for_all_and_only_for_routes_that_exist(self):
        told = API["MethodSettings"]
        for each in told:
            assert 0 < each["ThrottlingRateLimit"] <= each["ThrottlingBurstLimit"]
        named = {f"{each['HttpMethod']} {decoded(each['ResourcePath'])}" for each in told}
        assert "* /*" in named
        assert named - {"* /*"} <= set(OPERATIONS)


def granted(function):
    """Give what of the REST API may invoke a function's alias, on whichever stage."""
    permissions = [
        each
        for each in transformed.resources("AWS::Lambda::Permission").values()
        if each["FunctionName"] == {"Ref": f"{function}Aliaslive"}
    ]
    is_scheduled = any(each["Type"] == "Schedule" for each in FUNCTIONS[function]["Events"].values())
    schedules = {"events.amazonaws.com"} if is_scheduled else set()
    assert {each["Principal"] for each in permissions} == {"apigateway.amazonaws.com"} | schedules
    by_api = [each for each in permissions if each["Principal"] not in schedules]
    sources = [each["SourceArn"]["Fn::Sub"] for each in by_api]
    assert all(":${__ApiId__}/" in arn and where["__ApiId__"] == {"Ref": "Api"} for arn, where in sources)
    return {arn.partition("/${__Stage__}/")[2] for arn, _ in sources}


class TestWebhookApi:
    """Where CXone posts its events."""

    ROUTES = template.resources("AWS::ApiGatewayV2::Route").values()

    def test_they_are_open_for_cxone_signs_nothing_for_aws(self):
        assert {each["AuthorizationType"] for each in self.ROUTES} == {"NONE"}

    def test_they_lead_to_the_function_that_authenticates_which_they_may_invoke(self):
        ((name, integration),) = template.resources("AWS::ApiGatewayV2::Integration").items()
        assert {each["Target"]["Fn::Sub"] for each in self.ROUTES} == {f"integrations/${{{name}}}"}
        assert integration["IntegrationUri"] == {"Ref": "ReceiveWebhookFunction.Alias"}
        granted = [
            each["SourceArn"]["Fn::Sub"].partition("${WebhookApi}/")[2]
            for each in template.resources("AWS::Lambda::Permission").values()
            if each["FunctionName"] == integration["IntegrationUri"]
        ]
        for route in self.ROUTES:
            assert any(fnmatchcase(f"$default/{route['RouteKey'].replace(' ', '')}", pattern) for pattern in granted)

    def test_a_flood_is_throttled(self):
        (stage,) = template.resources("AWS::ApiGatewayV2::Stage").values()
        limits = stage["DefaultRouteSettings"]
        assert 0 < limits["ThrottlingRateLimit"] <= limits["ThrottlingBurstLimit"]

    def test_cxone_is_given_its_address_by_all_that_give_one(self):
        given = [
            template.variables(each)["WEBHOOK_BASE_URL"]
            for each in FUNCTIONS
            if "WEBHOOK_BASE_URL" in template.variables(each)
        ]
        assert given == [TEMPLATE["Outputs"]["WebhookUrl"]["Value"]] * 3


def decoded(path):
    """Read a path as MethodSettings write it: all slashes but the first as ~1."""
    assert path.count("/") == 1
    return path.removeprefix("/").replace("~1", "/") if "~1" in path else path


class TestSchedules:
    def test_the_subscription_is_kept_by_a_schedule_whose_event_its_function_knows(self):
        schedule = FUNCTIONS["ApproveTemplateFunction"]["Events"]["Subscribe"]
        assert (schedule["Type"], schedule["Properties"]["Schedule"]) == ("Schedule", "rate(1 hour)")
        assert json.loads(schedule["Properties"]["Input"]) == SUBSCRIBE_EVENT

    def test_only_rules_of_the_stack_may_invoke_a_function_on_a_schedule(self):
        permissions = transformed.resources("AWS::Lambda::Permission").values()
        rules = transformed.resources("AWS::Events::Rule")
        sources = [each["SourceArn"] for each in permissions if each["Principal"] == "events.amazonaws.com"]
        assert len(sources) == len(rules) == 4
        assert all(source["Fn::GetAtt"][0] in rules for source in sources)

    def test_the_sweep_is_run_by_a_schedule(self):
        (event,) = FUNCTIONS["SweepLedgerFunction"]["Events"].values()
        assert (event["Type"], event["Properties"]["Schedule"]) == ("Schedule", "rate(5 minutes)")


class TestTables:
    @pytest.mark.parametrize("table", ["LedgerTable", "ConsentsTable"])
    def test_what_must_not_be_lost_is_kept(self, table):
        resource = TEMPLATE["Resources"][table]
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")
        assert resource["Properties"]["DeletionProtectionEnabled"] is True
        assert resource["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}

    def test_the_pepper_outlives_the_stack_as_its_hashes_do(self):
        resource = TEMPLATE["Resources"]["PepperSecret"]
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")

    @pytest.mark.parametrize("table", template.resources("AWS::DynamoDB::Table"))
    def test_every_table_is_encrypted_and_paid_by_use(self, table):
        properties = template.resources("AWS::DynamoDB::Table")[table]
        assert (properties["SSESpecification"]["SSEEnabled"], properties["SSESpecification"]["SSEType"]) == (
            True,
            "KMS",
        )
        assert properties["BillingMode"] == "PAY_PER_REQUEST"

    def test_the_ledgers_keys_are_those_of_the_interface(self):
        properties = template.resources("AWS::DynamoDB::Table")["LedgerTable"]
        types = {each["AttributeName"]: each["AttributeType"] for each in properties["AttributeDefinitions"]}
        keys = [(each["AttributeName"], each["KeyType"]) for each in properties["KeySchema"]]
        assert keys == [("subject", "HASH"), ("sequence", "RANGE")]
        assert (types["subject"], types["sequence"]) == ("S", "N")

    def test_no_entry_expires(self):
        for table in ("LedgerTable", "ConsentsTable"):
            assert "TimeToLiveSpecification" not in TEMPLATE["Resources"][table]["Properties"]


@pytest.mark.parametrize(
    ("parameter", "default"),
    [
        ("CxoneAccount", None),
        ("CxoneOrg", None),
        ("CxoneSmsBaseUrl", ""),
        ("CxoneApiBaseUrl", ""),
        ("CxoneFromNumber", None),
        ("CxoneCampaignId", None),
        ("CxoneOperatorId", None),
        ("CxoneRequestsPerSecond", 100),
        ("Architecture", "arm64"),
        ("LogRetentionDays", None),
    ],
)
def test_a_parameter_of_the_interface(parameter, default):
    assert parameter in TEMPLATE["Parameters"]
    if default is not None:
        assert TEMPLATE["Parameters"][parameter]["Default"] == default


# BulkQueueUrl and BulkDeadLetterQueueUrl come with the bulk queue.
@pytest.mark.parametrize(
    "output",
    ["ApiUrl", "LedgerTableName", "ConsentsTableName", "CredentialsSecretArn", "WebhookSecretArn", "CallbackSecretArn"],
)
def test_an_output_of_the_interface(output):
    assert TEMPLATE["Outputs"][output]["Value"]


def test_no_parameter_is_a_secret():
    told = {name for name in TEMPLATE["Parameters"] if re.search("secret|token|password|pepper", name.lower())}
    assert told == {"TokenStore"}  # a choice
    assert TEMPLATE["Parameters"]["TokenStore"]["AllowedValues"] == ["secretsmanager", "ssm"]


class TestTokenStore:
    """`TokenStore`: the tokens are in one store, and nothing is paid for in the other."""

    @pytest.mark.parametrize("secret", ["SmsTokenSecret", "AdminTokenSecret"])
    def test_a_token_has_a_secret_only_where_it_is_in_secrets_manager(self, secret):
        assert TEMPLATE["Resources"][secret]["Condition"] == "TokensInSecretsManager"

    def test_the_conditions_are_the_two_choices(self):
        conditions = {name: TEMPLATE["Conditions"][name] for name in ("TokensInSsm", "TokensInSecretsManager")}
        assert conditions == {
            "TokensInSsm": {"Fn::Equals": [{"Ref": "TokenStore"}, "ssm"]},
            "TokensInSecretsManager": {"Fn::Equals": [{"Ref": "TokenStore"}, "secretsmanager"]},
        }

    @pytest.mark.parametrize(
        ("function", "family"),
        [("SendMessageFunction", "Sms"), ("SendBulkFunction", "Sms"), ("ApproveTemplateFunction", "Admin")],
    )
    def test_a_function_is_told_the_name_that_its_role_may_reach(self, function, family):
        own = template.variables(function)
        assert own["TOKEN_STORE"] == {"Ref": "TokenStore"}
        condition, parameter, secret = own[f"{family.upper()}_TOKEN_NAME"]["Fn::If"]
        assert (condition, secret) == ("TokensInSsm", {"Ref": f"{family}TokenSecret"})
        resources = [each["Resource"] for each in statements(function, "ssm") if "ssm:GetParameter" in each["Action"]]
        arn = "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter" + parameter["Fn::Sub"]
        assert resources == [{"Fn::Sub": arn}]

    def test_a_parameters_name_may_follow_a_stack_of_any_name(self):
        """Parameter Store refuses names that begin with aws or ssm, which a stack's name may."""
        own = template.variables("SendMessageFunction")["SMS_TOKEN_NAME"]["Fn::If"][1]["Fn::Sub"]
        assert own.startswith("/cxone-messaging/${AWS::StackName}/")


@pytest.mark.parametrize("secret", ["WebhookSecret", "CallbackSecret"])
def test_a_secret_that_signs_is_32_bytes_in_hex_on_aws_and_on_the_emulator(secret):
    generated = TEMPLATE["Resources"][secret]["Properties"]["GenerateSecretString"]
    excluded = set(generated["ExcludeCharacters"])
    assert set(string.ascii_letters + string.digits + string.punctuation) - excluded == set("0123456789abcdef")
    assert (generated["GenerateStringKey"], generated["PasswordLength"]) == ("current", 64)
