"""Where MiniStack is known to answer otherwise than AWS documents.

A test asserts that each of them still exists, so that this list cannot outlive its reasons.
There is none for the simulator: what it gets wrong is mended. docs/emulators.md says it in words.
"""

from dataclasses import dataclass

from playing import Absent, Expected, ok, refused
from world import ALARM


@dataclass(frozen=True)
class Deviation:
    """What MiniStack answers instead."""

    expected: Expected
    reason: str


_ACCEPTED = "accepts what AWS refuses"
_ALARMS = {
    "by name": Deviation(
        ok(MetricAlarms=[{"AlarmName": ALARM, "StateTransitionedTimestamp": Absent}]), "no time of the transition"
    ),
    "without a description": Deviation(
        ok(MetricAlarms=[{"AlarmDescription": "", "StateTransitionedTimestamp": Absent}]),
        "an empty description instead of none; no time of the transition",
    ),
    "settled": Deviation(
        ok(MetricAlarms=[{"StateValue": "OK", "StateReason": "over", "StateReasonData": '{"version":"1.0"}'}]),
        "keeps the last state's reason data",
    ),
}
_METRICS = {
    "sum": Deviation(ok(MetricDataResults=[{"Id": "q", "Values": [5.0, 9.0]}]), "oldest first by default; AWS: newest first"),
}
_MINISTACK = {
    "objects": {
        "get default type": Deviation(ok(ContentType="application/octet-stream"), "S3's default is binary/octet-stream"),
        "key of 1025 bytes": Deviation(ok(), _ACCEPTED),
    },
    "conditional-put": {
        "if-none-match of an etag": Deviation(ok(), f"{_ACCEPTED}: S3 knows only `*` here"),
    },
    "conditional-delete": {
        "any, but deleted": Deviation(refused(404, "NoSuchKey"), "a delete marker counts as nothing; S3 answers 412"),
    },
    "multipart-refusals": {
        "order": Deviation(ok(), f"{_ACCEPTED}: sorts the parts itself"),
        "small": Deviation(ok(), f"{_ACCEPTED}: parts may have any size"),
    },
    "replication": {
        "copy": Deviation(ok(ReplicationStatus="REPLICA", VersionId=str), "a replica gets a version id of its own"),
    },
    "routes": {
        "another account": Deviation(ok(), f"{_ACCEPTED}: `x-amz-account-id` of another account"),
    },
    "publish": {
        **{
            step: Deviation(ok(MessageId=str), f"{_ACCEPTED}: message, subject and attributes are not checked")
            for step in (
                "without default",
                "broken JSON",
                "unknown structure",
                "empty message",
                "subject of 101 characters",
                "subject beyond ASCII",
                "subject with a line break",
                "subject that begins with a space",
                "empty attribute",
            )
        },
        **{
            step: Deviation(refused(404, "NotFound"), "any unknown ARN is `NotFound`")
            for step in ("not an ARN", "topic of another Region", "topic of another account")
        },
    },
    "alarms-in-cbor": _ALARMS,
    "alarms-in-json": _ALARMS,
    "metrics-in-cbor": _METRICS,
    "metrics-in-json": _METRICS,
}

# Members that one server sends and the other does not, by operation, where both did the same.
ONLY_SIMULATOR = {
    # S3 encrypts every object, and echoes the checksum that it was sent.
    "PutObject ChecksumCRC32",
    "PutObject ChecksumType",
    "PutObject ServerSideEncryption",
    "GetObject ServerSideEncryption",
    "HeadObject ServerSideEncryption",
    "CreateMultipartUpload ServerSideEncryption",
    "UploadPart ServerSideEncryption",
    "CompleteMultipartUpload ServerSideEncryption",
    # Echoed where it was asked for.
    "ListObjectVersions EncodingType",
    "DescribeAlarms MetricAlarms[].StateTransitionedTimestamp",
    "GetMetricData Messages[]",  # empty
}
ONLY_MINISTACK = {
    # S3 sends the owner's id too; nothing here reads it.
    "ListObjectVersions Versions[].Owner.ID",
    "ListObjectVersions Versions[].Owner.DisplayName",
    "ListObjectVersions DeleteMarkers[].Owner.ID",
    "ListObjectVersions DeleteMarkers[].Owner.DisplayName",
    *(
        f"{place}{who}.{what}"
        for place in ("ListMultipartUploads Uploads[].", "ListParts ")
        for who in ("Owner", "Initiator")
        for what in ("ID", "DisplayName")
    ),
    # The checksum that each part was sent with; nothing here reads it.
    "ListParts Parts[].ChecksumCRC32",
    # Documented for directory buckets only.
    "HeadBucket BucketArn",
    # Empty descriptions, where none was given; reason data of an earlier state.
    "DescribeAlarms MetricAlarms[].AlarmDescription",
    "DescribeAlarms MetricAlarms[].StateReasonData",
    "DescribeAlarms CompositeAlarms[].AlarmDescription",
}


def of(server):
    """Deviations of a server by scenario and step."""
    if server != "ministack":
        return {}
    return {(scenario, step): known for scenario, steps in _MINISTACK.items() for step, known in steps.items()}
