"""What the automation is for, played with everything deployed; once as root, once under IAM."""

import json
import time

import events
import pytest
from automation import until

only_enforced = pytest.mark.parametrize("cloud", ["enforced"], indirect=True, scope="session")
only_plain = pytest.mark.parametrize("cloud", ["plain"], indirect=True, scope="session")


@pytest.fixture
def away(plane):
    """The dials after a failover: the second member is the most preferred one that is healthy."""
    return {**plane.dials_at_home, plane.home: 0, plane.regions[1]: 100}


# --- Data ----------------------------------------------------------------------------------------


@only_plain
def test_a_write_through_the_access_point_reaches_both_members(cloud, plane):
    """To home, where the dials send it, and from there to the other."""
    cloud.write_through(plane.alias, "orders/1", b"one")
    found = {}
    for region in plane.regions:
        read = cloud.client("s3", region).get_object(Bucket=plane.bucket(region), Key="orders/1")
        found[region] = (read["Body"].read(), read["ReplicationStatus"])
    assert found == {plane.home: (b"one", "COMPLETED"), plane.regions[1]: (b"one", "REPLICA")}


@only_enforced
def test_every_rule_replicates(cloud, plane):
    """Between three members: each rule as deployed, but alone, as MiniStack follows the first that matches only."""
    arrived = set()
    for source in plane.regions:
        s3, bucket = cloud.client("s3", source), plane.bucket(source)
        deployed = s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]
        for rule in deployed["Rules"]:
            key = f"rules/{source}/{rule['ID']}"
            s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration={**deployed, "Rules": [rule]})
            s3.put_object(Bucket=bucket, Key=key)
            assert s3.head_object(Bucket=bucket, Key=key)["ReplicationStatus"] == "COMPLETED"
            for target in plane.regions:
                listed = cloud.client("s3", target).list_objects_v2(Bucket=plane.bucket(target), Prefix=key)
                if target != source and listed["KeyCount"]:
                    arrived.add((source, target))
        s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration=deployed)
    assert arrived == {(source, target) for source in plane.regions for target in plane.regions if source != target}


# --- Observing -----------------------------------------------------------------------------------


def test_the_first_probes_find_both_sides_good(cloud, plane, observing):
    """Where there are no canaries yet: nothing was written under the prefix before."""
    verdicts = {each["guard"]: each["verdict"] for each in observing.run_output("FailoverDryRunCommand")["guards"]}
    assert (verdicts["evidence-agrees"], verdicts["target-is-healthy"]) == ("pass", "pass")


@only_enforced
def test_a_canary_that_has_not_arrived_is_not_taken_for_a_refusal(cloud, plane, observing):
    """S3 tells what is not there from what is forbidden to those alone who may list the bucket."""
    clients = {plane.bucket(region): cloud.client("s3", region) for region in plane.regions}
    deployed = {name: s3.get_bucket_replication(Bucket=name) for name, s3 in clients.items()}
    try:
        for name, s3 in clients.items():
            s3.delete_bucket_replication(Bucket=name)
            for canary in s3.list_objects_v2(Bucket=name, Prefix=".mrap-sentinel/").get("Contents", []):
                s3.delete_object(Bucket=name, Key=canary["Key"])
        asked_before = len(cloud.proxy.requests)
        observing.command("tick")
    finally:
        for name, s3 in clients.items():
            configuration = deployed[name]["ReplicationConfiguration"]
            s3.put_bucket_replication(Bucket=name, ReplicationConfiguration=configuration)
    got = {(each.bucket, each.status) for each in cloud.proxy.requests[asked_before:] if each.method in ("GET", "HEAD")}
    assert got >= {(name, 404) for name in clients}
    assert not any(status == 403 for _, status in got)


@pytest.mark.parametrize("shape", ["event", "action", "composite", "own"])
def test_a_fresh_deployment_touches_nothing(cloud, plane, observing, alarms, subscribed, shape):
    """Mode observe says what it would do, to whoever listens, and leaves the dials alone."""
    mailbox = subscribed(observing.outputs["NotificationTopicArn"], {"event": ["would-act"]})
    asked_before = len(cloud.proxy.requests)
    with cloud.proxy.down(plane.bucket(plane.home)):
        alarm = alarms.reach(observing, shape)
        said = mailbox.wait_for("would-act", bool)["body"]
    assert (said["outcome"], said["blocking"]) == ("would-act", ["mode-allows"])
    assert (said["from"], said["to"]) == ([plane.home], [plane.regions[1]])
    [trigger] = observing.command("status")["triggers"]
    assert alarm in str(trigger["source"])
    assert observing.dials == plane.dials_at_home
    asked = [each for each in cloud.proxy.requests[asked_before:] if each.path.endswith("/routes")]
    assert {each.method for each in asked} == {"GET"}


# --- Alarms --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "outage"), [("event", "refuse"), ("action", "503"), ("composite", "hang"), ("own", "refuse")]
)
def test_every_shape_of_an_alarm_moves_the_dial(cloud, plane, acting, alarms, away, shape, outage):
    """Event, Lambda action, a composite alarm's message, the template's own alarm; home down in various ways."""
    with cloud.proxy.down(plane.bucket(plane.home), outage):
        alarm = alarms.reach(acting, shape)
        acting.wait_for_dials(away)
        change = acting.command("status")["history"][0]
        assert (change["by"], change["kind"]) == ("automatic", "failover")
        assert f"alarm {alarm} since" in change["reason"]
        until("the proof on the data plane", lambda: not acting.command("status")["unproven"])


@only_plain
@pytest.mark.parametrize(
    ("detail", "passes"),
    [
        ({}, True),
        ({"value": "OK"}, True),
        ({"value": "INSUFFICIENT_DATA"}, False),
        ({"actionsSuppressedBy": "WaitPeriod"}, False),
        ({"muteDetail": {"mutedByArn": "arn:aws:cloudwatch:us-east-2:111122223333:alarm-mute-rule:night"}}, False),
    ],
)
def test_the_rule_lets_through_what_may_trigger(cloud, plane, stack, detail, passes):
    """EventBridge takes no events in AWS's name, so the deployed pattern is asked."""
    eventbridge = cloud.client("events")
    rules = [
        rule
        for rule in eventbridge.list_rules()["Rules"]
        if eventbridge.test_event_pattern(
            EventPattern=rule["EventPattern"], Event=json.dumps(events.event(plane.bucket(plane.home), **detail))
        )["Result"]
    ]
    targets = [eventbridge.list_targets_by_rule(Rule=rule["Name"])["Targets"] for rule in rules]
    assert [[target["Arn"] for target in each] for each in targets] == (
        [[stack.outputs["FailoverFunctionArn"]]] if passes else []
    )


def test_a_good_home_is_not_left(cloud, plane, acting, alarms):
    """An alarm alone moves nothing: the probes must agree."""
    alarms.go_off()
    answer = acting.invoke(events.action(plane.bucket(plane.home)))
    assert answer["outcome"] == "blocked"
    assert answer["blocking"] == ["evidence-agrees"]
    assert acting.dials == plane.dials_at_home


@only_enforced
def test_the_tick_comes_by_itself(cloud, plane, acting, alarms, away):
    """On hold an outage is only noted; after the release no event arrives but the schedule's."""
    home = plane.bucket(plane.home)
    acting.command("hold", reason="maintenance")
    alarms.go_off(events.SLOW_ALARM)
    with cloud.proxy.down(home):
        assert acting.invoke(events.action(home, events.SLOW_ALARM))["blocking"] == ["not-on-hold"]
        acting.command("release", reason="maintenance is over")
        assert acting.dials == plane.dials_at_home
        until("a tick", lambda: acting.dials == away, seconds=75)  # each minute, looked for every ten seconds


@only_enforced
def test_an_open_trigger_is_confirmed(cloud, plane, acting, alarms):
    """After half a minute without news the alarm itself is asked; probes that find home good confirm nothing."""
    alarms.go_off()
    assert acting.invoke(events.action(plane.bucket(plane.home)))["blocking"] == ["evidence-agrees"]
    asked_before = len(cloud.proxy.requests)
    time.sleep(31)
    acting.command("tick")
    assert "DescribeAlarms" in [each.operation for each in cloud.proxy.requests[asked_before:]]
    assert acting.command("status")["triggers"], "it is still in ALARM"
    assert acting.dials == plane.dials_at_home


@only_enforced
def test_the_backlog_is_told(cloud, plane, acting, alarms, away):
    """What S3's metrics say is pending towards the target is part of the announced decision."""
    cloud.client("cloudwatch", plane.regions[1]).put_metric_data(
        Namespace="AWS/S3",
        MetricData=[
            {
                "MetricName": "OperationsPendingReplication",
                "Dimensions": [
                    {"Name": "SourceBucket", "Value": plane.bucket(plane.home)},
                    {"Name": "DestinationBucket", "Value": plane.bucket(plane.regions[1])},
                    {"Name": "RuleId", "Value": f"to-{plane.regions[1]}"},
                ],
                "Value": 7,
            }
        ],
    )
    alarms.go_off()
    with cloud.proxy.down(plane.bucket(plane.home)):
        answer = acting.invoke(events.action(plane.bucket(plane.home)))
    assert answer["outcome"] in ("submitted", "failed-over")
    assert acting.dials == away
    assert f"7 operations pending {plane.home} to {plane.regions[1]}" in answer["explanation"]


# --- People --------------------------------------------------------------------------------------


def test_the_commands_of_the_outputs_work(cloud, plane, acting):
    """Each as it stands there, with the AWS CLI."""
    status = acting.run_output("StatusCommand")
    assert status["outcome"] == "status"
    assert {each["region"]: each["dial"] for each in status["routes"]["before"]} == plane.dials_at_home
    assert acting.run_output("HoldCommand")["outcome"] == "held"
    assert acting.command("status")["hold"]["reason"] == "maintenance"
    assert acting.run_output("ReleaseCommand")["outcome"] == "released"
    assert acting.command("status")["hold"] is None
    asked = acting.run_output("FailoverDryRunCommand")
    assert (asked["from"], asked["to"], asked["by"]) == ([plane.home], [plane.regions[1]], "operator")
    assert acting.dials == plane.dials_at_home


def test_an_operator_switches_over(cloud, plane, acting, away):
    """A planned one, both sides healthy; the readiness check is not there yet."""
    answer = acting.command(
        "failover",
        **{"from": plane.home, "to": plane.regions[1], "reason": "rehearsal"},
        override=["target-not-drifted", "loss-is-acceptable"],
    )
    assert answer["outcome"] in ("switched-over", "submitted")
    acting.wait_for_dials(away)


def test_announcements_pass_the_filters_of_their_subscribers(cloud, plane, acting, subscribed):
    """A hold is no reason to wake anybody; a failover that the machine began is."""
    topic = acting.outputs["NotificationTopicArn"]
    critical = subscribed(topic, {"severity": ["critical"]})
    holds = subscribed(topic, {"event": ["held", "released"], "mrap": [plane.mrap_arn]})
    everything = subscribed(topic)
    acting.command("hold", reason="maintenance")
    acting.command("release", reason="maintenance is over")
    home = plane.bucket(plane.home)
    with cloud.proxy.down(home):
        acting.invoke(events.action(home))
        urgent = critical.wait_for("the failover", lambda letter: letter["attributes"]["event"] == "submitted")
    assert urgent["attributes"]["region"] == plane.home
    assert urgent["Subject"].startswith("CRITICAL: ")
    assert urgent["body"]["eventId"] == urgent["attributes"]["event_id"]
    everything.wait_for("the proof", lambda letter: letter["attributes"]["event"] == "failed-over")
    assert [letter["attributes"]["event"] for letter in holds.receive()] == ["held", "released"]
    assert {letter["attributes"]["severity"] for letter in critical.receive()} == {"critical"}
    # The readiness check may have looked meanwhile, and tells of its own.
    told = [letter["attributes"]["event"] for letter in critical.receive()]
    assert [event for event in told if event != "readiness-changed"] == ["submitted"]
    assert len(everything.receive()) >= 4


# --- What could not be done ----------------------------------------------------------------------


def test_an_event_that_fails_ends_in_the_dead_letter_queue(cloud, stack):
    """After the retries of the template's configuration, with the event and the error in it."""
    function, configured = stack.function, ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")
    client = cloud.client("lambda")
    of_alias = client.get_function_event_invoke_config(FunctionName=function, Qualifier="live")
    assert of_alias["MaximumEventAgeInSeconds"] == 900
    # MiniStack heeds no such configuration of an alias or version: let the function without one have the same.
    client.put_function_event_invoke_config(FunctionName=function, **{name: of_alias[name] for name in configured})
    try:
        client.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps({"poison": "apple"}))
        queue = stack.outputs["FailoverDeadLetterQueueUrl"]
        sqs = cloud.client("sqs")
        message = until("a dead letter", lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))[0]
    finally:
        client.delete_function_event_invoke_config(FunctionName=function)
    letter = json.loads(message["Body"])
    assert letter["requestPayload"] == {"poison": "apple"}
    assert letter["requestContext"]["condition"] == "RetriesExhausted"
    assert '"poison"' in letter["responsePayload"]["errorMessage"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
