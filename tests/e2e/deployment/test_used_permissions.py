"""The roles of the template: enough, and nothing more. Reads what the tests before it made the functions ask."""

import importlib
import json
from fnmatch import fnmatchcase

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
    "sqs:ReceiveMessage": "the Lambda service reads the queue in the function's role",
    "sqs:DeleteMessage": "the Lambda service empties the queue in the function's role",
    "sqs:GetQueueAttributes": "the Lambda service looks at the queue in the function's role",
    "iam:PassRole": "a job is made with a role; the simulator, which makes it here, asks nobody",
    "s3:ListJobs": "finds a job again after a crash; tests/integration has these",
    "s3:GetObjectVersion": "a canary is followed once it is late for long; tests/integration has these",
    "s3:AbortMultipartUpload": "only manifests that are larger than a part go up in parts; tests/integration has these",
    "lambda:InvokeFunction": "EventBridge Scheduler assumes these roles for the ticks",
    "xray:PutTraceSegments": "the Lambda service sends traces in the function's role; MiniStack sends none",
    "xray:PutTelemetryRecords": "the Lambda service sends traces in the function's role; MiniStack sends none",
    "kms:Decrypt": "S3, SNS and SQS ask KMS in the function's role; those of MiniStack encrypt nothing",
    "kms:GenerateDataKey": "S3, SNS and SQS ask KMS in the function's role; those of MiniStack encrypt nothing",
}
# The stack's roles. S3 assumes the batch role; the simulator, which stands in for it here, assumes none.
OF_THE_STACK = {
    *("FailoverRole", "FailoverFunctionTickRole", "ReplicationEventsRole", "RedriveRole", "RedriveFunctionTickRole"),
    *("HealthCheckRole", "HealthCheckFunctionRunRole", "ReadinessCheckRole", "ReadinessCheckFunctionTickRole", "BatchRole"),
}
# The data plane's roles, of which no request can tell: why.
NOT_ASSUMED = {
    "app-replication-*": "S3 replicates with it; MiniStack copies without assuming any role",
    "app-member-AlarmForwardingRole-*": "EventBridge forwards with it; MiniStack delivers to no other Region's bus",
}


@pytest.fixture
def everything_played(request):
    """Skips where tests were left out: nothing could be said of what was never tried."""
    for name in ("test_scenarios", "test_replications", "test_readiness", "test_updates", "test_health"):
        written = {each for each in vars(importlib.import_module(name)) if each.startswith("test_")}
        chosen = {item.originalname for item in request.session.items if item.module.__name__ == name}
        if left_out := written - chosen:
            pytest.skip(f"needs every test of {name}, but these were not chosen: {', '.join(sorted(left_out))}")


@pytest.fixture
def new_user(cloud):
    """`new_user(name, policies, boundary)`: a key of a user that these documents allow something."""
    iam = cloud.client("iam")

    def make(name, policies=(), boundary=None):
        iam.create_user(UserName=name, **({"PermissionsBoundary": boundary} if boundary else {}))
        for number, document in enumerate(policies):
            iam.put_user_policy(UserName=name, PolicyName=f"p{number}", PolicyDocument=json.dumps(document))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}

    return make


def of_functions(cloud):
    """The functions' requests: with credentials of a role. The tests and their commands ask as root."""
    return [request for request in cloud.proxy.requests if request.access_key.startswith("ASIA")]


def roles_of_the_stack(cloud):
    """The names of the roles by logical id."""
    resources = cloud.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
    roles = (each for each in resources if each["ResourceType"] == "AWS::IAM::Role")
    return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in roles}


def outcome(call, **arguments):
    """`allowed`, or the code of the refusal."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "allowed"


def test_iam_is_enforced(cloud, stack, safeguards, new_user):
    """Otherwise the next tests would say nothing: who has no permission is refused, and so is a call without TLS."""
    bucket = stack.outputs["StateBucketName"]

    def read(who, url):
        client = clients.client("s3", CONTROL_REGION, url, verify=str(cloud.proxy.authority), **who)
        return outcome(client.get_object, Bucket=bucket, Key="state.json")

    everything = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    reader = new_user("reader", [everything])
    assert read(new_user("nobody"), cloud.proxy.url) == "AccessDenied"
    assert read(reader, cloud.proxy.url) == "allowed"
    assert read(reader, cloud.server.url) == "AccessDenied", "the bucket's policy demands TLS"
    assert read({**reader, "secret": "wrong"}, cloud.proxy.url) == "SignatureDoesNotMatch"

    bound = new_user("bound", [everything], safeguards.boundary_arn)
    assert read(bound, cloud.proxy.url) == "allowed"
    iam = clients.client("iam", CONTROL_REGION, cloud.proxy.url, verify=str(cloud.proxy.authority), **bound)
    assert outcome(iam.list_users) == "AccessDenied", "no administration within the boundary"


def test_every_role_has_the_boundary(cloud, plane, stack, safeguards):
    """Those of both templates."""
    iam = cloud.client("iam")
    names = [each["RoleName"] for each in iam.list_roles()["Roles"]]
    assert len(names) == len(OF_THE_STACK) + len(plane.regions) + 1, names
    for name in names:
        boundary = iam.get_role(RoleName=name)["Role"].get("PermissionsBoundary", {})
        assert boundary.get("PermissionsBoundaryArn") == safeguards.boundary_arn, name


def test_keys_are_for_what_the_role_says(cloud, plane, stack, safeguards, new_user):
    """The function's policies under the key policies of docs/deploy.md and of the members, asked of KMS directly."""
    iam, role = cloud.client("iam"), stack.resource("FailoverRole")
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    documents = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    function, member_keys = new_user("function", documents), plane.parameters["MemberKmsKeyArns"].split(",")
    assert len(member_keys) == len(plane.regions)

    def ask(key, operation, **more):
        url, region = cloud.proxy.url, key.split(":")[3]
        kms = clients.client("kms", region, url, verify=str(cloud.proxy.authority), **function)
        return outcome(getattr(kms, operation), KeyId=key, **more)

    assert ask(safeguards.key_arn, "generate_data_key", KeySpec="AES_256") == "allowed"
    assert ask(safeguards.key_arn, "schedule_key_deletion") == "AccessDeniedException"
    for key in member_keys:
        refused = ask(key, "generate_data_key", KeySpec="AES_256")
        assert refused == "AccessDeniedException", "only S3 may use it for the function"


def test_what_is_written_is_encrypted_with_the_keys(cloud, plane, stack, safeguards):
    """Canaries with the key of their member, queues with the given one; MiniStack keeps no key of topics."""
    stack.command("tick")
    for region, key in zip(plane.regions, plane.parameters["MemberKmsKeyArns"].split(","), strict=True):
        canary = f".mrap-sentinel/{plane.alias}/{region}"
        head = cloud.client("s3", region).head_object(Bucket=plane.bucket(region), Key=canary)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)
    sqs = cloud.client("sqs")
    for queue in ("FailoverDeadLetterQueue", "ReplicationEventsQueue", "ReplicationEventsDeadLetterQueue"):
        attributes = sqs.get_queue_attributes(QueueUrl=stack.resource(queue), AttributeNames=["All"])["Attributes"]
        assert attributes["KmsMasterKeyId"] == safeguards.key_arn, queue


def test_nothing_was_refused(cloud, stack, everything_played):
    """Every call of the function is allowed by its role, and none was signed with what IAM cannot tell."""
    asked = of_functions(cloud)
    assert len(asked) > 100
    refused = [each for each in asked if each.status in (401, 403)]
    assert not refused, [*map(str, refused)]


def test_nothing_is_allowed_that_is_never_used(cloud, stack, everything_played):
    """Every action on every resource of the stack's roles, but for the explained ones."""
    roles = roles_of_the_stack(cloud)
    assert set(roles) == OF_THE_STACK
    del roles["BatchRole"]  # test_template.py spells out what it may do
    granted = set().union(*(permissions.allowed(cloud.client("iam"), role) for role in roles.values()))
    used = set().union(*map(permissions.used, of_functions(cloud)))
    assert len(granted) > 40

    unused = {each for each in granted if not any(each.covers(one) for one in used)}
    unexplained = {each for each in unused if each.action not in NOT_ASKED_BY_THE_FUNCTION}
    assert not unexplained, "allowed, but never used:\n" + "\n".join(map(str, sorted(unexplained)))
    outdated = set(NOT_ASKED_BY_THE_FUNCTION) - {each.action for each in unused}
    assert not outdated, f"explained, but used or not allowed: {outdated}"


def test_further_roles_are_the_explained_ones(cloud, stack):
    """No role escapes the test above by chance."""
    stack_s = {*roles_of_the_stack(cloud).values()}
    others = {each["RoleName"] for each in cloud.client("iam").list_roles()["Roles"]} - stack_s
    explained = {name: [pattern for pattern in NOT_ASSUMED if fnmatchcase(name, pattern)] for name in others}
    assert all(explained.values()), explained
    assert set(NOT_ASSUMED) == {pattern for patterns in explained.values() for pattern in patterns}, explained
