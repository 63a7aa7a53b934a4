"""Emptying a bucket: page by page, everything, and what cannot be deleted is told."""

import pytest
from planes import TWO_MEMBERS

HOME = "us-east-1"


def test_every_kind_of_version_goes_page_by_page(build, monkeypatch):
    from plane import emptying

    monkeypatch.setattr(emptying, "PAGE", 2)
    s3 = build(TWO_MEMBERS).s3(HOME)
    s3.create_bucket(Bucket="to-be-emptied")
    s3.put_object(Bucket="to-be-emptied", Key="null", Body=b"")  # before versioning
    s3.put_bucket_versioning(Bucket="to-be-emptied", VersioningConfiguration={"Status": "Enabled"})
    for key in ("a", "a", "b", "c d/\u00e9+%"):
        s3.put_object(Bucket="to-be-emptied", Key=key, Body=b"")
    s3.delete_object(Bucket="to-be-emptied", Key="b")
    s3.create_multipart_upload(Bucket="to-be-emptied", Key="unfinished")
    assert emptying.count(s3, "to-be-emptied") == 7
    assert emptying.empty(s3, "to-be-emptied", None) == 6
    assert emptying.count(s3, "to-be-emptied") == 0
    s3.delete_bucket(Bucket="to-be-emptied")


def test_counting_ends_where_the_number_says_enough(build, monkeypatch):
    from plane import emptying

    monkeypatch.setattr(emptying, "MOST_COUNTED", 2)
    s3 = build(TWO_MEMBERS).s3(HOME)
    s3.create_bucket(Bucket="to-be-counted")
    for key in "abc":
        s3.put_object(Bucket="to-be-counted", Key=key, Body=b"")
    assert emptying.shown(emptying.count(s3, "to-be-counted")) == "more than 2"
    assert emptying.shown(2) == "2"


def test_locked_versions_stay_and_are_told(build):
    plane = build(TWO_MEMBERS)
    plane.deploy()
    s3, bucket = plane.s3(HOME), plane.bucket(HOME)
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    s3.put_object(Bucket=bucket, Key="locked", Body=b"")
    s3.put_object_legal_hold(Bucket=bucket, Key="locked", LegalHold={"Status": "ON"})
    told = plane.tear_down("--yes-delete-data", status=1)
    assert f"{bucket}: 1 of 1 versions cannot be deleted" in told and "legal hold" in told
    s3.put_object_legal_hold(Bucket=bucket, Key="locked", LegalHold={"Status": "OFF"})
    plane.tear_down("--yes-delete-data")
    assert plane.left_over((HOME, "eu-west-1")) == []
