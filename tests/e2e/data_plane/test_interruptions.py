"""A script that is killed after any of its calls goes on when it is run again, to the same end."""

import collections
import contextlib
import io

import pytest
from planes import TWO_MEMBERS

HOME, AWAY = "us-east-1", "eu-west-1"
BOTH = (HOME, AWAY)
_CHANGING = ("Create", "Update", "Put", "Submit", "Delete", "Schedule")


class Killed(BaseException):
    """Not an Exception: nothing in the scripts may catch it, as nothing catches SIGKILL."""


@pytest.fixture
def killed(monkeypatch):
    """`killed(work)`: runs `work` and ends it after its first changing call; says which call that was, or None."""
    from plane import clients

    def run(work):
        made = []

        def kill(model, **_):
            if model.name.startswith(_CHANGING):
                made.append(model.name)
                raise Killed

        create = clients.Clients._create

        def deadly(self, *arguments):
            client = create(self, *arguments)
            client.meta.events.register("after-call", kill)
            return client

        with monkeypatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
            patch.setattr(clients.Clients, "_create", deadly)
            try:
                work()
            except Killed:
                return made[0]
        assert not made
        return None

    return run


def test_a_deployment_that_is_killed_after_every_call_arrives(build, killed):
    undisturbed = build(TWO_MEMBERS)
    undisturbed.deploy()
    plane = build(TWO_MEMBERS)
    assert _calls_until_done(killed, plane.deploy) == {
        "CreateStack": 3,
        "UpdateStack": 2,
        "SubmitMultiRegionAccessPointRoutes": 1,
        "PutMultiRegionAccessPointPolicy": 1,
        # What MiniStack's CloudFormation leaves out, and somebody may take away on AWS.
        "PutBucketLifecycleConfiguration": 2,
        "PutBucketReplication": 2,
    }
    assert plane.snapshot(BOTH) == undisturbed.snapshot(BOTH)
    assert "nothing had to be changed" in plane.deploy()


def test_a_tear_down_that_is_killed_after_every_call_arrives(build, killed):
    plane = build(TWO_MEMBERS + '[encryption]\nkind = "kms"\n')
    plane.deploy()
    plane.s3(HOME).put_object(Bucket=plane.bucket(HOME), Key="data", Body=b"")
    assert _calls_until_done(killed, lambda: plane.tear_down("--yes-delete-data")) == {
        "DeleteStack": 3,
        "PutBucketNotificationConfiguration": 2,
        "DeleteBucketReplication": 2,
        "DeleteObjects": 2,
        "DeleteBucket": 4,
        "ScheduleKeyDeletion": 2,
    }
    assert plane.left_over(BOTH) == []


def _calls_until_done(killed, work):
    """How often each call was the last of a run."""
    calls = collections.Counter()
    while call := killed(work):
        calls[call] += 1
        assert calls.total() < 30, calls
    return calls


def test_a_change_set_that_was_never_executed_is_no_obstacle(build):
    plane = build(TWO_MEMBERS)
    plane.client("cloudformation", AWAY).create_change_set(
        StackName="app-member",
        ChangeSetName="forgotten",
        ChangeSetType="CREATE",
        TemplateBody='{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}',
        Tags=[{"Key": "mrap-sentinel", "Value": "app"}],
    )
    assert plane.stack(AWAY, "app-member")["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert "remove what a failed creation left" in plane.deploy()
    assert plane.stack(AWAY, "app-member")["StackStatus"] == "UPDATE_COMPLETE"


def test_a_creation_that_was_rolled_back_is_repeated(build, monkeypatch):
    from plane import deploying

    plane = build(TWO_MEMBERS)
    taken = plane.bucket(AWAY)
    with monkeypatch.context() as patch:  # the bucket appears after the check for it
        patch.setattr(deploying.Deployment, "_check_names_are_free", lambda *_: None)
        plane.s3(AWAY).create_bucket(Bucket=taken, CreateBucketConfiguration={"LocationConstraint": AWAY})
        told = plane.deploy(status=1)
    assert "stack app-member in eu-west-1 is ROLLBACK_COMPLETE: Bucket:" in told and "run this again" in told
    assert f"bucket {taken} exists already" in plane.deploy(status=1)
    assert f"bucket {taken}" not in plane.tear_down(status=1)
    plane.tear_down("--yes-delete-data")
    assert plane.left_over(BOTH) == [taken]  # named in the failed stack, but not the stack's

    with monkeypatch.context() as patch:
        patch.setattr(deploying.Deployment, "_check_names_are_free", lambda *_: None)
        plane.deploy(status=1)
    plane.s3(AWAY).delete_bucket(Bucket=taken)
    told = plane.deploy()
    assert "stack app-member in us-east-1: exists" in told
    assert "remove what a failed creation left of stack app-member in eu-west-1 (ROLLBACK_COMPLETE)" in told
    assert plane.rules(HOME).keys() == {"to-eu-west-1"}
