"""The scripts as a user runs them, against MiniStack."""

import json

import pytest
from planes import CONTROL_REGION, MAIN_ACCOUNT, TWO_MEMBERS

HOME, AWAY = "us-east-1", "eu-west-1"
BOTH = (HOME, AWAY)


def test_from_nothing_to_two_members_and_back(build):
    plane = build(TWO_MEMBERS, MAIN_ACCOUNT)
    plane.in_a_process = True

    told = plane.deploy("--dry-run")
    assert "would create stack app-member in us-east-1" in told
    assert "rules towards eu-west-1" in told
    assert "6 changes would be made; nothing was changed" in told
    assert plane.left_over(BOTH) == []

    told = plane.deploy()
    plane.in_a_process = False
    home, away = plane.bucket(HOME), plane.bucket(AWAY)
    assert f'MrapArn="{plane.mrap_arn()}"' in told
    assert f'Members="{home}@us-east-1,{away}@eu-west-1"' in told
    assert 'CanaryPrefix=".mrap-sentinel"' in told
    topics = [plane.stack(region, "app-member") for region in BOTH]
    topics = [_outputs(stack)["ReplicationEventsTopicArn"] for stack in topics]
    assert f'ReplicationEventTopicArns="{",".join(topics)}"' in told
    assert "Then run this again" in told
    assert plane.routes() == {home: 100, away: 0}
    _check_policy(plane)

    plane.put_through_access_point("through-the-front", b"hello")
    assert [plane.replication_status(region, "through-the-front") for region in BOTH] == ["COMPLETED", "REPLICA"]
    plane.s3(AWAY).put_object(Bucket=away, Key="at-the-back", Body=b"hello")
    assert [plane.replication_status(region, "at-the-back") for region in BOTH] == ["REPLICA", "COMPLETED"]
    plane.s3(HOME).delete_object(Bucket=home, Key="at-the-back")
    assert plane.replication_status(AWAY, "at-the-back") is None  # the delete marker arrived
    canary = f".mrap-sentinel/{plane.alias()}/{HOME}"
    plane.s3(HOME).put_object(Bucket=home, Key=canary, Body=b"")
    assert plane.replication_status(AWAY, canary) == "REPLICA"

    before = plane.snapshot(BOTH)
    assert "Done: nothing had to be changed" in plane.deploy()
    assert "0 changes would be made" in plane.deploy("--dry-run")
    assert plane.snapshot(BOTH) == before

    told = plane.tear_down(status=1)
    assert f"{home}: 3 versions of 10 bytes, 1 delete marker" in told and "--yes-delete-data" in told
    assert plane.snapshot(BOTH) == before

    plane.s3(HOME).create_multipart_upload(Bucket=home, Key="unfinished")
    plane.in_a_process = True
    told = plane.tear_down("--yes-delete-data")
    assert f"{home}: 3 versions of 10 bytes, 1 delete marker, 1 incomplete upload" in told
    assert plane.left_over(BOTH) == []
    assert "there was nothing left" in plane.tear_down()


def test_three_members_have_a_rule_for_every_pair(build):
    """MiniStack follows only the first rule that matches; AWS follows one for each destination. So each rule is tried
    by itself, as it was deployed."""
    third = "ap-southeast-2"
    plane = build(TWO_MEMBERS + f'[[member]]\nregion = "{third}"\n', MAIN_ACCOUNT)
    try:
        plane.deploy()
        plane.put_through_access_point("first-rule", b"hello")
        assert [plane.replication_status(region, "first-rule") for region in BOTH] == ["COMPLETED", "REPLICA"]
        regions = (*BOTH, third)
        for source in regions:
            rules = plane.rules(source)
            others = [region for region in regions if region != source]
            assert list(rules) == [f"to-{other}" for other in others]
            assert sorted(rule["Priority"] for rule in rules.values()) == [1, 2]
            for other in others:
                _leave_only(plane, source, rules[f"to-{other}"])
                key = f"from-{source}-to-{other}"
                plane.s3(source).put_object(Bucket=plane.bucket(source), Key=key, Body=b"hello")
                found = {region: plane.replication_status(region, key) for region in regions}
                assert found == {region: None for region in regions} | {source: "COMPLETED", other: "REPLICA"}
        assert plane.deploy().count("put the replication rules of app-") == 3
        assert "nothing had to be changed" in plane.deploy()
    finally:
        plane.tear_down("--yes-delete-data")
    assert plane.left_over(regions) == []


def test_kms_with_a_key_in_every_region(build):
    plane = build(TWO_MEMBERS + '[encryption]\nkind = "kms"\n')
    told = plane.deploy()
    keys = {region: _outputs(plane.stack(region, "app-member"))["KmsKeyArn"] for region in BOTH}
    assert f'MemberKmsKeyArns="{keys[HOME]},{keys[AWAY]}"' in told
    for region, other in ((HOME, AWAY), (AWAY, HOME)):
        assert f":{region}:" in keys[region]
        default = plane.s3(region).get_bucket_encryption(Bucket=plane.bucket(region))
        rule = default["ServerSideEncryptionConfiguration"]["Rules"][0]
        assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == keys[region]
        assert rule["BucketKeyEnabled"] is True
        rule = plane.rules(region)[f"to-{other}"]
        assert rule["SourceSelectionCriteria"]["SseKmsEncryptedObjects"] == {"Status": "Enabled"}
        assert rule["Destination"]["EncryptionConfiguration"] == {"ReplicaKmsKeyID": keys[other]}
        _check_role_may_use_keys(plane, region, keys[region], keys[other])
    plane.s3(HOME).put_object(Bucket=plane.bucket(HOME), Key="secret", Body=b"hello")
    assert plane.replication_status(AWAY, "secret") == "REPLICA"
    assert "nothing had to be changed" in plane.deploy()

    plane.configure(TWO_MEMBERS)
    assert "cannot be changed" in plane.deploy(status=1)

    plane.configure(TWO_MEMBERS + '[encryption]\nkind = "kms"\n')
    plane.tear_down("--yes-delete-data")
    assert plane.left_over(BOTH) == []
    for region in BOTH:
        metadata = plane.client("kms", region).describe_key(KeyId=keys[region])["KeyMetadata"]
        assert metadata["KeyState"] == "PendingDeletion"


def test_tag_scope_takes_tagged_objects_and_canaries(build):
    scope = '[replication]\nscope = "tag"\ntag = { key = "replicate", value = "yes" }\n'
    plane = build(TWO_MEMBERS + scope)
    plane.deploy()
    s3, home = plane.s3(HOME), plane.bucket(HOME)
    s3.put_object(Bucket=home, Key="tagged", Body=b"", Tagging="replicate=yes")
    s3.put_object(Bucket=home, Key="plain", Body=b"")
    s3.put_object(Bucket=home, Key=".mrap-sentinel/alias/us-east-1", Body=b"")
    assert plane.replication_status(AWAY, "tagged") == "REPLICA"
    assert plane.replication_status(AWAY, "plain") is None
    assert plane.replication_status(AWAY, ".mrap-sentinel/alias/us-east-1") == "REPLICA"
    assert plane.rules(HOME)["to-eu-west-1"]["DeleteMarkerReplication"] == {"Status": "Disabled"}
    assert "nothing had to be changed" in plane.deploy()


def test_options_arrive_in_the_rules(build):
    options = '[replication]\nscope = "prefix"\nprefix = "orders/"\ndelete_markers = false\n'
    options += 'replica_modifications = false\ntime_control = true\nstorage_class = "STANDARD_IA"\n'
    plane = build(TWO_MEMBERS + options)
    plane.deploy()
    rule = plane.rules(HOME)["to-eu-west-1"]
    assert rule["Filter"] == {"Prefix": "orders/"}
    assert rule["DeleteMarkerReplication"] == {"Status": "Disabled"}
    assert rule["SourceSelectionCriteria"]["ReplicaModifications"] == {"Status": "Disabled"}
    assert rule["Destination"]["ReplicationTime"] == {"Status": "Enabled", "Time": {"Minutes": 15}}
    assert rule["Destination"]["Metrics"] == {"Status": "Enabled", "EventThreshold": {"Minutes": 15}}
    plane.s3(HOME).put_object(Bucket=plane.bucket(HOME), Key="orders/1", Body=b"")
    plane.s3(HOME).put_object(Bucket=plane.bucket(HOME), Key="other", Body=b"")
    head = plane.s3(AWAY).head_object(Bucket=plane.bucket(AWAY), Key="orders/1")
    assert (head["ReplicationStatus"], head["StorageClass"]) == ("REPLICA", "STANDARD_IA")
    assert plane.replication_status(AWAY, "other") is None

    plane.configure(TWO_MEMBERS)  # every option back to its default
    assert 'Scope "prefix" -> "whole"' in plane.deploy("--dry-run")
    plane.deploy()
    plane.s3(HOME).put_object(Bucket=plane.bucket(HOME), Key="other", Body=b"")
    assert plane.replication_status(AWAY, "other") == "REPLICA"


def test_further_destination_in_another_account(build):
    backup = "444455556666"
    further = f'[further_destination]\nbucket = "app-backup-{backup}"\nregion = "eu-central-1"\naccount = "{backup}"\n'
    plane = build(TWO_MEMBERS + further)
    template = _template("replication-destination.yaml")
    parameters = {"SourceName": "app", "SourceAccount": plane.account, "BucketName": f"app-backup-{backup}"}
    assert plane.make_stack("eu-central-1", "backup", template, parameters, backup) == "CREATE_COMPLETE"
    plane.deploy()
    for region in BOTH:
        rule = plane.rules(region)[f"to-{backup}-eu-central-1"]
        assert rule["Destination"]["AccessControlTranslation"] == {"Owner": "Destination"}
        assert rule["Destination"]["Account"] == backup
    _allow_without_tls(plane.client("s3", "eu-central-1", backup), f"app-backup-{backup}")
    _leave_only(plane, HOME, rule)  # see test_three_members_have_a_rule_for_every_pair
    plane.s3(HOME).put_object(Bucket=plane.bucket(HOME), Key="copied", Body=b"hello")
    copy = plane.client("s3", "eu-central-1", backup).head_object(Bucket=f"app-backup-{backup}", Key="copied")
    assert copy["ReplicationStatus"] == "REPLICA"
    told = plane.deploy()
    assert f"put the replication rules of {plane.bucket(HOME)} back" in told

    plane.tear_down("--yes-delete-data")
    kept = plane.client("s3", "eu-central-1", backup).list_objects_v2(Bucket=f"app-backup-{backup}")
    assert [each["Key"] for each in kept["Contents"]] == ["copied"]


def test_wiring_follows_the_automation(build):
    members = TWO_MEMBERS.replace('"us-east-1"\n', '"us-east-1"\nalarms = ["app-5xx", "app-latency"]\n')
    plane = build(members)
    assert "nothing is wired" in plane.deploy()
    assert plane.client("events", HOME).list_rules()["Rules"] == []

    _make_automation(plane)
    told = plane.deploy("--dry-run")
    assert told.count("ReplicationEventsQueueArn") == 2 and "2 changes would be made" in told
    plane.deploy()
    queue = f"arn:aws:sqs:{CONTROL_REGION}:{plane.account}:replication-events"
    for region in BOTH:
        sns = plane.client("sns", region)
        (subscription,) = sns.list_subscriptions()["Subscriptions"]
        assert (subscription["Protocol"], subscription["Endpoint"]) == ("sqs", queue)
        attributes = sns.get_subscription_attributes(SubscriptionArn=subscription["SubscriptionArn"])["Attributes"]
        assert attributes["RawMessageDelivery"] == "true"
        dead_letters = json.loads(attributes["RedrivePolicy"])["deadLetterTargetArn"]
        assert dead_letters == f"arn:aws:sqs:{region}:{plane.account}:app-undelivered-events"
        _check_event_arrives(plane, region)
    _check_forwarding(plane)
    assert plane.client("events", AWAY).list_rules()["Rules"] == []  # it named no alarms
    assert "nothing had to be changed" in plane.deploy()

    for wrong in (
        members.replace('name = "app"', 'name = "app"\nautomation_stack = "mrap-sentinal"'),
        members.replace('control_region = "us-east-2"', 'control_region = "us-west-2"'),
    ):
        plane.configure(wrong)
        for told in (plane.deploy("--dry-run", status=1), plane.deploy(status=1)):
            assert "us-east-1, eu-west-1 send replication events" in told
            assert "is mistyped" in told and "run this again with --unwire" in told
    plane.configure(members)
    assert "nothing had to be changed" in plane.deploy()

    plane.client("cloudformation", CONTROL_REGION).delete_stack(StackName="mrap-sentinel")
    assert "no stack mrap-sentinel with a queue is in us-east-2" in plane.deploy(status=1)
    assert len(plane.client("sns", HOME).list_subscriptions()["Subscriptions"]) == 1
    plane.deploy("--unwire")
    assert plane.client("sns", HOME).list_subscriptions()["Subscriptions"] == []
    assert plane.client("events", HOME).list_rules()["Rules"] == []


def test_the_watchdog_is_made_once_there_is_a_heartbeat(build):
    watchdog = '[watchdog]\nregion = "eu-west-2"\n'
    plane = build('notification_email = "oncall@example.com"' + TWO_MEMBERS + watchdog)
    told = plane.deploy()
    assert "not yet: it waits for the heartbeat" in told and "and makes the watchdog" in told
    assert 'HeartbeatRegion="eu-west-2"' in told
    cloudwatch, sns = plane.client("cloudwatch", "eu-west-2"), plane.client("sns", "eu-west-2")
    assert cloudwatch.describe_alarms()["MetricAlarms"] == []

    _make_automation(plane)
    assert "would create stack app-watchdog in eu-west-2" in plane.deploy("--dry-run")
    plane.deploy()
    (alarm,) = cloudwatch.describe_alarms()["MetricAlarms"]
    assert alarm["AlarmName"] == f"mrap-sentinel-{plane.alias().removesuffix('.mrap')}-watchdog"
    dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
    assert dimensions == {"Mrap": plane.alias(), "Region": CONTROL_REGION}
    assert alarm["TreatMissingData"] == "breaching"
    text = alarm["AlarmDescription"]
    for bucket, dial in ((plane.bucket(HOME), 0), (plane.bucket(AWAY), 100)):
        assert f"Bucket={bucket},TrafficDialPercentage={dial}" in text
    assert f"if {plane.bucket(AWAY)} is, swap 0 and 100" in text
    (topic,) = alarm["AlarmActions"]
    subscriptions = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert [(each["Protocol"], each["Endpoint"]) for each in subscriptions] == [("email", "oncall@example.com")]
    assert "nothing had to be changed" in plane.deploy()

    plane.client("cloudformation", CONTROL_REGION).delete_stack(StackName="mrap-sentinel")
    assert "stack app-watchdog in eu-west-2" in plane.tear_down(status=1)
    plane.tear_down("--yes-delete-data")
    assert plane.left_over((*BOTH, "eu-west-2")) == []


def test_people_are_told_of_events_that_do_not_arrive(build):
    plane = build('notification_email = "oncall@example.com"' + TWO_MEMBERS)
    _make_automation(plane)
    plane.deploy()
    topic = f"arn:aws:sns:{AWAY}:{plane.account}:app-alarms"
    sns, sqs = plane.client("sns", AWAY), plane.client("sqs", AWAY)
    subscriptions = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert [(each["Protocol"], each["Endpoint"]) for each in subscriptions] == [("email", "oncall@example.com")]

    inbox = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    inbox_arn = f"arn:aws:sqs:{AWAY}:{plane.account}:inbox"
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=inbox_arn, Attributes={"RawMessageDelivery": "true"})
    _measure_undelivered(plane, 1)
    alarm = _next_alarm(sqs, inbox)
    assert (alarm["AlarmName"], alarm["NewStateValue"]) == ("app-undelivered-events", "ALARM")
    assert f"{CONTROL_REGION}:{plane.account}:replication-events" in alarm["AlarmDescription"]

    plane.client("cloudformation", CONTROL_REGION).delete_stack(StackName="mrap-sentinel")
    plane.deploy("--unwire")
    assert plane.client("cloudwatch", AWAY).describe_alarms()["MetricAlarms"] == []
    sqs.delete_queue(QueueUrl=inbox)
    plane.tear_down("--yes-delete-data")
    assert plane.left_over(BOTH) == []


def test_dial_and_policy_of_others_are_left_alone(build):
    plane = build(TWO_MEMBERS)
    plane.deploy()
    home, away = plane.bucket(HOME), plane.bucket(AWAY)
    plane.turn({home: 0, away: 100})
    own = json.dumps({"Version": "2012-10-17", "Id": "theirs", "Statement": []})
    plane.client("s3control", "us-west-2").put_multi_region_access_point_policy(
        AccountId=plane.account, ClientToken="theirs", Details={"Name": "app", "Policy": own}
    )
    told = plane.deploy()
    assert "it is not ours" in told and "nothing had to be changed" in told
    assert plane.routes() == {home: 0, away: 100}
    assert plane.policy() == own

    # Another order of preference is no other access point, and turns no dial either.
    plane.configure(_swapped())
    told = plane.deploy()
    assert "stack app-access-point in us-west-2: no change" in told
    assert f'Members="{away}@eu-west-1,{home}@us-east-1"' in told
    assert plane.routes() == {home: 0, away: 100}


def test_active_active_leaves_every_dial_on(build):
    plane = build(TWO_MEMBERS.replace("[[member]]", 'topology = "active-active"\n[[member]]', 1))
    plane.deploy()
    assert set(plane.routes().values()) == {100}


def test_what_was_changed_past_cloudformation_is_put_back(build):
    plane = build(TWO_MEMBERS)
    plane.deploy()
    before = plane.rules(HOME)["to-eu-west-1"]
    foreign = {**before, "ID": "theirs", "Priority": 500, "Filter": {"Prefix": "theirs/"}}
    s3, home = plane.s3(HOME), plane.bucket(HOME)
    _leave_only(plane, HOME, foreign)
    s3.put_bucket_lifecycle_configuration(
        Bucket=home,
        LifecycleConfiguration={
            "Rules": [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 1}}]
        },
    )
    told = plane.deploy("--dry-run")
    assert "2 changes would be made" in told
    assert list(plane.rules(HOME)) == ["theirs"]
    told = plane.deploy()
    assert f"put the missing replication rules of {home}" in told
    assert f"put the missing lifecycle rules of {home}" in told
    assert plane.rules(HOME) == {"to-eu-west-1": before, "theirs": foreign}
    lifecycle = s3.get_bucket_lifecycle_configuration(Bucket=home)["Rules"]
    assert [rule["ID"] for rule in lifecycle] == ["canaries", "incomplete-uploads", "x"]
    assert "nothing had to be changed" in plane.deploy()


def test_only_what_differs_is_put_back(build):
    plane = build(TWO_MEMBERS)
    assert "back" not in plane.deploy()  # what is missing at first is no fault
    s3, home = plane.s3(HOME), plane.bucket(HOME)
    _leave_only(plane, HOME, {**plane.rules(HOME)["to-eu-west-1"], "Status": "Disabled"})
    rules = s3.get_bucket_lifecycle_configuration(Bucket=home)["Rules"]
    s3.put_bucket_lifecycle_configuration(
        Bucket=home, LifecycleConfiguration={"Rules": [{**rule, "Status": "Disabled"} for rule in rules]}
    )
    kms = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    s3.put_bucket_encryption(Bucket=home, ServerSideEncryptionConfiguration={"Rules": [kms]})
    s3.put_bucket_versioning(Bucket=home, VersioningConfiguration={"Status": "Suspended"})
    told = plane.deploy()
    for what in ("replication rules", "lifecycle rules", "default encryption"):
        assert f"put the {what} of {home} back" in told
    assert f"switch versioning of {home} on again" in told
    assert "nothing had to be changed" in plane.deploy()


def test_default_retention_is_pointed_out(build):
    plane = build(TWO_MEMBERS)
    assert "WARNING" not in plane.deploy()
    plane.s3(AWAY).put_object_lock_configuration(
        Bucket=plane.bucket(AWAY),
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}},
        },
    )
    told = plane.deploy()
    assert f"WARNING {plane.bucket(AWAY)} has default retention of 30 days" in told
    assert f"WARNING {plane.bucket(HOME)}" not in told


def test_foreign_buckets_are_neither_taken_nor_touched(build):
    plane = build(TWO_MEMBERS)
    taken = plane.bucket(HOME)
    plane.s3(HOME).create_bucket(Bucket=taken)
    plane.s3(HOME).put_object(Bucket=taken, Key="precious", Body=b"")
    told = plane.deploy(status=1)
    assert f"bucket {taken} exists already" in told
    assert plane.stack(HOME, "app-member") is None and plane.stack(AWAY, "app-member") is None
    plane.tear_down("--yes-delete-data")
    assert plane.left_over(BOTH) == [taken]


def test_members_of_an_access_point_are_fixed(build):
    plane = build(TWO_MEMBERS)
    plane.deploy()
    plane.configure(TWO_MEMBERS + '[[member]]\nregion = "ap-southeast-2"\n')
    assert "can never be changed" in plane.deploy(status=1)
    assert plane.stack("ap-southeast-2", "app-member") is None


def _make_automation(plane):
    """What the members need of the automation's stack: a queue."""
    automation = {
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "replication-events"}}},
        "Outputs": {"ReplicationEventsQueueArn": {"Value": {"Fn::GetAtt": ["Queue", "Arn"]}}},
    }
    assert plane.make_stack(CONTROL_REGION, "mrap-sentinel", json.dumps(automation)) == "CREATE_COMPLETE"


def _measure_undelivered(plane, messages):
    """MiniStack measures no queues, so the figure is put as SQS would."""
    plane.client("cloudwatch", AWAY).put_metric_data(
        Namespace="AWS/SQS",
        MetricData=[
            {
                "MetricName": "ApproximateNumberOfMessagesVisible",
                "Dimensions": [{"Name": "QueueName", "Value": "app-undelivered-events"}],
                "Value": messages,
            }
        ],
    )


def _next_alarm(sqs, inbox):
    for _ in range(10):
        for message in sqs.receive_message(QueueUrl=inbox, WaitTimeSeconds=2).get("Messages", []):
            return json.loads(message["Body"])
    raise AssertionError("no alarm arrived")


def _check_policy(plane):
    policy = json.loads(plane.policy())
    assert policy["Id"] == "mrap-sentinel"
    allowed = [statement for statement in policy["Statement"] if statement["Effect"] == "Allow"]
    assert [statement["Principal"] for statement in allowed] == [{"AWS": f"arn:aws:iam::{plane.account}:root"}]
    assert allowed[0]["Resource"] == [plane.mrap_arn(), f"{plane.mrap_arn()}/object/*"]


def _check_role_may_use_keys(plane, region, own, other):
    policy = plane.client("iam", HOME).get_role_policy(RoleName=f"app-replication-{region}", PolicyName="replication")
    by_action = {str(each["Action"]): each for each in policy["PolicyDocument"]["Statement"]}
    assert by_action["kms:Decrypt"]["Resource"] == own
    assert by_action["['kms:Encrypt', 'kms:GenerateDataKey', 'kms:Decrypt']"]["Resource"] == [other]


def _check_event_arrives(plane, region):
    """MiniStack sends no replication events, so one is published as S3 would."""
    event = json.dumps({"Records": [{"eventSource": "aws:s3", "awsRegion": region}]})
    topic = _outputs(plane.stack(region, "app-member"))["ReplicationEventsTopicArn"]
    plane.client("sns", region).publish(TopicArn=topic, Message=event)
    sqs = plane.client("sqs", CONTROL_REGION)
    url = sqs.get_queue_url(QueueName="replication-events")["QueueUrl"]
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
    assert message["Body"] == event  # raw: no envelope of SNS around it
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def _check_forwarding(plane):
    """MiniStack hands events to no bus of another Region, so the rule is judged by its pattern and target."""
    events = plane.client("events", HOME)
    (rule,) = events.list_rules()["Rules"]
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert target["Arn"] == f"arn:aws:events:{CONTROL_REGION}:{plane.account}:event-bus/default"
    sample = {
        "version": "0",
        "id": "6d226bbc-07f0-9a31-3359-1736968f8ded",
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "account": plane.account,
        "time": "2026-10-02T17:04:40Z",
        "region": HOME,
        "resources": [f"arn:aws:cloudwatch:{HOME}:{plane.account}:alarm:app-5xx"],
        "detail": {"alarmName": "app-5xx", "state": {"value": "ALARM"}},
    }

    def forwarded(**detail):
        event = json.dumps({**sample, "detail": {**sample["detail"], **detail}})
        return events.test_event_pattern(EventPattern=rule["EventPattern"], Event=event)["Result"]

    assert forwarded() and forwarded(alarmName="app-latency", state={"value": "OK"})
    assert not forwarded(alarmName="another") and not forwarded(state={"value": "INSUFFICIENT_DATA"})


def _leave_only(plane, region, rule):
    bucket, s3 = plane.bucket(region), plane.s3(region)
    role = s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]["Role"]
    s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration={"Role": role, "Rules": [rule]})


def _allow_without_tls(s3, bucket):
    """MiniStack replicates in the name of whoever writes: over plain HTTP, as these tests do, where AWS uses TLS."""
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    policy["Statement"] = [statement for statement in policy["Statement"] if statement["Sid"] != "TlsOnly"]
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def _swapped():
    return TWO_MEMBERS.replace(HOME, "?").replace(AWAY, HOME).replace("?", AWAY)


def _outputs(stack):
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _template(name):
    from plane import templates

    return (templates.FOLDER / name).read_text()
