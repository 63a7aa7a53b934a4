"""Data that arrives while its bucket is being deleted: what was on its way goes too, but nobody is chased for ever."""

import pytest
from planes import TWO_MEMBERS

HOME, AWAY = "us-east-1", "eu-west-1"


@pytest.fixture
def late(build, monkeypatch):
    """`late(times)`: a deployed data plane whose bucket is filled before so many attempts to delete it."""
    from plane import clients

    def make(times):
        plane = build(TWO_MEMBERS)
        plane.deploy()
        left = iter(range(times))
        create = clients.Clients._create

        def put(params, **_):
            bucket = plane.bucket(AWAY)
            if params["url"].endswith(f"/{bucket}") and next(left, None) is not None:
                plane.s3(AWAY).put_object(Bucket=bucket, Key="late", Body=b"x")

        def watched(self, *arguments):
            client = create(self, *arguments)
            client.meta.events.register("before-call.s3.DeleteBucket", put)
            return client

        monkeypatch.setattr(clients.Clients, "_create", watched)
        return plane

    return make


def test_what_arrives_late_is_deleted_too(late):
    plane = late(2)
    told = plane.tear_down("--yes-delete-data")
    assert told.count(f"{plane.bucket(AWAY)}: 1 versions and delete markers deleted") == 2
    assert plane.left_over((HOME, AWAY)) == []


def test_a_bucket_that_never_gets_empty_is_told(late):
    plane = late(5)
    told = plane.tear_down("--yes-delete-data", status=1)
    assert f"{plane.bucket(AWAY)} fills faster than it is emptied: stop whoever writes to it" in told
    plane.tear_down("--yes-delete-data")
    assert plane.left_over((HOME, AWAY)) == []
