"""Counting and deleting what is in a bucket, a page of a thousand at a time."""

from dataclasses import dataclass

from plane.progress import Failed

PAGE = 1000  # the most that S3 deletes with one call
MOST_COUNTED = 100_000  # beyond that "at least" says enough


@dataclass
class Contents:
    """How much is in a bucket."""

    versions: int = 0
    size: int = 0  # of the versions, in bytes
    delete_markers: int = 0
    uploads: int = 0

    @property
    def entries(self):
        return self.versions + self.delete_markers + self.uploads

    def __str__(self):
        if not self.entries:
            return "empty"
        said = [f"{_number(self.versions, 'version')} of {_number(self.size, 'byte')}"]
        if self.delete_markers:
            said.append(_number(self.delete_markers, "delete marker"))
        if self.uploads:
            said.append(_number(self.uploads, "incomplete upload"))
        return ("at least " if self.entries > MOST_COUNTED else "") + ", ".join(said)


def count(s3, bucket):
    """What is in the bucket; stops counting beyond MOST_COUNTED."""
    found = Contents()
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        found.uploads += len(page.get("Uploads", []))
        if found.entries > MOST_COUNTED:
            return found
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        versions = page.get("Versions", [])
        found.versions += len(versions)
        found.size += sum(version["Size"] for version in versions)
        found.delete_markers += len(page.get("DeleteMarkers", []))
        if found.entries > MOST_COUNTED:
            return found
    return found


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


def _number(number, what):
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _some_versions(s3, bucket):
    page = s3.list_object_versions(Bucket=bucket, MaxKeys=PAGE)
    listed = page.get("Versions", []) + page.get("DeleteMarkers", [])
    return [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in listed]


def _abort_uploads(s3, bucket):
    while uploads := s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        for upload in uploads:
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
