"""The command that `deploy` prints at its end: bash and SAM must read in it what was meant."""

import json
import subprocess

import processes
import pytest
from planes import TWO_MEMBERS

HOME, AWAY = "us-east-1", "eu-west-1"


def _read_by_sam(told):
    """Stack name, Region and parameters, as SAM understands what bash makes of the printed lines."""
    command = told[told.index("sam deploy") :].partition("\n\n")[0]
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
        "Topology": "active-passive",
        "CanaryPrefix": ".mrap-sentinel",
        "ReplicationEventTopicArns": ",".join(topics),
        "NotificationEmail": "oncall@example.com",
    }
    assert keys == "none" if encryption == "sse-s3" else keys.count(":key/") == 2


def test_forwarded_alarms_are_let_in(build):
    """Each once, whatever their names have in them."""
    alarms = 'alarms = ["it\'s 5% of $HOME", "app-5xx"]\n'
    plane = build(TWO_MEMBERS.replace('"us-east-1"\n', f'"us-east-1"\n{alarms}') + 'alarms = ["app-5xx", "away"]\n')
    _, _, parameters = _read_by_sam(plane.deploy())
    assert parameters["TriggerAlarms"] == "it's 5% of $HOME,app-5xx,away"
