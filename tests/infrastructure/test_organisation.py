"""What an organisation asks of every stack in its accounts: boundaries and paths of roles, its own key, tags."""

import tomllib
from functools import cache

import pytest

from local import template
from tests import roles, transformed
from tests.roles import as_list

TEMPLATE = template.load()
FUNCTIONS = template.resources("AWS::Serverless::Function")
DEPLOYMENTS = tomllib.loads((template.ROOT / "samconfig.toml").read_text())
NOTHING = {"Ref": "AWS::NoValue"}
GIVEN_KEY = {"Fn::If": ["KmsKeyGiven", {"Ref": "KmsKeyArn"}, NOTHING]}


@cache
def resources():
    """Give all resources that a stack can have, as CloudFormation gets them."""
    return transformed.transformed(GradualDeployments="true")


def of_type(type_):
    return {id_: each.get("Properties", {}) for id_, each in resources().items() if each["Type"] == type_}


@pytest.mark.parametrize("parameter", ["PermissionsBoundaryArn", "RolePath", "KmsKeyArn"])
def test_nothing_changes_for_a_stack_that_gives_none(parameter):
    assert TEMPLATE["Parameters"][parameter]["Default"] == ""


def test_every_role_has_the_boundary_and_the_path():
    """SAM would make CodeDeploy's role itself, without either."""
    found = of_type("AWS::IAM::Role")
    assert set(found) == {f"{function}Role" for function in FUNCTIONS} | {"CodeDeployRole"}
    for role in found.values():
        assert role["PermissionsBoundary"] == {
            "Fn::If": ["PermissionsBoundaryGiven", {"Ref": "PermissionsBoundaryArn"}, NOTHING]
        }
        assert role["Path"] == {"Fn::If": ["RolePathGiven", {"Ref": "RolePath"}, NOTHING]}


def test_codedeploy_reaches_no_function_of_another_stack():
    role = of_type("AWS::IAM::Role")["CodeDeployRole"]
    (policy,) = role["Policies"]
    (denied,) = policy["PolicyDocument"]["Statement"]
    assert (denied["Effect"], denied["Action"]) == ("Deny", "lambda:*")
    assert denied["NotResource"]["Fn::Sub"].endswith(":function:${AWS::StackName}-*")
    groups = of_type("AWS::CodeDeploy::DeploymentGroup").values()
    assert {str(each["ServiceRoleArn"]) for each in groups} == {str({"Fn::GetAtt": ["CodeDeployRole", "Arn"]})}


class TestKey:
    @pytest.mark.parametrize(
        ("type_", "key"),
        [
            ("AWS::DynamoDB::Table", lambda each: each["SSESpecification"]["KMSMasterKeyId"]),
            ("AWS::SQS::Queue", lambda each: each["KmsMasterKeyId"]),
            ("AWS::SecretsManager::Secret", lambda each: each["KmsKeyId"]),
            ("AWS::Logs::LogGroup", lambda each: each["KmsKeyId"]),
        ],
    )
    def test_each_resource_that_holds_data_takes_it(self, type_, key):
        found = of_type(type_)
        assert found
        assert {id_: key(each) for id_, each in found.items()} == dict.fromkeys(found, GIVEN_KEY)

    def test_alarms_take_it_and_otherwise_a_key_that_cloudwatch_may_use(self):
        (topic,) = of_type("AWS::SNS::Topic").values()
        assert topic["KmsMasterKeyId"] == {"Fn::If": ["KmsKeyGiven", {"Ref": "KmsKeyArn"}, {"Ref": "AlarmKey"}]}
        assert resources()["AlarmKey"]["Condition"] == "KmsKeyMissing"

    def test_a_queue_has_one_kind_of_encryption(self):
        """SQS takes either its own or a key, never both."""
        for queue in of_type("AWS::SQS::Queue").values():
            assert queue["SqsManagedSseEnabled"] == {"Fn::If": ["KmsKeyGiven", NOTHING, True]}

    def test_no_type_that_holds_data_is_forgotten(self):
        """A type whose schema names a key is one of these, or holds names and code only."""
        with_keys = {
            each["Type"]
            for each in resources().values()
            if any(word in str(list(schema(each["Type"])["properties"])) for word in ("Kms", "KMS", "SSESpecification"))
        }
        names_and_code = {"AWS::Lambda::Function", "AWS::Lambda::EventSourceMapping"}
        assert with_keys - names_and_code == {
            *("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::SecretsManager::Secret"),
            *("AWS::Logs::LogGroup", "AWS::SNS::Topic"),
        }

    def test_functions_use_it_by_way_of_their_stores_only(self):
        policies = {
            id_: (each["Properties"], each["Condition"])
            for id_, each in resources().items()
            if each["Type"] == "AWS::IAM::Policy"
        }
        assert set(policies) == {"ReadingUnderTheKey", "WritingUnderTheKey"}
        for policy, condition in policies.values():
            assert condition == "KmsKeyGiven"
            (statement,) = policy["PolicyDocument"]["Statement"]
            assert (statement["Effect"], statement["Resource"]) == ("Allow", {"Ref": "KmsKeyArn"})
            assert set(statement["Condition"]) == {"StringEquals"}
            assert set(statement["Condition"]["StringEquals"]) == {"kms:ViaService"}

    @pytest.mark.parametrize(
        ("policy", "actions", "services", "needed_for"),
        [
            (
                "ReadingUnderTheKey",
                {"kms:Decrypt"},
                {"dynamodb", "secretsmanager"},
                ("dynamodb:", "secretsmanager:GetSecretValue"),
            ),
            (
                "WritingUnderTheKey",
                {"kms:Decrypt", "kms:GenerateDataKey"},
                {"secretsmanager", "sqs"},
                ("secretsmanager:PutSecretValue", "sqs:SendMessage", "sqs:ReceiveMessage"),
            ),
        ],
    )
    def test_just_the_functions_that_need_it_may(self, policy, actions, services, needed_for):
        properties = of_type("AWS::IAM::Policy")[policy]
        (statement,) = properties["PolicyDocument"]["Statement"]
        assert set(as_list(statement["Action"])) == actions
        via = statement["Condition"]["StringEquals"]["kms:ViaService"]
        assert {each["Fn::Sub"] for each in via} == {
            f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}" for service in services
        }
        needing = {
            f"{function}Role"
            for function in FUNCTIONS
            for each in roles.statements(function)
            if any(action.startswith(needed_for) for action in as_list(each["Action"]))
        }
        roles_of = [each["Fn::If"][1] if "Fn::If" in each else each for each in properties["Roles"]]
        assert {each["Ref"] for each in roles_of} == needing


@cache
def schema(type_):
    """Give a type's schema in CloudFormation's registry, as cfn-lint has it."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # noqa: PLC0415  it takes long to import

    return PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", type_).schema


class TestTags:
    """They are the stack's, said once with the deployment: CloudFormation puts them on all that can bear tags."""

    @pytest.mark.parametrize("deployment", ["dev", "prod"])
    def test_each_deployment_has_them(self, deployment):
        tags = dict(each.split("=") for each in DEPLOYMENTS[deployment]["deploy"]["parameters"]["tags"])
        assert tags == {"application": "cxone-messaging", "environment": deployment}

    def test_what_bears_none_is_known(self):
        assert {
            each["Type"] for each in resources().values() if not schema(each["Type"]).get("tagging", {}).get("taggable")
        } == {
            *("AWS::ApiGateway::Deployment", "AWS::ApiGatewayV2::Integration", "AWS::ApiGatewayV2::Route"),
            *("AWS::IAM::Policy", "AWS::Lambda::Alias", "AWS::Lambda::EventInvokeConfig", "AWS::Lambda::LayerVersion"),
            *(
                "AWS::Lambda::Permission",
                "AWS::Lambda::Version",
                "AWS::SNS::Subscription",
                "AWS::SNS::TopicPolicy",
                "AWS::SQS::QueuePolicy",
            ),
        }

    def test_no_resource_has_tags_of_its_own(self):
        """Beside SAM's, which says who made it: a second place would be forgotten."""
        for each in resources().values():
            own = each.get("Properties", {}).get("Tags", [])
            assert [tag for tag in own if tag != {"Key": "lambda:createdBy", "Value": "SAM"}] == []
