"""The templates: repeated blocks, limits, rules, and that the scripts and the templates want the same."""

import fnmatch
import json
from pathlib import Path

import cloudformation
import pytest
from botocore.exceptions import ClientError
from planes import TWO_MEMBERS

SEVENTEEN = Path(__file__).with_name("seventeen.toml")
ACCOUNT = "111122223333"
MOST_PARAMETERS, MOST_BYTES, MOST_FETCHED_BYTES = 200, 51_200, 1_000_000
MOST_ROLE_POLICY_CHARACTERS = 10_240


@pytest.mark.parametrize("members", [2, 3, 17])
def test_blocks_are_repeated(members):
    from plane import templates

    member = cloudformation.parse(templates.member(members - 1))
    others = range(1, members)
    for other in others:
        for part in ("Bucket", "Region", "KmsKeyArn"):
            assert f"Destination{other}{part}" in member["Parameters"]
        assert {f"HasDestination{other}", f"HasDestination{other}Canary"} <= member["Conditions"].keys()
        assert f"Destination{other}IsComplete" in member["Rules"]
    assert f"Destination{members}Bucket" not in member["Parameters"]
    access_point = cloudformation.parse(templates.access_point(members))
    regions = access_point["Resources"]["AccessPoint"]["Properties"]["Regions"]
    expected = [{"Ref": f"Member{number}Bucket"} for number in range(1, members + 1)]
    assert [region["Bucket"] for region in regions] == expected
    for template in (member, access_point):
        _check_interface(template)
        assert len(template["Parameters"]) <= MOST_PARAMETERS


@pytest.mark.parametrize(("file", "rendered"), [("member.yaml", "member"), ("access-point.yaml", "access_point")])
def test_files_are_the_templates_of_a_pair(file, rendered):
    from plane import templates

    text = getattr(templates, rendered)(1 if rendered == "member" else 2)
    assert cloudformation.parse(text) == cloudformation.parse((templates.FOLDER / file).read_text())
    assert "#%" not in text


def test_sizes_stay_within_the_limits():
    from plane import templates

    assert len(templates.member(5)) <= MOST_BYTES  # sent with the call; from seven members on it is fetched
    assert len(templates.member(16)) <= MOST_FETCHED_BYTES
    assert len(templates.access_point(17)) <= MOST_BYTES
    config, _, resolved = _resolved(SEVENTEEN.read_text(), "us-east-1")
    assert len(config.members) == 17
    (policy,) = resolved.properties("ReplicationRole")["Policies"]
    policy = json.dumps(policy["PolicyDocument"], separators=(",", ":"))
    assert "sa-east-1" in policy and len(policy) <= MOST_ROLE_POLICY_CHARACTERS


def test_templates_are_plain_ascii():
    """CloudFormation gives a template back with question marks for anything else: it would always seem changed."""
    from plane import templates

    found = sorted(templates.FOLDER.glob("*.yaml"))
    assert len(found) == 5
    for file in found:
        assert file.read_text().isascii(), file.name


def test_the_watchdog_s_command_fits_into_its_alarm():
    """With the longest names there are; CloudWatch takes 1024 characters."""
    from plane import templates

    alarm = cloudformation.parse(templates.watchdog())["Resources"]["Alarm"]["Properties"]
    text, _ = alarm["AlarmDescription"]["Fn::Sub"]
    mrap = f"arn:aws:s3::{ACCOUNT}:accesspoint/mfzwi23gnjvgw.mrap"
    longest = {"ControlRegion": "ap-northeast-1", "AWS::AccountId": ACCOUNT, "MrapArn": mrap}
    for name, value in {**longest, "Home": "h" * 63, "Standby": "s" * 63}.items():
        assert f"${{{name}}}" in text
        text = text.replace(f"${{{name}}}", value)
    assert "${" not in text and len(text) <= 1024


_SCOPES = {
    "whole": "",
    "prefix": '[replication]\nscope = "prefix"\nprefix = "orders/"\n',
    "tag": '[replication]\nscope = "tag"\ntag = { key = "a", value = "b" }\n',
    "options": "[replication]\ndelete_markers = false\nreplica_modifications = false\ntime_control = true\n"
    'storage_class = "STANDARD_IA"\n',
}
_FURTHER = '[further_destination]\nbucket = "away"\nregion = "eu-central-1"\naccount = "444455556666"\n'
_KEY = 'kms_key_arn = "arn:aws:kms:eu-central-1:444455556666:key/further"\n'


_KMS = '[encryption]\nkind = "kms"\nbucket_key = false\n'


@pytest.mark.parametrize(
    ("encryption", "further"),
    [("", ""), ("", _FURTHER), ("", _FURTHER + _KEY), (_KMS, ""), (_KMS, _FURTHER + _KEY)],
    ids=["plain", "further", "further-with-key", "kms", "kms-further"],
)
@pytest.mark.parametrize("scope", _SCOPES)
def test_script_and_template_want_the_same(scope, encryption, further):
    text = TWO_MEMBERS + '[[member]]\nregion = "ap-southeast-2"\n' + _SCOPES[scope] + encryption + further
    config, (plan, keys), resolved = _resolved(text, "us-east-1")
    bucket = resolved.properties("Bucket")
    home = config.members[0]
    assert _for_s3(bucket["ReplicationConfiguration"]) == plan.replication(home, keys)
    assert [_for_s3(rule) for rule in bucket["LifecycleConfiguration"]["Rules"]] == [
        {**{key: value for key, value in rule.items() if key != "Filter"}, **_prefix(rule)} for rule in plan.lifecycle()
    ]
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    rule = {"ApplyServerSideEncryptionByDefault": rule.pop("ServerSideEncryptionByDefault"), **rule}
    rule |= {"BucketKeyEnabled": rule["BucketKeyEnabled"] == "true"} if "BucketKeyEnabled" in rule else {}
    assert rule == plan.encryption(keys.get(home.region))
    assert resolved.properties("ReplicationEventsTopic")["TopicName"] == plan.events_topic(home).split(":")[-1]
    assert resolved.exists("Key") == bool(encryption)


@pytest.mark.parametrize("encryption", ["", _KMS], ids=["plain", "kms"])
def test_the_work_bucket_suits_batch_operations(encryption):
    """Which read no manifest that is encrypted with KMS; what is left behind ends by itself."""
    _, _, resolved = _resolved(TWO_MEMBERS + encryption, "us-east-1")
    bucket = resolved.properties("WorkBucket")
    assert bucket["BucketName"] == f"app-work-{ACCOUNT}-us-east-1"
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"] == [
        {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    ]
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4 and all(bucket["PublicAccessBlockConfiguration"].values())
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert (rule["ExpirationInDays"], rule["AbortIncompleteMultipartUpload"]) == (30, {"DaysAfterInitiation": 1})
    assert "Prefix" not in rule and rule["Status"] == "Enabled"
    (statement,) = resolved.properties("WorkBucketPolicy")["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_every_replication_event_is_sent():
    """All four there are: failures, and the three that tell of lag."""
    _, _, resolved = _resolved(TWO_MEMBERS, "us-east-1")
    (topic,) = resolved.properties("Bucket")["NotificationConfiguration"]["TopicConfigurations"]
    assert topic["Event"] == "s3:Replication:*"


def test_the_first_pass_makes_a_bucket_without_rules():
    from plane import config, plan, templates

    configuration = config.parse(_document(TWO_MEMBERS))
    wanted = plan.Plan(configuration, ACCOUNT).first_pass(configuration.members[0])
    resolved = cloudformation.Resolved(
        cloudformation.parse(templates.member(1)), wanted.parameters, "us-east-1", ACCOUNT, _physical("us-east-1")
    )
    assert "ReplicationConfiguration" not in resolved.properties("Bucket")
    events = ("ReplicationEventsSubscription", "UndeliveredEventsQueue", "UndeliveredEventsAlarm", "AlarmsTopic")
    for wired in (*events, "AlarmForwarding", "AlarmForwardingRole"):
        assert not resolved.exists(wired)


def test_roles_may_do_no_more_than_replicate():
    _, _, resolved = _resolved(TWO_MEMBERS + '[encryption]\nkind = "kms"\n' + _FURTHER + _KEY, "us-east-1")
    statements = resolved.properties("ReplicationRole")["Policies"][0]["PolicyDocument"]["Statement"]
    by_resource = {}
    for statement in statements:
        for resource in _list(statement["Resource"]):
            by_resource.setdefault(resource, set()).update(_list(statement["Action"]))
        if "kms" in str(statement["Action"]):
            assert statement["Condition"]["StringLike"].keys() == {"kms:ViaService", "kms:EncryptionContext:aws:s3:arn"}
    replicate = {"s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"}
    seal = {"kms:Encrypt", "kms:GenerateDataKey", "kms:Decrypt"}
    assert by_resource == {
        f"arn:aws:s3:::app-{ACCOUNT}-us-east-1": {"s3:GetReplicationConfiguration", "s3:ListBucket"},
        f"arn:aws:s3:::app-{ACCOUNT}-us-east-1/*": {
            "s3:GetObjectVersionForReplication",
            "s3:GetObjectVersionAcl",
            "s3:GetObjectVersionTagging",
            "s3:GetObjectRetention",
            "s3:GetObjectLegalHold",
        },
        f"arn:aws:s3:::app-{ACCOUNT}-eu-west-1/*": replicate,
        "arn:aws:s3:::away/*": replicate | {"s3:ObjectOwnerOverrideToBucketOwner"},
        _key("us-east-1"): {"kms:Decrypt"},
        _key("eu-west-1"): seal,
        "arn:aws:kms:eu-central-1:444455556666:key/further": seal,
    }


@pytest.mark.parametrize(
    ("account", "arn", "delegated"),
    [
        (ACCOUNT, f"arn:aws:s3::{ACCOUNT}:accesspoint/mfzwi23gnjvgw.mrap", True),
        (ACCOUNT, f"arn:aws:s3:us-east-1:{ACCOUNT}:accesspoint/anything", False),
        ("444455556666", "arn:aws:s3::444455556666:accesspoint/mfzwi23gnjvgw.mrap", False),
    ],
    ids=["multi-region", "single-region", "another-account"],
)
def test_buckets_delegate_to_multi_region_access_points_of_their_account_only(account, arn, delegated):
    _, _, resolved = _resolved(TWO_MEMBERS, "us-east-1")
    statements = resolved.properties("BucketPolicy")["PolicyDocument"]["Statement"]
    (allowed,) = [statement for statement in statements if statement["Effect"] == "Allow"]
    assert allowed["Condition"].keys() == {"StringEquals", "StringLike"}
    exact, like = allowed["Condition"]["StringEquals"], allowed["Condition"]["StringLike"]
    same_account = exact == {"s3:DataAccessPointAccount": account}
    assert (same_account and fnmatch.fnmatchcase(arn, like["s3:DataAccessPointArn"])) == delegated


_MEMBER = {"Name": "app", "BucketName": "app-bucket", "WorkBucketName": "app-work"}
_OTHER = {"Destination1Bucket": "other", "Destination1Region": "eu-west-1"}


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"Scope": "tag", "ScopeTagKey": "a"}, "does not replicate delete markers by tag"),
        ({"Scope": "tag", "DeleteMarkers": "false"}, "needs ScopeTagKey"),
        ({"ScopeTagKey": "a"}, "for scope tag only"),
        ({"Scope": "prefix"}, "needs ScopePrefix"),
        ({"ScopePrefix": "a/"}, "for scope prefix only"),
        ({"Destination1Bucket": "other"}, "needs Destination1Region"),
        ({"Destination1Bucket": "other", "Destination1Region": "us-east-1"}, "another Region"),
        ({**_OTHER, "Encryption": "kms"}, "Destination1KmsKeyArn is needed"),
        ({"FurtherBucket": "away"}, "needs FurtherRegion and FurtherAccount"),
        ({"FurtherBucket": "away", "FurtherRegion": "eu-west-1", "FurtherAccount": "OWN"}, "in another account"),
        (
            {"FurtherBucket": "away", "FurtherRegion": "eu-west-1", "FurtherAccount": "1" * 12, "Encryption": "kms"},
            "FurtherKmsKeyArn is needed",
        ),
        ({"ForwardedAlarms": "a,b"}, "need each other"),
        ({"ControlRegion": "us-east-2"}, "need each other"),
        ({"ForwardedStates": "ALARM,BROKEN"}, "must be ALARM, OK or INSUFFICIENT_DATA"),
        ({"CanaryPrefix": "/canaries"}, "without a slash at its ends"),
        ({"Name": "App"}, "lower-case letters"),
    ],
)
def test_impossible_combinations_are_refused(build, parameters, told):
    from plane import templates

    plane = build(TWO_MEMBERS)
    given = {**_MEMBER, **parameters}
    given = {key: value.replace("OWN", plane.account) for key, value in given.items()}
    with pytest.raises(ClientError, match=told):
        plane.make_stack("us-east-1", "refused", templates.member(1), given)
    assert plane.stack("us-east-1", "refused") is None


def test_the_destination_refuses_its_own_account(build):
    from plane import templates

    plane = build(TWO_MEMBERS)
    body = (templates.FOLDER / "replication-destination.yaml").read_text()
    parameters = {"SourceName": "app", "SourceAccount": plane.account, "BucketName": "own-backup"}
    with pytest.raises(ClientError, match="in this account already"):
        plane.make_stack("us-east-1", "backup", body, parameters)


def test_the_endpoint_lets_exactly_the_access_point_and_its_buckets_through(build):
    from plane import templates

    plane = build(TWO_MEMBERS)
    ec2 = plane.client("ec2", "us-east-1")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    arn = f"arn:aws:s3::{plane.account}:accesspoint/mfzwi23gnjvgw.mrap"
    parameters = {"VpcId": vpc, "SubnetIds": subnet, "ClientCidr": "10.0.0.0/16", "MrapArn": arn, "Buckets": "one,two"}
    body = (templates.FOLDER / "vpc-endpoint.yaml").read_text()
    assert plane.make_stack("us-east-1", "endpoint", body, parameters) == "CREATE_COMPLETE"
    (endpoint,) = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    assert endpoint["ServiceName"] == "com.amazonaws.s3-global.accesspoint"
    assert endpoint["VpcEndpointType"] == "Interface"
    # MiniStack keeps neither private DNS nor the policy, so the template answers for them.
    template = cloudformation.parse(body)
    lists = {**parameters, "Buckets": ["one", "two"]}
    resolved = cloudformation.Resolved(template, lists, "us-east-1", plane.account, {"SecurityGroup": "sg-1"})
    properties = resolved.properties("Endpoint")
    assert properties["PrivateDnsEnabled"] is True
    assert [resource for each in properties["PolicyDocument"]["Statement"] for resource in each["Resource"]] == [
        arn,
        f"{arn}/object/*",
        "arn:aws:s3:::one",
        "arn:aws:s3:::two",
        "arn:aws:s3:::one/*",
        "arn:aws:s3:::two/*",
    ]


def _resolved(text, region):
    """The configuration, its plan with keys, and the template of the member in `region` as it is deployed."""
    from plane import config, plan, templates

    configuration = config.parse(_document(text))
    its_plan = plan.Plan(configuration, ACCOUNT)
    keys = {}
    if configuration.encryption == "kms":
        keys = {member.region: _key(member.region) for member in configuration.members}
    member = next(member for member in configuration.members if member.region == region)
    wanted = its_plan.second_pass(member, keys, None)
    template = cloudformation.parse(templates.member(len(configuration.members) - 1))
    resolved = cloudformation.Resolved(template, wanted.parameters, region, ACCOUNT, _physical(region))
    return configuration, (its_plan, keys), resolved


def _physical(region):
    return {
        "Bucket.Arn": f"arn:aws:s3:::app-{ACCOUNT}-{region}",
        "Bucket": f"app-{ACCOUNT}-{region}",
        "Key.Arn": _key(region),
        "ReplicationRole.Arn": f"arn:aws:iam::{ACCOUNT}:role/app-replication-{region}",
        "ReplicationEventsTopic": f"arn:aws:sns:{region}:{ACCOUNT}:app-replication-events",
        "WorkBucket": f"app-work-{ACCOUNT}-{region}",
        "WorkBucket.Arn": f"arn:aws:s3:::app-work-{ACCOUNT}-{region}",
    }


def _key(region):
    return f"arn:aws:kms:{region}:{ACCOUNT}:key/of-{region}"


def _document(text):
    import tomllib

    return tomllib.loads(text)


def _for_s3(node):
    """A property in S3's own words."""
    if isinstance(node, list):
        return [_for_s3(each) for each in node]
    if not isinstance(node, dict):
        return node
    words = {"Id": "ID", "TagFilter": "Tag"}
    return {words.get(key, key): _for_s3(value) for key, value in node.items()}


def _prefix(rule):
    prefix = rule["Filter"]["Prefix"]
    return {"Prefix": prefix} if prefix else {}


def _check_interface(template):
    """Every parameter is in one group and has a label."""
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(grouped) == sorted(template["Parameters"]) == sorted(interface["ParameterLabels"])
    for name, parameter in template["Parameters"].items():
        assert "Description" in parameter, name
        limited = {"AllowedPattern", "MaxLength"} & parameter.keys()
        assert not limited or "ConstraintDescription" in parameter, name


def _list(value):
    return value if isinstance(value, list) else [value]
