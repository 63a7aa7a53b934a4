"""Counting and deleting what is in a bucket, a page of a thousand at a time."""

from plane.progress import Failed

PAGE = 1000  # the most that S3 deletes with one call
MOST_COUNTED = 100_000  # beyond that "more than" says enough


def count(s3, bucket):
    """Versions, delete markers and incomplete uploads; stops counting at MOST_COUNTED."""
    found = sum(1 for _ in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []))
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found += len(page.get("Versions", [])) + len(page.get("DeleteMarkers", []))
        if found > MOST_COUNTED:
            break
    return found


def shown(found):
    return f"more than {MOST_COUNTED}" if found > MOST_COUNTED else str(found)


def empty(s3, bucket, progress):
    """Deletes every version, delete marker and incomplete upload."""
    _abort_uploads(s3, bucket)
    deleted = 0
    # Always from the beginning: what a page listed is gone, and a listing that goes on could skip what came meanwhile.
    while names := _some_versions(s3, bucket):
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": names, "Quiet": True})
        if errors := answer.get("Errors"):
            raise Failed(
                f"{bucket}: {len(errors)} of {len(names)} versions cannot be deleted, the first with "
                f"{errors[0].get('Code')}: {errors[0].get('Message')}. Remedy: locked versions stay until their "
                "retention or legal hold ends; then run this again"
            )
        before, deleted = deleted // 10_000, deleted + len(names)
        if deleted // 10_000 > before:
            progress.say(f"{bucket}: {deleted} versions deleted so far")
    return deleted


def _some_versions(s3, bucket):
    page = s3.list_object_versions(Bucket=bucket, MaxKeys=PAGE)
    listed = page.get("Versions", []) + page.get("DeleteMarkers", [])
    return [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in listed]


def _abort_uploads(s3, bucket):
    while uploads := s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        for upload in uploads:
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
