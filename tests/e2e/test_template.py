"""template.yaml as CloudFormation in MiniStack understands it: limits, refusals, patterns, permissions.

Without the functions' code, which `deployment/` runs: here a stack is only made, looked at and deleted.
"""

import contextlib
import io
import itertools
import json
import zipfile

import pytest
from botocore.exceptions import ClientError

import world
from processed import Processed
from processes import REPOSITORY

REGION = "us-west-1"  # nobody else's in these tests
CODE_BUCKET = "template-code"
ALIAS = "mfzwi23gnjvgw"
KEY = f"arn:aws:kms:{REGION}:{world.ACCOUNT}:key/{'1' * 36}"
MRAP = f"arn:aws:s3::{world.ACCOUNT}:accesspoint/{ALIAS}.mrap"
REGIONS = (
    "us-east-1 us-east-2 us-west-1 us-west-2 ca-central-1 sa-east-1 eu-west-1 eu-west-2 eu-west-3 eu-central-1 "
    "eu-north-1 ap-south-1 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-southeast-1 ap-southeast-2"
).split()
FIXTURES = REPOSITORY / "shared/core/tests/fixtures/alarms"

# IAM and Lambda quotas, "IAM and AWS STS quotas" and "Lambda quotas" in the AWS documentation.
INLINE_POLICIES_OF_A_ROLE = 10_240
ENVIRONMENT_BYTES = 4_096
STATEMENTS_OF_A_FUNCTION = 20_480

# Actions that know no resources, by the Service Authorization Reference.
UNSCOPED = {"cloudwatch:GetMetricData", "cloudwatch:ListMetrics", "xray:PutTelemetryRecords", "xray:PutTraceSegments"}

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
QUICK = {"Delay": 0.2, "MaxAttempts": 100}

_numbers = itertools.count()


def member(number, region):
    """A member with a bucket name as long as S3 allows."""
    return f"{'b' * 59}{number:04}@{region}"


TWO = ("app-use1@us-east-1", "app-euw1@eu-west-1")
SEVENTEEN = tuple(member(number, region) for number, region in enumerate(REGIONS))


@pytest.fixture(scope="module")
def cloud(ministack):
    """Clients by service name in the Region of these tests."""
    s3 = ministack.client("s3", REGION)
    s3.create_bucket(Bucket=CODE_BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("bootstrap", "#!/bin/sh\nexit 1\n")
    s3.put_object(Bucket=CODE_BUCKET, Key="code.zip", Body=archive.getvalue())
    return lambda service: ministack.client(service, REGION)


def template():
    """template.yaml with code that lies in a bucket, as `sam package` leaves it."""
    text = (REPOSITORY / "template.yaml").read_text()
    local = "CodeUri: functions/failover\n"
    assert local in text
    return text.replace(local, f"CodeUri: s3://{CODE_BUCKET}/code.zip\n")


def parameters(members=TWO, **more):
    given = {"MrapArn": MRAP, **({"Members": ",".join(members)} if members else {}), **more}
    return [{"ParameterKey": name, "ParameterValue": str(value)} for name, value in given.items()]


class Stack(dict):
    """Physical ids by logical id."""

    def __init__(self, name, processed, given, summaries):
        super().__init__({one["LogicalResourceId"]: one["PhysicalResourceId"] for one in summaries})
        self._types = {one["LogicalResourceId"]: one["ResourceType"] for one in summaries}
        self.name = name
        self.parameters = processed["Parameters"]
        self._processed, self._given = processed, given

    def of_type(self, kind):
        """The physical ids of all resources of a type."""
        return {logical: self[logical] for logical, found in self._types.items() if found == kind}

    def resolved(self, **changed):
        """The processed template for the parameters given, for what MiniStack does not put into practice."""
        return Processed(self._processed, {**self._given, **changed})

    def properties(self, logical):
        """What the processed template says, unresolved."""
        return self._processed["Resources"][logical]["Properties"]


@contextlib.contextmanager
def deployed(cloud, **given):
    """A stack for the time being; its resources by logical id."""
    name = f"sentinel-{next(_numbers)}"
    cloudformation = cloud("cloudformation")
    arguments = {"StackName": name, "TemplateBody": template(), "Parameters": parameters(**given)}
    cloudformation.create_stack(**arguments, Capabilities=CAPABILITIES)
    try:
        cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=QUICK)
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
        processed = cloudformation.get_template(StackName=name, TemplateStage="Processed")["TemplateBody"]
        parameters_given = {one["ParameterKey"]: one["ParameterValue"] for one in arguments["Parameters"]}
        summaries = [one for page in pages for one in page["StackResourceSummaries"]]
        yield Stack(name, processed, parameters_given, summaries)
    finally:
        cloudformation.delete_stack(StackName=name)


@pytest.fixture(scope="module")
def small(cloud):
    """Two members, and alarms of other stacks."""
    with deployed(cloud, TriggerAlarms="checkout-*,primary-5xx,metric-name") as stack:
        yield stack


@pytest.fixture(scope="module")
def large(cloud):
    """As many members as an access point has, with the longest names, and keys for all of them."""
    keys = ",".join(f"arn:aws:kms:{region}:{world.ACCOUNT}:key/{'0' * 36}" for region in REGIONS)
    with deployed(cloud, members=SEVENTEEN, MemberKmsKeyArns=keys, KmsKeyArn=KEY, Tracing="Active") as stack:
        yield stack


def policies(cloud, role):
    """A role's inline policies by name."""
    iam = cloud("iam")
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}


def variables(cloud, stack):
    configuration = cloud("lambda").get_function_configuration(FunctionName=stack["FailoverFunction"])
    return configuration["Environment"]["Variables"]


def rules(cloud, stack, prefix=""):
    found = stack.of_type("AWS::Events::Rule")
    names = [physical for logical, physical in found.items() if logical.startswith(prefix)]
    return [cloud("events").describe_rule(Name=name) for name in names]


def alarm_event(name):
    event = json.loads((FIXTURES / f"{name}.json").read_text())
    event["account"] = world.ACCOUNT
    return event


def matches(cloud, found, event):
    events = cloud("events")
    return [
        rule["Name"]
        for rule in found
        if events.test_event_pattern(EventPattern=rule["EventPattern"], Event=json.dumps(event))["Result"]
    ]


# --- as many members as there can be ---------------------------------------------------------------


def test_the_policies_of_seventeen_members_fit_into_a_role(cloud, large):
    found = policies(cloud, large["FailoverRole"])
    assert len([name for name in found if name.startswith("member-") and name != "member-keys"]) == len(SEVENTEEN)
    # IAM counts no white space.
    size = sum(len(json.dumps(document, separators=(",", ":"))) for document in found.values())
    assert size <= INLINE_POLICIES_OF_A_ROLE, found


def test_the_settings_of_seventeen_members_fit_into_the_environment(cloud, large):
    found = variables(cloud, large)
    assert found["MEMBERS"] == ",".join(SEVENTEEN)
    assert sum(len(name) + len(value) for name, value in found.items()) <= ENVIRONMENT_BYTES


def test_every_member_has_its_alarm(cloud, large):
    pages = cloud("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"mrap-sentinel-{ALIAS}-")
    alarms = {alarm["AlarmName"]: alarm for page in pages for alarm in page["MetricAlarms"]}
    members = (member.partition("@") for member in SEVENTEEN)
    expected = {f"mrap-sentinel-{ALIAS}-{region}-{bucket}": region for bucket, _, region in members}
    assert set(alarms) == set(expected)
    for name, alarm in alarms.items():
        region = expected[name]
        assert {one["Name"]: one["Value"] for one in alarm["Dimensions"]} == {"Mrap": f"{ALIAS}.mrap", "Region": region}
        assert alarm["AlarmActions"] == alarm["OKActions"] == [large["AlarmTopic"]]


# --- permissions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stack", ["small", "large"])
def test_a_role_may_do_nothing_everywhere(cloud, stack, request):
    stack = request.getfixturevalue(stack)
    roles = stack.of_type("AWS::IAM::Role")
    assert set(roles) == {"FailoverRole", "FailoverFunctionTickRole"}
    for role in roles.values():
        assert not cloud("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        for name, document in policies(cloud, role).items():
            for statement in as_list(document["Statement"]):
                actions, resources = as_list(statement["Action"]), as_list(statement["Resource"])
                assert not any("*" in action for action in actions), (name, statement)
                if "*" in resources:
                    assert set(actions) <= UNSCOPED, (name, statement)


def test_the_function_may_write_canaries_and_nothing_else_in_a_member(cloud, small):
    found = policies(cloud, small["FailoverRole"])
    statements = [statement for name, document in found.items() for statement in as_list(document["Statement"])]
    writable = [
        resource
        for statement in statements
        if "s3:PutObject" in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]
    assert sorted(writable) == sorted(
        [
            "arn:aws:s3:::app-use1/.mrap-sentinel/*",
            "arn:aws:s3:::app-euw1/.mrap-sentinel/*",
            f"arn:aws:s3:::{small['StateBucket']}/state.json",
        ]
    )


def test_without_keys_nobody_may_use_one(cloud, small):
    text = json.dumps(policies(cloud, small["FailoverRole"]))
    assert "kms:" not in text and "xray:" not in text


def test_keys_of_the_members_are_allowed_where_given(cloud, large):
    found = policies(cloud, large["FailoverRole"])
    assert len(as_list(found["member-keys"]["Statement"])[0]["Resource"]) == len(SEVENTEEN)


@pytest.mark.parametrize(("stack", "key"), [("small", None), ("large", KEY)])
def test_state_and_messages_are_encrypted_with_the_key_where_given(stack, key, request):
    resolved = request.getfixturevalue(stack).resolved()
    topics, queues = resolved.of_type("AWS::SNS::Topic"), resolved.of_type("AWS::SQS::Queue")
    assert (len(topics), len(queues)) == (2, 3)
    for name, properties in {**topics, **queues}.items():
        assert properties.get("KmsMasterKeyId") == key, name
    for name, properties in queues.items():
        assert properties.get("SqsManagedSseEnabled", False) == (key is None), name
    [rule] = resolved.properties("StateBucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    algorithm = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key} if key else {"SSEAlgorithm": "AES256"}
    assert rule["ServerSideEncryptionByDefault"] == algorithm
    assert rule.get("BucketKeyEnabled", False) == (key is not None)


def test_only_the_members_topics_may_send_replication_events(cloud):
    topics = [f"arn:aws:sns:{region}:{world.ACCOUNT}:app-replication-events" for region in ("us-east-1", "eu-west-1")]
    with deployed(cloud, ReplicationEventTopicArns=",".join(topics)) as stack:
        url = stack["ReplicationEventsQueue"]
        found = cloud("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    allowed = [one for one in json.loads(found)["Statement"] if one["Effect"] == "Allow"]
    assert [one["Condition"] for one in allowed] == [{"ArnEquals": {"aws:SourceArn": topics}}]


def test_nothing_is_open_to_plain_http(cloud, small):
    sqs, sns, s3 = cloud("sqs"), cloud("sns"), cloud("s3")
    found = {"bucket": s3.get_bucket_policy(Bucket=small["StateBucket"])["Policy"]}
    for topic in ("AlarmTopic", "NotificationTopic"):
        found[topic] = sns.get_topic_attributes(TopicArn=small[topic])["Attributes"]["Policy"]
    for queue in ("FailoverDeadLetterQueue", "ReplicationEventsQueue"):
        attributes = sqs.get_queue_attributes(QueueUrl=small[queue], AttributeNames=["Policy"])
        found[queue] = attributes["Attributes"]["Policy"]
    for name, policy in found.items():
        denied = [one for one in json.loads(policy)["Statement"] if one["Effect"] == "Deny"]
        assert [one["Condition"] for one in denied] == [{"Bool": {"aws:SecureTransport": "false"}}], name


# --- alarms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fixture", "renamed", "rule"),
    [
        ("eventbridge-metric", "primary-5xx", "primary"),
        ("eventbridge-metric-ok", "checkout-web", "checkout"),
        ("eventbridge-contributor", "checkout-web", "checkout"),
        ("eventbridge-composite", "checkout-web", "checkout"),
        ("eventbridge-metric", f"mrap-sentinel-{ALIAS}-us-east-1-app-use1", "OwnAlarms"),
        ("eventbridge-metric", "mrap-sentinel-anotherpoint-us-east-1", None),
        ("eventbridge-metric", "primary-5xx-not", None),
        ("eventbridge-metric-muted", "checkout-web", None),
        ("eventbridge-metric-muted", f"mrap-sentinel-{ALIAS}-us-east-1-app-use1", None),
        ("eventbridge-composite-suppressed", "checkout-web", None),
        ("eventbridge-metric-insufficient-data", "checkout-web", None),
        ("eventbridge-configuration-change", "checkout-web", None),
    ],
)
def test_exactly_the_alarms_that_may_trigger_get_through(cloud, small, fixture, renamed, rule):
    found = rules(cloud, small)
    assert len(found) == 4
    event = alarm_event(fixture)
    event["detail"]["alarmName"] = renamed
    through = matches(cloud, found, event)
    assert len(through) == (rule is not None), through
    assert all(rule in name for name in through), through


def test_another_account_s_alarms_do_not_get_through(cloud, small):
    event = alarm_event("eventbridge-metric")
    event["detail"]["alarmName"] = "checkout-web"
    found = rules(cloud, small, "TriggerAlarmRulecheckout")
    assert matches(cloud, found, event)
    assert not matches(cloud, found, {**event, "account": "999988887777"})


def test_the_stack_s_own_alarms_trigger_and_further_ones_by_name(cloud, small):
    assert variables(cloud, small)["TRIGGER_ALARMS"] == f"mrap-sentinel-{ALIAS}-*,checkout-*,primary-5xx,metric-name"


def test_without_further_alarms_no_other_gets_through(cloud, large):
    assert variables(cloud, large)["TRIGGER_ALARMS"] == f"mrap-sentinel-{ALIAS}-*,none"
    event = alarm_event("eventbridge-metric")
    event["detail"]["alarmName"] = "checkout-web"
    assert not matches(cloud, rules(cloud, large), event)


def test_alarms_about_the_stack_itself_cannot_trigger(cloud, small):
    """They call people: their names must not look like those of the members' alarms."""
    alarms = small.of_type("AWS::CloudWatch::Alarm")
    own = {physical for logical, physical in alarms.items() if not logical.startswith("MemberAlarm")}
    assert len(own) == 4
    for name in own:
        event = alarm_event("eventbridge-metric")
        event["detail"]["alarmName"] = name
        assert not matches(cloud, rules(cloud, small), event)


# --- state, invocations ----------------------------------------------------------------------------


def test_the_state_s_current_versions_never_expire(cloud, small):
    found = small.properties("StateBucket")["LifecycleConfiguration"]["Rules"]
    kept = {"ExpirationInDays", "ExpirationDate", "ExpiredObjectDeleteMarker"}
    assert not any(kept & set(rule) for rule in found)
    assert any("NoncurrentVersionExpiration" in rule for rule in found)
    assert cloud("s3").get_bucket_versioning(Bucket=small["StateBucket"])["Status"] == "Enabled"


def test_everything_invokes_the_alias(cloud, small):
    function = cloud("lambda")
    alias = function.get_alias(FunctionName=small["FailoverFunction"], Name="live")["AliasArn"]
    events = cloud("events")
    for rule in rules(cloud, small):
        assert [target["Arn"] for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]] == [alias]
    subscriptions = cloud("sns").list_subscriptions_by_topic(TopicArn=small["AlarmTopic"])["Subscriptions"]
    assert [one["Endpoint"] for one in subscriptions] == [alias]
    schedule = cloud("scheduler").get_schedule(Name=small["FailoverFunctionTick"])
    assert schedule["Target"]["Arn"] == alias
    assert json.loads(schedule["Target"]["Input"]) == {"command": "tick"}
    policy = json.loads(function.get_policy(FunctionName=small["FailoverFunction"], Qualifier="live")["Policy"])
    assert len(json.dumps(policy)) <= STATEMENTS_OF_A_FUNCTION
    invoked = function.get_function_event_invoke_config(FunctionName=small["FailoverFunction"], Qualifier="live")
    assert invoked["MaximumEventAgeInSeconds"] == 900


def test_every_parameter_of_a_variable_is_among_the_numbered_settings(small):
    """Otherwise a change of it alone would not reach the alias."""
    environment = json.dumps(small.properties("FailoverFunction")["Environment"])
    used = {name for name in small.parameters if f'"{name}"' in environment or f"${{{name}}}" in environment}
    assert len(used) > 20, used
    assert used <= set(json.loads(small.properties("SettingsVersion")["Content"]))


def test_a_changed_parameter_reaches_the_alias(cloud):
    cloudformation, function = cloud("cloudformation"), cloud("lambda")
    with deployed(cloud) as stack:

        def live():
            return function.get_function_configuration(FunctionName=stack["FailoverFunction"], Qualifier="live")

        before = live()
        changes = {
            "CanaryPrefix": ("CANARY_PREFIX", ".canaries"),
            "TriggerAlarms": ("TRIGGER_ALARMS", "checkout-*"),
            "Members": ("MEMBERS", ",".join(reversed(TWO))),
            "HedgeDelayMillis": ("HEDGE_DELAY_MILLIS", "301"),
        }
        given = {}
        for parameter, (variable, value) in changes.items():
            given[parameter] = value
            members = tuple(given.get("Members", ",".join(TWO)).split(","))
            others = {name: value for name, value in given.items() if name != "Members"}
            cloudformation.update_stack(
                StackName=stack.name,
                TemplateBody=template(),  # the previous one was expanded with the previous parameters
                Parameters=parameters(members, **others),
                Capabilities=CAPABILITIES,
            )
            cloudformation.get_waiter("stack_update_complete").wait(StackName=stack.name, WaiterConfig=QUICK)
            after = live()
            assert int(after["Version"]) == int(before["Version"]) + 1, parameter
            assert value in after["Environment"]["Variables"][variable]
            before = after


@pytest.mark.parametrize(("asked", "reserved"), [(None, "5"), (7, "7"), (0, None)])
def test_concurrency_is_reserved_unless_told_otherwise(small, asked, reserved):
    given = {} if asked is None else {"FailoverReservedConcurrency": asked}
    function = small.resolved(**given).properties("FailoverFunction")
    assert function.get("ReservedConcurrentExecutions") == reserved


# --- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"Mode": "approve"}, "asks people by announcement"),
        ({"Mode": "automatic"}, "turns the dial at night"),
        ({"Failback": "automatic"}, "promised to touch nothing"),
        ({"Mode": "on"}, "Mode"),
        ({"MrapArn": f"arn:aws:s3::{world.ACCOUNT}:accesspoint/my-name"}, "must be the ARN with the alias"),
        ({"members": ()}, "Give Members"),
        ({"members": ("app-use1",)}, "must be entries such as"),
        ({"members": ("app-use1@us-east-1", "app-euw1")}, "must be entries such as"),
        ({"CanaryPrefix": "/canaries"}, "must be a key prefix"),
        ({"NotificationEmail": "oncall"}, "must be one e-mail address"),
        ({"NotificationHttpsUrl": "http://example.com"}, "must begin with https"),
        ({"SecondTopicArn": f"arn:aws:sns:eu-west-1:{world.ACCOUNT}:out.fifo"}, "must be the ARN of a standard"),
        ({"TriggerAlarms": "*"}, "must be names in which"),
        ({"TriggerAlarms": ""}, "must be names in which"),
        ({"TriggerAlarms": "web-**"}, "must be names in which"),
        ({"AlarmRegions": "checkout-*"}, "must be entries such as"),
        ({"KmsKeyArn": "alias/aws/sns"}, "must be the ARN of a customer managed key"),
        ({"CooldownSeconds": -1}, "CooldownSeconds"),
        ({"FailoverReservedConcurrency": 101}, "FailoverReservedConcurrency"),
    ],
)
def test_impossible_parameters_are_refused(cloud, given, says):
    with pytest.raises(ClientError, match="ValidationError") as refusal, deployed(cloud, **given):
        pass
    assert says in str(refusal.value)


@pytest.mark.parametrize("somebody", ["NotificationEmail", "NotificationHttpsUrl", "SecondTopicArn"])
def test_one_who_is_told_is_enough(cloud, somebody):
    values = {
        "NotificationEmail": "oncall@example.com",
        "NotificationHttpsUrl": "https://pager.example.com/key",
        "SecondTopicArn": f"arn:aws:sns:eu-west-1:{world.ACCOUNT}:out",
    }
    with deployed(cloud, Mode="automatic", **{somebody: values[somebody]}) as stack:
        found = variables(cloud, stack)
        subscribed = cloud("sns").list_subscriptions_by_topic(TopicArn=stack["NotificationTopic"])["Subscriptions"]
        assert found["MODE"] == "automatic"
        assert (values[somebody] in found["TOPIC_ARNS"]) == (somebody == "SecondTopicArn")
        expected = [] if somebody == "SecondTopicArn" else [values[somebody]]
        assert [one["Endpoint"] for one in subscribed] == expected


def as_list(value):
    return value if isinstance(value, list) else [value]
