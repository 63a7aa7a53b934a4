"""Stacks that only share a name with ours: neither script may touch them or what they hold."""

import json

import pytest
from planes import TWO_MEMBERS

HOME, AWAY = "us-east-1", "eu-west-1"


@pytest.mark.parametrize(
    ("region", "name"), [(HOME, "app-member"), (AWAY, "app-member"), ("us-west-2", "app-access-point")]
)
def test_a_foreign_stack_is_left_alone(build, region, name):
    plane = build(TWO_MEMBERS)
    assert plane.make_stack(region, name, _holding(plane)) == "CREATE_COMPLETE"
    plane.s3(region).put_object(Bucket=_theirs(plane), Key="precious", Body=b"hello")
    stack = plane.stack(region, name)
    for told in (
        plane.deploy("--dry-run", status=1),
        plane.deploy(status=1),
        plane.tear_down(status=1),
        plane.tear_down("--yes-delete-data", status=1),
    ):
        assert f"stack {name} in {region} is not of this data plane" in told and "Remedy: choose another name" in told
    assert plane.stack(region, name) == stack
    assert plane.s3(region).get_object(Bucket=_theirs(plane), Key="precious")["Body"].read() == b"hello"
    assert sorted(plane.left_over((HOME, AWAY))) == [name, _theirs(plane)]  # and nothing of ours came beside it


def test_the_tag_of_another_data_plane_is_not_ours(build):
    plane = build(TWO_MEMBERS)
    plane.make_stack(HOME, "app-member", _holding(plane), tags={"mrap-sentinel": "another"})
    assert "does not bear the tag mrap-sentinel=app" in plane.tear_down("--yes-delete-data", status=1)
    assert sorted(plane.left_over((HOME, AWAY))) == ["app-member", _theirs(plane)]


def test_what_somebody_else_prepared_is_no_leftover_of_ours(build):
    plane = build(TWO_MEMBERS)
    plane.client("cloudformation", AWAY).create_change_set(
        StackName="app-member", ChangeSetName="theirs", ChangeSetType="CREATE", TemplateBody=_holding(plane)
    )
    assert "is not of this data plane" in plane.deploy(status=1)
    assert plane.stack(AWAY, "app-member")["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert plane.stack(HOME, "app-member") is None


def _theirs(plane):
    return f"theirs-{plane.account}"


def _holding(plane):
    """The template of a stack that holds somebody else's bucket."""
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": _theirs(plane)}}
    return json.dumps({"Resources": {"Bucket": bucket}})
