"""Data that arrives while a tear-down is under way, which takes AWS minutes."""

import pytest
from planes import TWO_MEMBERS

HOME, AWAY = "us-east-1", "eu-west-1"


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ("DeleteStack", "the access point is gone, the buckets are as they were"),
        ("DeleteBucketReplication", "was filled meanwhile"),
    ],
)
def test_nothing_is_deleted_that_nobody_gave_up(build, monkeypatch, after, told):
    from plane import clients

    plane = build(TWO_MEMBERS)
    plane.deploy()
    s3, bucket = plane.s3(AWAY), plane.bucket(AWAY)
    create = clients.Clients._create

    def put(**_):
        s3.put_object(Bucket=bucket, Key="late", Body=b"x")

    def watched(self, *arguments):
        client = create(self, *arguments)
        client.meta.events.register(f"after-call.*.{after}", put)
        return client

    with monkeypatch.context() as patch:
        patch.setattr(clients.Clients, "_create", watched)
        said = plane.tear_down(status=1)
    assert told in said and bucket in said and "run this again with --yes-delete-data" in said
    assert s3.get_object(Bucket=bucket, Key="late")["Body"].read() == b"x"
    assert "nothing was changed" in plane.tear_down(status=1)
    plane.tear_down("--yes-delete-data")
    assert plane.left_over((HOME, AWAY)) == []
