"""The command that `deploy` prints at its end: bash and SAM must read in it what was meant."""

import json
import subprocess

import processes
import pytest
from planes import CONTROL_REGION, TWO_MEMBERS

HOME, AWAY = "us-east-1", "eu-west-1"


def _read_by_sam(told):
    """Stack name, Region and parameters, as SAM understands what bash makes of the printed lines."""
    command = told[told.index("\nsam deploy") + 1 :].partition("\n\n")[0]
    words = subprocess.run(
        ["bash", "-euc", f"sam() {{ printf '%s\\0' \"$@\"; }}\n{command}"], capture_output=True, check=True, timeout=10
    )
    words = words.stdout.decode().split("\0")[:-1]
    assert (words[:2], words[3], words[5]) == (["deploy", "--stack-name"], "--region", "--parameter-overrides")
    parse = "import json, sys; from samcli.cli.types import CfnParameterOverridesType as Type; "
    parse += "print(json.dumps(Type().convert(sys.argv[1:], None, None)))"
    python = processes.REPOSITORY / ".venv-sam" / "bin" / "python"
    read = subprocess.run([python, "-c", parse, *words[6:]], capture_output=True, text=True, timeout=60)
    assert read.returncode == 0, read.stderr
    return words[2], words[4], json.loads(read.stdout)


@pytest.mark.parametrize("encryption", ["sse-s3", "kms"])
def test_nothing_is_empty(build, encryption):
    plane = build(f'notification_email = "oncall@example.com"{TWO_MEMBERS}[encryption]\nkind = "{encryption}"\n')
    stack, region, parameters = _read_by_sam(plane.deploy())
    assert (stack, region) == ("mrap-sentinel", "us-east-2")
    topics = [f"arn:aws:sns:{region}:{plane.account}:app-replication-events" for region in (HOME, AWAY)]
    keys = parameters.pop("MemberKmsKeyArns", "none")
    assert parameters == {
        "MrapArn": plane.mrap_arn(),
        "Members": f"{plane.bucket(HOME)}@us-east-1,{plane.bucket(AWAY)}@eu-west-1",
        "WorkBuckets": f"app-work-{plane.account}-us-east-1@us-east-1,app-work-{plane.account}-eu-west-1@eu-west-1",
        "Topology": "active-passive",
        "CanaryPrefix": ".mrap-sentinel",
        "ReplicationEventTopicArns": ",".join(topics),
        "NotificationEmail": "oncall@example.com",
    }
    assert keys == "none" if encryption == "sse-s3" else keys.count(":key/") == 2


def test_a_work_bucket_with_a_name_of_its_own_is_given_as_such(build):
    named = TWO_MEMBERS.replace('"us-east-1"\n', '"us-east-1"\nwork_bucket = "app-manifests"\n')
    plane = build(named)
    _, _, parameters = _read_by_sam(plane.deploy())
    home, away = parameters["WorkBuckets"].split(",")
    assert (home, away) == ("app-manifests@us-east-1", f"app-work-{plane.account}-eu-west-1@eu-west-1")
    for bucket in (each.partition("@")[0] for each in (home, away)):
        plane.s3("us-east-1").head_bucket(Bucket=bucket)


def test_forwarded_alarms_are_let_in(build):
    """Each once, whatever their names have in them."""
    alarms = 'alarms = ["it\'s 5% of $HOME", "app-5xx"]\n'
    plane = build(TWO_MEMBERS.replace('"us-east-1"\n', f'"us-east-1"\n{alarms}') + 'alarms = ["app-5xx", "away"]\n')
    _, _, parameters = _read_by_sam(plane.deploy())
    assert parameters["TriggerAlarms"] == "it's 5% of $HOME,app-5xx,away"


_NOBODY = "NOTE nobody is told of anything yet: append NotificationEmail=… or subscribe to the automation's topic"
_NEXT = "Next, from the checkout's root after `sam build`:\n\nsam deploy --stack-name"
_REFERENCE = "Its parameters, for the next `sam deploy` from the checkout's root:\n\nsam deploy --stack-name"


def test_it_is_the_next_step_until_all_is_wired_and_then_a_reference(build):
    plane = build(TWO_MEMBERS)
    told = plane.deploy()
    assert _NEXT in told and _REFERENCE not in told and "Then run this again" in told
    _make_automation(plane)
    told = plane.deploy()
    assert f"The automation is deployed and wired. {_REFERENCE}" in told
    assert _NEXT not in told and "Then run this again" not in told


def test_it_says_whether_anybody_will_be_told(build):
    plane = build('notification_email = "oncall@example.com"' + TWO_MEMBERS)
    assert "NOTE" not in plane.deploy()
    plane.configure(TWO_MEMBERS)
    assert _NOBODY in plane.deploy().splitlines()
    topic = _make_automation(plane)
    assert _NOBODY in plane.deploy().splitlines()
    sns = plane.client("sns", CONTROL_REGION)
    subscription = sns.subscribe(
        TopicArn=topic, Protocol="email", Endpoint="oncall@example.com", ReturnSubscriptionArn=True
    )
    assert "NOTE" not in plane.deploy()
    sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    assert _NOBODY in plane.deploy().splitlines()
    second = "arn:aws:sns:us-west-1:111122223333:pager"
    plane.client("cloudformation", CONTROL_REGION).update_stack(
        StackName="mrap-sentinel",
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": "SecondTopicArn", "ParameterValue": second}],
    )
    assert "NOTE" not in plane.deploy()


def _make_automation(plane):
    """What `deploy` looks at of the automation's stack; answers with the topic's ARN."""
    automation = {
        "Parameters": {"SecondTopicArn": {"Type": "String", "Default": ""}},
        "Resources": {
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "replication-events"}},
            "Topic": {"Type": "AWS::SNS::Topic"},
        },
        "Outputs": {
            "ReplicationEventsQueueArn": {"Value": {"Fn::GetAtt": ["Queue", "Arn"]}},
            "NotificationTopicArn": {"Value": {"Ref": "Topic"}},
        },
    }
    assert plane.make_stack(CONTROL_REGION, "mrap-sentinel", json.dumps(automation)) == "CREATE_COMPLETE"
    outputs = plane.stack(CONTROL_REGION, "mrap-sentinel")["Outputs"]
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}["NotificationTopicArn"]
