"""What `tear-down` lists, what it waits for, and that only the flag deletes anything."""

import json

import pytest
from planes import CONTROL_REGION, TWO_MEMBERS

HOME, AWAY = "us-east-1", "eu-west-1"
BOTH = (HOME, AWAY)
_READING = ("Get", "List", "Describe", "Head")
_SAM_DELETE = f"`sam delete --stack-name mrap-sentinel --region {CONTROL_REGION}`"


@pytest.fixture
def calls(monkeypatch):
    """The names of all calls that the scripts make from now on."""
    from plane import clients

    made = []
    create = clients.Clients._create

    def watched(self, *arguments):
        client = create(self, *arguments)
        client.meta.events.register("before-call", lambda model, **_: made.append(model.name))
        return client

    monkeypatch.setattr(clients.Clients, "_create", watched)
    return made


@pytest.mark.parametrize("encryption", ["sse-s3", "kms"])
def test_without_the_flag_everything_is_listed_and_left(build, calls, encryption):
    plane = build(f'{TWO_MEMBERS}[encryption]\nkind = "{encryption}"\n')
    plane.deploy()
    s3, home = plane.s3(HOME), plane.bucket(HOME)
    for body in (b"four", b"eleven more"):
        s3.put_object(Bucket=home, Key="data", Body=body)
    s3.delete_object(Bucket=home, Key="data")
    s3.create_multipart_upload(Bucket=home, Key="unfinished")
    plane.s3(AWAY).put_object(Bucket=plane.bucket(AWAY, "app-work"), Key="report", Body=b"!")
    before = plane.snapshot(BOTH)

    calls.clear()
    told = plane.tear_down(status=1)
    assert calls and all(call.startswith(_READING) for call in calls), calls
    assert plane.snapshot(BOTH) == before
    lines = [line.strip() for line in told.splitlines()]
    assert f"What there is in account {plane.account}" in lines
    assert f"access point app: its alias {plane.alias()} never comes back" in lines
    assert f"bucket {home}: 2 versions of 15 bytes, 1 delete marker, 1 incomplete upload" in lines
    assert f"bucket {plane.bucket(HOME, 'app-work')}: empty" in lines
    assert f"bucket {plane.bucket(AWAY, 'app-work')}: 1 version of 1 byte" in lines
    for region, name in ((HOME, "app-member"), (AWAY, "app-member"), ("us-west-2", "app-access-point")):
        assert f"stack {name} in {region}, with all else that is in it" in lines
    assert told.count("it ends 30 days later") == (2 if encryption == "kms" else 0)
    assert lines[-1].startswith("Nothing was deleted. To delete all of this for ever: /")
    assert lines[-1].endswith(f"/data-plane/tear-down {plane.file} --yes-delete-data")


def test_nothing_at_all_is_deleted_of_what_is_empty(build, calls):
    plane = build(TWO_MEMBERS)
    plane.deploy()
    alias = plane.alias()
    calls.clear()
    told = plane.tear_down(status=1)
    assert told.count(": empty") == 4 and "Nothing was deleted" in told
    assert all(call.startswith(_READING) for call in calls), calls
    assert plane.alias() == alias and "nothing had to be changed" in plane.deploy()


def test_what_an_interrupted_run_left_is_listed(build, monkeypatch):
    from plane import tearing_down

    plane = build(TWO_MEMBERS + '[encryption]\nkind = "kms"\n')
    plane.deploy()

    def interrupted(self, region, key):
        schedule(self, region, key)
        raise KeyboardInterrupt

    schedule = tearing_down.TearDown._schedule_key_deletion
    with monkeypatch.context() as patch:
        patch.setattr(tearing_down.TearDown, "_schedule_key_deletion", interrupted)
        assert "interrupted. Run this again" in plane.tear_down("--yes-delete-data", status=1)
    told = plane.tear_down(status=1)
    assert told.count("stack app-member in") == 2
    assert told.count("its deletion is scheduled already") == told.count("it ends 30 days later") == 1
    assert "access point" not in told and "bucket " not in told
    plane.tear_down("--yes-delete-data")
    assert plane.left_over(BOTH) == []
    for arguments in ((), ("--yes-delete-data",)):
        assert "there was nothing left" in plane.tear_down(*arguments)


def test_the_flag_is_not_guessed(build):
    plane = build(TWO_MEMBERS)
    assert "unrecognized arguments: --yes" in plane.tear_down("--yes", status=2)


def test_the_automation_goes_first(build, calls):
    plane = build(TWO_MEMBERS)
    plane.deploy()
    _make_automation(plane, [plane.bucket(HOME), plane.bucket(AWAY)])
    told = plane.tear_down(status=1)
    assert f"NOTE stack mrap-sentinel in {CONTROL_REGION} still watches" in told and f"first {_SAM_DELETE}" in told
    assert f"bucket {plane.bucket(HOME)}: empty" in told

    calls.clear()
    told = plane.tear_down("--yes-delete-data", status=1)
    assert "nothing was deleted" in told and f"Remedy: {_SAM_DELETE} first, then run this again" in told
    assert all(call.startswith(_READING) for call in calls), calls

    plane.client("cloudformation", CONTROL_REGION).delete_stack(StackName="mrap-sentinel")
    plane.tear_down("--yes-delete-data")
    assert plane.left_over(BOTH) == []


def test_the_automation_of_other_buckets_is_none_of_its_business(build):
    plane = build(TWO_MEMBERS)
    plane.deploy()
    _make_automation(plane, ["theirs-a", "theirs-b"])
    assert "mrap-sentinel" not in plane.tear_down(status=1)
    assert "mrap-sentinel" not in plane.tear_down("--yes-delete-data")
    assert plane.stack(CONTROL_REGION, "mrap-sentinel") is not None


def _make_automation(plane, buckets):
    """What tells which buckets an automation watches: a parameter of its stack."""
    automation = {
        "Parameters": {"Members": {"Type": "CommaDelimitedList"}},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    }
    members = ",".join(f"{bucket}@{region}" for bucket, region in zip(buckets, BOTH))
    made = plane.make_stack(CONTROL_REGION, "mrap-sentinel", json.dumps(automation), {"Members": members})
    assert made == "CREATE_COMPLETE"
