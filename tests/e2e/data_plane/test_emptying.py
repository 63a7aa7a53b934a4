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
        s3.put_object(Bucket="to-be-emptied", Key=key, Body=b"x")
    s3.delete_object(Bucket="to-be-emptied", Key="b")
    s3.create_multipart_upload(Bucket="to-be-emptied", Key="unfinished")
    counted = emptying.count(s3, "to-be-emptied")
    assert counted == emptying.Contents(versions=5, size=4, delete_markers=1, uploads=1)
    assert str(counted) == "5 versions of 4 bytes, 1 delete marker, 1 incomplete upload"
    assert emptying.empty(s3, "to-be-emptied", None) == 6
    assert str(emptying.count(s3, "to-be-emptied")) == "empty"
    s3.delete_bucket(Bucket="to-be-emptied")


def test_counting_ends_where_the_number_says_enough(build, monkeypatch):
    from plane import emptying

    s3 = build(TWO_MEMBERS).s3(HOME)
    s3.create_bucket(Bucket="to-be-counted")
    s3.put_object(Bucket="to-be-counted", Key="a", Body=b"xy")
    assert str(emptying.count(s3, "to-be-counted")) == "1 version of 2 bytes"
    monkeypatch.setattr(emptying, "MOST_COUNTED", 0)
    assert str(emptying.count(s3, "to-be-counted")) == "at least 1 version of 2 bytes"


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
