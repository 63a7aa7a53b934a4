"""template.yaml as CloudFormation in MiniStack understands it: limits, refusals, patterns, permissions.

Without the functions' code, which `deployment/` runs: here a stack is only made, looked at and deleted.
"""

import contextlib
import io
import itertools
import json
import re
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
MANAGED_POLICY = 6_144
ENVIRONMENT_BYTES = 4_096
STATEMENTS_OF_A_FUNCTION = 20_480

# Actions that know no resources, by the Service Authorization Reference.
UNSCOPED = {
    *("cloudwatch:GetMetricData", "cloudwatch:ListMetrics", "xray:PutTelemetryRecords", "xray:PutTraceSegments"),
    *("s3:CreateJob", "s3:ListJobs", "cloudwatch:PutMetricData"),
}
FUNCTIONS = (
    "FailoverFunction",
    "HealthCheckFunction",
    "ReplicationEventsFunction",
    "RedriveFunction",
    "ReadinessCheckFunction",
)
ROLES = ("FailoverRole", "HealthCheckRole", "ReplicationEventsRole", "RedriveRole", "ReadinessCheckRole", "BatchRole")
ELSEWHERE = {"WitnessRegion": "us-west-2", "HeartbeatRegion": "eu-west-2"}

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
QUICK = {"Delay": 0.2, "MaxAttempts": 100}

_numbers = itertools.count()


def member(number, region):
    """A member with a bucket name as long as S3 allows."""
    return f"{'b' * 59}{number:04}@{region}"


TWO = ("app-use1@us-east-1", "app-euw1@eu-west-1")
SEVENTEEN = tuple(member(number, region) for number, region in enumerate(REGIONS))


def work_buckets(members):
    """One in the Region of each member, with a name of the same length."""
    return tuple(f"{'w' if entry[0] == 'b' else 'work-'}{entry[1 if entry[0] == 'b' else 0:]}" for entry in members)


@pytest.fixture(scope="module")
def cloud(ministack):
    """Clients by service name in the Region of these tests."""
    s3 = ministack.client("s3", REGION)
    s3.create_bucket(Bucket=CODE_BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("bootstrap", "#!/bin/sh\nexit 1\n")
    s3.put_object(Bucket=CODE_BUCKET, Key="code.zip", Body=archive.getvalue())
    s3.put_object(Bucket=CODE_BUCKET, Key="template.yaml", Body=template().encode())
    return lambda service: ministack.client(service, REGION)


def template():
    """template.yaml with code that lies in a bucket, as `sam package` leaves it."""
    text = (REPOSITORY / "template.yaml").read_text()
    text, replaced = re.subn(r"CodeUri: functions/\S+", f"CodeUri: s3://{CODE_BUCKET}/code.zip", text)
    assert replaced == len(FUNCTIONS)
    return text


def template_url(cloud):
    """Where it lies: it is larger than a call may carry."""
    return f"{cloud('s3').meta.endpoint_url}/{CODE_BUCKET}/template.yaml"


def parameters(members=TWO, **more):
    lists = {"Members": members, "WorkBuckets": work_buckets(members or TWO)}
    given = {"MrapArn": MRAP, **{name: ",".join(entries) for name, entries in lists.items() if entries}, **more}
    given = {name: value for name, value in given.items() if value is not None}
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
    arguments = {"StackName": name, "TemplateURL": template_url(cloud), "Parameters": parameters(**given)}
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
    given = {"MemberKmsKeyArns": keys, "KmsKeyArn": KEY, "Tracing": "Active", **ELSEWHERE}
    with deployed(cloud, members=SEVENTEEN, **given) as stack:
        yield stack


def inline_policies(cloud, role):
    """By name."""
    iam = cloud("iam")
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}


def managed_policies(cloud, role):
    """By ARN."""
    iam, found = cloud("iam"), {}
    for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = policy["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found[arn] = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    return found


def policies(cloud, role):
    """All of a role."""
    return inline_policies(cloud, role) | managed_policies(cloud, role)


def statements(cloud, role):
    """Of all policies of a role, with actions and resources as lists."""
    for document in policies(cloud, role).values():
        for one in as_list(document["Statement"]):
            yield {**one, "Action": as_list(one["Action"]), "Resource": as_list(one["Resource"])}


def allowed(cloud, role, action):
    """The resources on which a role may do this."""
    found = (one["Resource"] for one in statements(cloud, role) if action in one["Action"])
    return {resource for resources in found for resource in resources}


def characters(document):
    """As IAM counts them: no white space."""
    return len(json.dumps(document, separators=(",", ":")))


def variables(cloud, stack, function="FailoverFunction"):
    configuration = cloud("lambda").get_function_configuration(FunctionName=stack[function])
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


@pytest.mark.parametrize(
    ("role", "kinds"),
    [
        ("FailoverRole", ["member-"]),
        ("HealthCheckRole", ["member-"]),
        ("RedriveRole", ["member-", "work-"]),
        ("ReadinessCheckRole", ["member-", "work-"]),
        ("BatchRole", ["member-", "work-"]),
    ],
)
def test_the_policies_of_seventeen_members_fit_into_a_role(cloud, large, role, kinds):
    inline = inline_policies(cloud, large[role])
    for kind in kinds:
        assert len([name for name in inline if name.startswith(kind) and name != "member-keys"]) == len(SEVENTEEN)
    assert sum(map(characters, inline.values())) <= INLINE_POLICIES_OF_A_ROLE, inline
    for document in managed_policies(cloud, large[role]).values():
        assert characters(document) <= MANAGED_POLICY


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_settings_of_seventeen_members_fit_into_the_environment(cloud, large, function):
    found = variables(cloud, large, function)
    assert found["MEMBERS"] == ",".join(SEVENTEEN)
    assert sum(len(name) + len(value) for name, value in found.items()) <= ENVIRONMENT_BYTES


def test_every_member_has_its_alarm(cloud, large):
    pages = cloud("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"mrap-sentinel-{ALIAS}-")
    alarms = {alarm["AlarmName"]: alarm for page in pages for alarm in page["MetricAlarms"]}
    tested = alarms.pop(f"mrap-sentinel-{ALIAS}-self-test")
    assert tested["AlarmActions"] == tested["OKActions"] == [large["AlarmTopic"]], "the same way as the others"
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
    ticking = ("FailoverFunction", "RedriveFunction", "ReadinessCheckFunction")
    assert set(roles) == {*ROLES, "HealthCheckFunctionRunRole", *(f"{function}TickRole" for function in ticking)}
    attached = {logical: set(managed_policies(cloud, role)) for logical, role in roles.items()}
    assert {logical: arns for logical, arns in attached.items() if arns} == {
        "RedriveRole": {stack["RedrivePolicy"]},
        "ReadinessCheckRole": {stack["ReadinessCheckPolicy"]},
    }
    for role in roles.values():
        for statement in statements(cloud, role):
            assert not any("*" in action for action in statement["Action"]), statement
            if "*" in statement["Resource"]:
                assert set(statement["Action"]) <= UNSCOPED, statement


# What each role may write or delete, and where; nothing else.
WRITES = {
    "FailoverRole": {
        "s3:PutObject": {
            "arn:aws:s3:::app-use1/.mrap-sentinel/*",
            "arn:aws:s3:::app-euw1/.mrap-sentinel/*",
            "STATE/state.json",
        },
        "s3:SubmitMultiRegionAccessPointRoutes": {MRAP},
    },
    "HealthCheckRole": {
        "s3:PutObject": {
            "arn:aws:s3:::app-use1/.mrap-sentinel/*",
            "arn:aws:s3:::app-euw1/.mrap-sentinel/*",
            "STATE/evidence.json",
        },
    },
    "ReplicationEventsRole": {
        "s3:PutObject": {"STATE/ledger/open/*", "STATE/lag.json"},
        "sqs:DeleteMessage": {"QUEUE"},
    },
    "RedriveRole": {
        "s3:PutObject": {
            "STATE/ledger/*",
            "STATE/redrive.json",
            *(f"arn:aws:s3:::work-app-{region}/mrap-sentinel/{ALIAS}.mrap/*" for region in ("use1", "euw1")),
            *(f"arn:aws:s3:::work-app-{region}" for region in ("use1", "euw1")),  # no object: for s3:ListBucket beside it
        },
        "s3:DeleteObject": {"STATE/ledger/*"},
        "s3:CreateJob": {"*"},
        "s3:PutJobTagging": {f"arn:aws:s3:*:{world.ACCOUNT}:job/*"},
        "iam:PassRole": {"BATCH"},
    },
    "ReadinessCheckRole": {"s3:PutObject": {"STATE/drift.json"}},
    "BatchRole": {
        "s3:PutObject": {
            f"arn:aws:s3:::work-app-{region}/mrap-sentinel/{ALIAS}.mrap/*" for region in ("use1", "euw1")
        },
        "s3:InitiateReplication": {
            *(f"arn:aws:s3:::app-{region}/*" for region in ("use1", "euw1")),
            *(f"arn:aws:s3:::app-{region}" for region in ("use1", "euw1")),  # no object: for the bucket's own actions
        },
        "s3:PutInventoryConfiguration": {
            *(f"arn:aws:s3:::app-{region}" for region in ("use1", "euw1")),
            *(f"arn:aws:s3:::app-{region}/*" for region in ("use1", "euw1")),  # no bucket
        },
    },
}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_write_nothing_else(cloud, small, role):
    named = {
        "STATE": f"arn:aws:s3:::{small['StateBucket']}",
        "QUEUE": cloud("sqs").get_queue_attributes(
            QueueUrl=small["ReplicationEventsQueue"], AttributeNames=["QueueArn"]
        )["Attributes"]["QueueArn"],
        "BATCH": cloud("iam").get_role(RoleName=small["BatchRole"])["Role"]["Arn"],
    }

    def arn(resource):
        first, slash, rest = resource.partition("/")
        return named.get(first, first) + slash + rest

    everywhere = {action for writes in WRITES.values() for action in writes}
    found = {action: allowed(cloud, small[role], action) for action in everywhere}
    expected = {action: set(map(arn, resources)) for action, resources in WRITES[role].items()}
    assert {action: resources for action, resources in found.items() if resources} == expected


def test_only_batch_operations_get_the_batch_role(cloud, small):
    [passing] = [one for one in statements(cloud, small["RedriveRole"]) if "iam:PassRole" in one["Action"]]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "batchoperations.s3.amazonaws.com"}}
    role = cloud("iam").get_role(RoleName=small["BatchRole"])["Role"]
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    assert (trust["Principal"], trust["Action"]) == ({"Service": "batchoperations.s3.amazonaws.com"}, "sts:AssumeRole")


@pytest.mark.parametrize("role", ROLES)
def test_nobody_may_read_a_member_s_data_but_to_prove_it(cloud, small, role):
    """Failover and the health check read canaries, redrive heads of versions; a job copies in the replication role's name."""
    actions = {"s3:GetObject", "s3:GetObjectVersion"}
    read = {
        (action, resource)
        for action in actions
        for resource in allowed(cloud, small[role], action)
        if re.match(r"arn:aws:s3:::app-\w+/", resource)
    }
    members = [f"arn:aws:s3:::app-{region}" for region in ("use1", "euw1")]
    assert read == {
        "FailoverRole": {("s3:GetObject", f"{arn}/.mrap-sentinel/*") for arn in members},
        "HealthCheckRole": {(action, f"{arn}/.mrap-sentinel/*") for arn in members for action in actions},
        "RedriveRole": {("s3:GetObjectVersion", f"{arn}/*") for arn in members},
    }.get(role, set())


@pytest.mark.parametrize("role", ROLES)
def test_without_keys_nobody_may_use_one(cloud, small, role):
    text = json.dumps(policies(cloud, small[role]))
    assert "kms:" not in text and "xray:" not in text


@pytest.mark.parametrize("role", [role for role in ROLES if role != "BatchRole"])
def test_functions_may_use_the_key_and_send_traces_where_told_to(cloud, large, role):
    assert allowed(cloud, large[role], "kms:GenerateDataKey") >= {KEY}
    assert allowed(cloud, large[role], "kms:Decrypt") >= {KEY}
    assert allowed(cloud, large[role], "xray:PutTraceSegments") == {"*"}


def test_keys_of_the_members_are_allowed_where_given(cloud, large):
    found = inline_policies(cloud, large["FailoverRole"])
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
        ("eventbridge-metric", f"mrap-sentinel-{ALIAS}-self-test", "OwnAlarms"),
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
    ours = ("MemberAlarm", "SelfTestAlarm")
    own = {physical for logical, physical in alarms.items() if not logical.startswith(ours)}
    assert len(own) == 12
    for name in own:
        event = alarm_event("eventbridge-metric")
        event["detail"]["alarmName"] = name
        assert not matches(cloud, rules(cloud, small), event)


# --- state, invocations ----------------------------------------------------------------------------


def test_the_state_and_rows_that_are_not_settled_never_expire(cloud, small):
    """Documents, open rows and what jobs are about; outside of the ledger not even delete markers."""
    found = small.properties("StateBucket")["LifecycleConfiguration"]["Rules"]
    assert all(rule["Status"] == "Enabled" for rule in found)
    expiring = {rule["Prefix"] for rule in found if {"ExpirationInDays", "ExpirationDate"} & set(rule)}
    assert expiring == {"ledger/settled/", "ledger/handed-over/"}
    assert {rule["Prefix"] for rule in found if "ExpiredObjectDeleteMarker" in rule} == {"ledger/"}
    assert [rule["NoncurrentVersionExpiration"] for rule in found if "Prefix" not in rule] == [
        {"NoncurrentDays": 14, "NewerNoncurrentVersions": 100}
    ]
    assert cloud("s3").get_bucket_versioning(Bucket=small["StateBucket"])["Status"] == "Enabled"


def test_settled_rows_outlive_the_memory_of_the_queue(small):
    """A duplicate may come as late as the queue keeps it, 14 days: what was settled must be known until then."""
    rules = small.properties("StateBucket")["LifecycleConfiguration"]["Rules"]
    [settled] = [rule["ExpirationInDays"] for rule in rules if rule.get("Prefix") == "ledger/settled/"]
    queue = small.properties("ReplicationEventsQueue")
    assert settled * 86_400 > queue["MessageRetentionPeriod"] + 86_400


def test_a_message_stays_hidden_while_it_is_tried(small):
    function, queue = small.properties("ReplicationEventsFunction"), small.properties("ReplicationEventsQueue")
    [source] = small.of_type("AWS::Lambda::EventSourceMapping")
    mapping = small.properties(source)
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"] + mapping["MaximumBatchingWindowInSeconds"]


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


def test_events_are_taken_as_they_come_and_tried_one_by_one(cloud, small):
    """By the alias, a large batch at a time, of which only what failed comes again."""
    function = cloud("lambda")
    alias = function.get_alias(FunctionName=small["ReplicationEventsFunction"], Name="live")["AliasArn"]
    [source] = small.of_type("AWS::Lambda::EventSourceMapping").values()
    mapping = function.get_event_source_mapping(UUID=source)
    assert mapping["FunctionArn"] == alias
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (10_000, 20)


def test_rehearsals_are_scheduled_only_when_asked_for(cloud, small):
    assert "Rehearsal" not in small and "RehearsalRole" not in small
    asked = {"RehearsalSchedule": "cron(0 10 ? * TUE#1 *)", "RehearsalTimeZone": "Europe/Berlin"}
    with deployed(cloud, Mode="automatic", NotificationEmail="oncall@example.com", **asked) as stack:
        alias = cloud("lambda").get_alias(FunctionName=stack["FailoverFunction"], Name="live")["AliasArn"]
        schedule = cloud("scheduler").get_schedule(Name=stack["Rehearsal"])
        role = cloud("iam").get_role(RoleName=stack["RehearsalRole"])["Role"]["Arn"]
        assert (schedule["Target"]["Arn"], schedule["Target"]["RoleArn"]) == (alias, role)
        assert schedule["ScheduleExpression"] == asked["RehearsalSchedule"]
        # MiniStack keeps no time zone of a schedule that CloudFormation makes.
        assert stack.properties("Rehearsal")["ScheduleExpressionTimezone"] == {"Ref": "RehearsalTimeZone"}
        command = json.loads(schedule["Target"]["Input"])
        assert (command["command"], command["scheduled"]) == ("rehearse", True)
        [statement] = statements(cloud, stack["RehearsalRole"])
        assert (statement["Action"], statement["Resource"]) == (["lambda:InvokeFunction"], [alias])


@pytest.mark.parametrize(("name", "event"), [("RedriveFunction", "Tick"), ("HealthCheckFunction", "Run")])
def test_a_schedule_comes_again_by_itself(cloud, small, name, event):
    function = cloud("lambda")
    alias = function.get_alias(FunctionName=small[name], Name="live")["AliasArn"]
    schedule = cloud("scheduler").get_schedule(Name=small[f"{name}{event}"])
    assert (schedule["Target"]["Arn"], schedule["ScheduleExpression"]) == (alias, "rate(1 minute)")
    assert json.loads(schedule["Target"]["Input"]) == {"command": "tick"}
    assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 0
    invoked = function.get_function_event_invoke_config(FunctionName=small[name], Qualifier="live")
    assert invoked["MaximumRetryAttempts"] == 0


def test_a_run_of_probes_meets_the_next_one(small):
    """It goes on for 70 s, and ends itself before Lambda does, whatever the patience with a probe."""
    patience = int(small.parameters["ProbeTimeoutMillis"]["MaxValue"]) / 1000
    last_round, reserve = 2 * patience + 1, 8  # as functions/health-check/src/rounds.rs has them
    assert small.properties("HealthCheckFunction")["Timeout"] >= 70 + last_round + reserve


@pytest.mark.parametrize(("stack", "there"), [("small", False), ("large", True)])
def test_heartbeat_and_witness_are_allowed_where_there_are_any(cloud, stack, there, request):
    stack = request.getfixturevalue(stack)
    found = list(statements(cloud, stack["HealthCheckRole"]))
    beats = [one for one in found if "cloudwatch:PutMetricData" in one["Action"]]
    condition = {"StringEquals": {"cloudwatch:namespace": "MrapSentinel"}}
    assert [one["Condition"] for one in beats] == ([condition] if there else [])
    regions = [REGION, *([ELSEWHERE["HeartbeatRegion"]] if there else [])]
    described = allowed(cloud, stack["ReadinessCheckRole"], "cloudwatch:DescribeAlarms")
    assert described == {f"arn:aws:cloudwatch:{region}:{world.ACCOUNT}:alarm:*" for region in regions}
    witness = f"arn:aws:s3:::{stack['StateBucket']}/evidence-witness.json"
    for role in ("FailoverRole", "HealthCheckRole", "ReadinessCheckRole"):
        assert (witness in allowed(cloud, stack[role], "s3:GetObject")) == there, role


def test_only_the_health_check_wakes(cloud, small):
    for role in ROLES:
        topics = {small["AlarmTopic"]} & allowed(cloud, small[role], "sns:Publish")
        assert bool(topics) == (role == "HealthCheckRole"), role
def test_readiness_is_checked_every_hour(cloud, small):
    function = cloud("lambda")
    alias = function.get_alias(FunctionName=small["ReadinessCheckFunction"], Name="live")["AliasArn"]
    schedule = cloud("scheduler").get_schedule(Name=small["ReadinessCheckFunctionTick"])
    assert (schedule["Target"]["Arn"], schedule["ScheduleExpression"]) == (alias, "rate(1 hour)")
    assert json.loads(schedule["Target"]["Input"]) == {"command": "tick"}


def test_readiness_looks_at_every_alarm_and_dead_letter_queue_of_the_stack(cloud, small):
    """None is forgotten that the template makes, and none is expected that it does not make."""
    found = variables(cloud, small, "ReadinessCheckFunction")
    members = [entry.partition("@") for entry in TWO]
    expected = set()
    for name in found["STACK_ALARMS"].split(","):
        name = f"{found['STACK_NAME']}{name}" if name.startswith("-") else name
        expected |= {name.replace("{region}", region).replace("{bucket}", bucket) for bucket, _, region in members}
    assert expected == set(small.of_type("AWS::CloudWatch::Alarm").values())
    urls = {small[name] for name in ("FailoverDeadLetterQueue", "ReplicationEventsDeadLetterQueue")}
    assert set(found["DEAD_LETTER_QUEUES"].split(",")) == {url.rpartition("/")[2] for url in urls}


def test_readiness_looks_at_the_way_of_alarms_into_the_failover_function(cloud, small):
    found = variables(cloud, small, "ReadinessCheckFunction")
    assert found["ALARM_TOPIC_ARN"] == small["AlarmTopic"]
    subscribed = cloud("sns").list_subscriptions_by_topic(TopicArn=small["AlarmTopic"])["Subscriptions"]
    assert [(one["Protocol"], one["Endpoint"]) for one in subscribed] == [("lambda", found["FAILOVER_FUNCTION_ARN"])]
    topics = f"arn:aws:sns:*:{world.ACCOUNT}:*"
    assert topics in allowed(cloud, small["ReadinessCheckRole"], "sns:ListSubscriptionsByTopic")


SETTINGS = {
    "FailoverFunction": ("SettingsVersion", 29),
    "HealthCheckFunction": ("HealthCheckSettingsVersion", 12),
    "ReplicationEventsFunction": ("ReplicationEventsSettingsVersion", 2),
    "RedriveFunction": ("RedriveSettingsVersion", 18),
    "ReadinessCheckFunction": ("ReadinessCheckSettingsVersion", 10),
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_exactly_the_parameters_of_a_function_are_among_its_numbered_settings(small, function):
    """Otherwise a change of one alone would not reach the alias; one of another function would publish nothing new."""
    record, least = SETTINGS[function]
    properties = small.properties(function)
    other = [properties["TracingConfig"]["Mode"], properties["MemorySize"]]
    environment = json.dumps([*properties["Environment"]["Variables"].values(), *other])
    used = {name for name in small.parameters if f'"{name}"' in environment or f"${{{name}}}" in environment}
    assert len(used) >= least, used
    if "HasSecondTopic" in environment:
        used.add("SecondTopicArn")
    assert used == set(json.loads(small.properties(record)["Content"]))
    version = next(name for name in small.of_type("AWS::Lambda::Version") if name.startswith(f"{function}Version"))
    assert f"${{{record}}}" in json.dumps(small.properties(version)["Description"])


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
                TemplateURL=template_url(cloud),  # the previous one was expanded with the previous parameters
                Parameters=parameters(members, **others),
                Capabilities=CAPABILITIES,
            )
            cloudformation.get_waiter("stack_update_complete").wait(StackName=stack.name, WaiterConfig=QUICK)
            after = live()
            assert int(after["Version"]) == int(before["Version"]) + 1, parameter
            assert value in after["Environment"]["Variables"][variable]
            before = after


def test_a_parameter_publishes_versions_of_those_functions_alone_that_have_it(cloud):
    """A version that differs from the one before in its description only is refused by Lambda."""
    cloudformation, function = cloud("cloudformation"), cloud("lambda")
    with deployed(cloud) as stack:

        def live():
            aliases = (function.get_alias(FunctionName=stack[one], Name="live") for one in FUNCTIONS)
            return [int(alias["FunctionVersion"]) for alias in aliases]

        given, found = {}, [live()]
        changes = {
            "RedriveJobs": 2,
            "HedgeDelayMillis": 301,
            "ReplicationTimeControl": "enabled",
            "Redrive": "observe",
            "Tracing": "Active",
        }
        for parameter, value in changes.items():
            given[parameter] = value
            with contextlib.suppress(ClientError):  # nothing to change
                cloudformation.update_stack(
                    StackName=stack.name,
                    TemplateURL=template_url(cloud),
                    Parameters=parameters(**given),
                    Capabilities=CAPABILITIES,
                )
            cloudformation.get_waiter("stack_update_complete").wait(StackName=stack.name, WaiterConfig=QUICK)
            found.append(live())
    assert found == [
        [1, 1, 1, 1, 1],
        [1, 1, 1, 2, 1],
        [2, 2, 1, 2, 1],
        [2, 2, 1, 2, 2],
        [2, 2, 1, 2, 2],
        [3, 3, 2, 3, 3],
    ]



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
        ({"Redrive": "automatic"}, "which failures need their help"),
        ({"Redrive": "approve"}, "Redrive"),
        ({"WorkBuckets": None}, "Give WorkBuckets"),
        ({"WorkBuckets": "app-work"}, "must be entries such as app-work-use1@us-east-1"),
        ({"RedriveJobs": 7}, "RedriveJobs"),
        ({"WitnessRegion": "Oregon"}, "must be a Region code such as us-west-2"),
        ({"HeartbeatRegion": "us-west"}, "must be a Region code such as us-west-2"),
        ({"DetectionRounds": 0}, "DetectionRounds"),
        ({"HealthCheckMemory": 300}, "HealthCheckMemory"),
        ({"Failback": "automatic"}, "promised to touch nothing"),
        ({"Failback": "approve"}, "asks people by announcement"),
        ({"FailbackWindows": "Mon-Fri 9-17 Europe/Berlin"}, "must be windows such as"),
        ({"RehearsalWindows": "any time"}, "must be windows such as"),
        ({"RehearsalSchedule": "monthly"}, "must be a cron"),
        ({"RehearsalSchedule": "rate(30 days)"}, "a rate would begin with the deployment"),
        ({"RehearsalSchedule": "cron(0 10 ? * TUE#1 *)", "NotificationEmail": "oncall@example.com"}, "promised to touch nothing"),
        ({"RehearsalSchedule": "cron(0 10 ? * TUE#1 *)"}, "turns the dial by itself"),
        ({"RehearsalBlockingAlarms": "web-*"}, "must be names or ARNs"),
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
