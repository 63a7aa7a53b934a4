"""The roles of the template: enough, and nothing more. Reads what the tests before it made the functions ask."""

import json

import clients
import permissions
import pytest
from botocore.exceptions import ClientError
from cloud import CONTROL_REGION
from sam import STACK

pytestmark = pytest.mark.parametrize("cloud", ["enforced"], indirect=True, scope="session")

# Allowed but never asked of us, by action: why it is allowed all the same.
NOT_ASKED_BY_THE_FUNCTION = {
    "logs:CreateLogStream": "the Lambda service writes the logs in the function's role",
    "logs:PutLogEvents": "the Lambda service writes the logs in the function's role",
    "sqs:SendMessage": "the Lambda service sends what failed to the dead-letter queue in the function's role",
    "lambda:InvokeFunction": "EventBridge Scheduler assumes this role for the tick",
}


def of_functions(cloud):
    """The function's requests: with credentials of a role. The tests and their commands ask as root."""
    return [request for request in cloud.proxy.requests if request.access_key.startswith("ASIA")]


def test_iam_is_enforced(cloud, stack):
    """Otherwise the next tests would say nothing: who has no permission is refused, and so is a call without TLS."""
    iam, bucket = cloud.client("iam"), stack.outputs["StateBucketName"]

    def user(name, policy=None):
        iam.create_user(UserName=name)
        if policy:
            iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}

    def read(who, url):
        client = clients.client("s3", CONTROL_REGION, url, verify=str(cloud.proxy.authority), **who)
        try:
            client.get_object(Bucket=bucket, Key="state.json")
        except ClientError as error:
            return error.response["Error"]["Code"]
        return "allowed"

    everything = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}
    reader = user("reader", everything)
    assert read(user("nobody"), cloud.proxy.url) == "AccessDenied"
    assert read(reader, cloud.proxy.url) == "allowed"
    assert read(reader, cloud.server.url) == "AccessDenied", "the bucket's policy demands TLS"
    assert read({**reader, "secret": "wrong"}, cloud.proxy.url) == "SignatureDoesNotMatch"


def test_nothing_was_refused(cloud, stack):
    """Every call of the function is allowed by its role, and none was signed with what IAM cannot tell."""
    asked = of_functions(cloud)
    assert len(asked) > 100
    refused = [each for each in asked if each.status in (401, 403)]
    assert not refused, [*map(str, refused)]


def test_nothing_is_allowed_that_is_never_used(cloud, stack, request):
    """Every action on every resource of the roles, but for the explained ones."""
    if not {"test_scenarios", "test_updates"} <= {item.module.__name__ for item in request.session.items}:
        pytest.skip("needs the scenarios to have been played")
    resources = cloud.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
    roles = [each["PhysicalResourceId"] for each in resources if each["ResourceType"] == "AWS::IAM::Role"]
    granted = set().union(*(permissions.allowed(cloud.client("iam"), role) for role in roles))
    used = set().union(*map(permissions.used, of_functions(cloud)))
    assert len(roles) == 2 and len(granted) > 20

    unused = {each for each in granted if not any(each.covers(one) for one in used)}
    unexplained = {each for each in unused if each.action not in NOT_ASKED_BY_THE_FUNCTION}
    assert not unexplained, "allowed, but never used:\n" + "\n".join(map(str, sorted(unexplained)))
    outdated = set(NOT_ASKED_BY_THE_FUNCTION) - {each.action for each in unused}
    assert not outdated, f"explained, but used or not allowed: {outdated}"
