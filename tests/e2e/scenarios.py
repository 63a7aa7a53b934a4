"""What this project believes of AWS, as tables of calls and answers.

Each scenario names its source in the AWS documentation. Both servers play all of them
(test_conformance.py); the simulator's answers are also held against botocore's service models
(test_models.py).
"""

from datetime import UTC, datetime, timedelta
from hashlib import md5

from playing import Absent, Mrap, Ref, Scenario, Step, ok, refused
from world import (
    ACCOUNT, ALARM, ALARM_DESCRIPTION, AWAY, AWAY_REGION, COMPOSITE, CONTROL_REGION, HOME, HOME_REGION, PLAIN,
    SECOND_ALARM, STATE, TOPIC,
)

FIVE_MIB = 5 * 1024 * 1024
CONTROL_ENDPOINTS = ("us-east-1", "us-west-2", "ap-southeast-2", "ap-northeast-1", "eu-west-1")
S3_GUIDE = "https://docs.aws.amazon.com/AmazonS3/latest/userguide"
S3_API = "https://docs.aws.amazon.com/AmazonS3/latest/API"


def etag(body):
    return f'"{md5(body, usedforsecurity=False).hexdigest()}"'


def etag_of_parts(*parts):
    digests = b"".join(md5(part, usedforsecurity=False).digest() for part in parts)
    return f'{etag(digests)[:-1]}-{len(parts)}"'


def s3(name, operation, expected, bucket=STATE, region=CONTROL_REGION, eventually=False, **parameters):
    return Step(name, "s3", region, operation, {"Bucket": bucket, **parameters}, expected, eventually)


def routes(name, operation, expected, region=HOME_REGION, mrap=Mrap, **parameters):
    return Step(name, "s3control", region, operation, {"AccountId": ACCOUNT, "Mrap": mrap, **parameters}, expected)


def publish(name, expected, topic=TOPIC, region=CONTROL_REGION, **parameters):
    parameters = {"TopicArn": topic, "Message": "text", **parameters}
    return Step(name, "sns", region, "Publish", parameters, expected)


def dial(bucket, percentage):
    return {"Bucket": bucket, "TrafficDialPercentage": percentage}


def shown(home, away):
    """The routes of the world's MRAP as the routes API shows them."""
    return ok(
        Mrap=Mrap,
        Routes=[
            {"Bucket": HOME, "Region": HOME_REGION, "TrafficDialPercentage": home},
            {"Bucket": AWAY, "Region": AWAY_REGION, "TrafficDialPercentage": away},
        ],
    )


OBJECTS = Scenario(
    "objects",
    "An object comes back as it was written; what is missing has an error of its own, which a HEAD cannot name.",
    f"{S3_API}/API_GetObject.html, API_PutObject.html, ErrorResponses.html",
    (
        s3("put", "PutObject", ok(ETag=etag(b"one two"), VersionId=str), Key="objects/a", Body=b"one two",
           ContentType="text/plain", Metadata={"round": "7"}),
        s3("get", "GetObject", ok(
            Body=b"one two", ETag=etag(b"one two"), VersionId=Ref("put", "VersionId"), ContentLength=7,
            ContentType="text/plain", Metadata={"round": "7"}, LastModified=datetime, ReplicationStatus=Absent,
        ), Key="objects/a"),
        s3("head", "HeadObject", ok(
            ETag=etag(b"one two"), VersionId=Ref("put", "VersionId"), ContentLength=7, Metadata={"round": "7"},
        ), Key="objects/a"),
        s3("range", "GetObject", ok(206, Body=b"two", ContentLength=3, ContentRange="bytes 4-6/7"),
           Key="objects/a", Range="bytes=4-"),
        s3("range beyond the end", "GetObject", refused(416, "InvalidRange"), Key="objects/a", Range="bytes=70-"),
        s3("default type", "PutObject", ok(), Key="objects/b", Body=b""),
        s3("get default type", "GetObject", ok(ContentType="binary/octet-stream", ContentLength=0, Body=b""), Key="objects/b"),
        s3("unchanged", "GetObject", refused(304, "304"), Key="objects/a", IfNoneMatch=etag(b"one two")),
        s3("changed", "GetObject", ok(Body=b"one two"), Key="objects/a", IfNoneMatch=etag(b"other")),
        s3("other than wanted", "GetObject", refused(412, "PreconditionFailed"), Key="objects/a", IfMatch=etag(b"other")),
        s3("missing key", "GetObject", refused(404, "NoSuchKey"), Key="objects/none"),
        s3("head of a missing key", "HeadObject", refused(404, "404"), Key="objects/none"),
        s3("missing bucket", "GetObject", refused(404, "NoSuchBucket"), bucket="sentinel-none", Key="objects/a"),
        s3("head in a missing bucket", "HeadObject", refused(404, "404"), bucket="sentinel-none", Key="objects/a"),
        s3("key of 1025 bytes", "PutObject", refused(400, "KeyTooLongError"), Key="k" * 1025, Body=b""),
    ),
)

VERSIONS = Scenario(
    "versions",
    "In a versioned bucket a delete adds a marker; every version stays readable by id until it is deleted by id.",
    f"{S3_GUIDE}/DeleteMarker.html, DeletingObjectVersions.html",
    (
        s3("put one", "PutObject", ok(VersionId=str), Key="versions/a", Body=b"one"),
        s3("put two", "PutObject", ok(VersionId=str), Key="versions/a", Body=b"two!"),
        s3("put elsewhere", "PutObject", ok(VersionId=str), Key="versions/b", Body=b"b"),
        s3("get one", "GetObject", ok(Body=b"one", VersionId=Ref("put one", "VersionId")),
           Key="versions/a", VersionId=Ref("put one", "VersionId")),
        s3("get current", "GetObject", ok(Body=b"two!", VersionId=Ref("put two", "VersionId")), Key="versions/a"),
        s3("version of another key", "GetObject", refused(404, "NoSuchVersion"),
           Key="versions/a", VersionId=Ref("put elsewhere", "VersionId")),
        s3("delete", "DeleteObject", ok(204, DeleteMarker=True, VersionId=str), Key="versions/a"),
        s3("get deleted", "GetObject", refused(404, "NoSuchKey", x_amz_delete_marker="true", x_amz_version_id=str),
           Key="versions/a"),
        s3("head deleted", "HeadObject", refused(404, "404", x_amz_delete_marker="true", x_amz_version_id=str),
           Key="versions/a"),
        s3("get marker", "GetObject", refused(405, "MethodNotAllowed", x_amz_delete_marker="true"),
           Key="versions/a", VersionId=Ref("delete", "VersionId")),
        s3("head marker", "HeadObject", refused(405, "405", x_amz_delete_marker="true"),
           Key="versions/a", VersionId=Ref("delete", "VersionId")),
        s3("list", "ListObjectVersions", ok(
            IsTruncated=False, Name=STATE, Prefix="versions/a",
            Versions=[
                {"Key": "versions/a", "VersionId": Ref("put two", "VersionId"), "IsLatest": False, "Size": 4,
                 "ETag": etag(b"two!"), "StorageClass": "STANDARD", "LastModified": datetime},
                {"Key": "versions/a", "VersionId": Ref("put one", "VersionId"), "IsLatest": False, "Size": 3},
            ],
            DeleteMarkers=[{"Key": "versions/a", "VersionId": Ref("delete", "VersionId"), "IsLatest": True,
                            "LastModified": datetime}],
        ), Prefix="versions/a"),
        s3("first page", "ListObjectVersions", ok(
            IsTruncated=True, MaxKeys=2, NextKeyMarker="versions/a", NextVersionIdMarker=Ref("put two", "VersionId"),
        ), Prefix="versions/", MaxKeys=2),
        s3("second page", "ListObjectVersions", ok(
            IsTruncated=False, KeyMarker="versions/a", VersionIdMarker=Ref("put two", "VersionId"),
            Versions=[{"VersionId": Ref("put one", "VersionId")}, {"VersionId": Ref("put elsewhere", "VersionId")}],
        ), Prefix="versions/", KeyMarker="versions/a", VersionIdMarker=Ref("put two", "VersionId")),
        s3("delete marker", "DeleteObject", ok(204, DeleteMarker=True, VersionId=Ref("delete", "VersionId")),
           Key="versions/a", VersionId=Ref("delete", "VersionId")),
        s3("undeleted", "GetObject", ok(Body=b"two!"), Key="versions/a"),
        s3("delete current by id", "DeleteObject", ok(204, VersionId=Ref("put two", "VersionId"), DeleteMarker=Absent),
           Key="versions/a", VersionId=Ref("put two", "VersionId")),
        s3("older one is current", "GetObject", ok(Body=b"one"), Key="versions/a"),
        s3("delete what never was", "DeleteObject", ok(204, DeleteMarker=True, VersionId=str), Key="versions/none"),
        s3("delete several", "DeleteObjects", ok(
            Deleted=[{"Key": "versions/a", "DeleteMarker": True, "DeleteMarkerVersionId": str},
                     {"Key": "versions/b", "VersionId": Ref("put elsewhere", "VersionId")}],
            Errors=Absent,
        ), Delete={"Objects": [{"Key": "versions/a"},
                               {"Key": "versions/b", "VersionId": Ref("put elsewhere", "VersionId")}]}),
    ),
)

UNVERSIONED = Scenario(
    "unversioned",
    "A bucket that was never versioned sends no version ids, and lists its objects as version `null`.",
    f"{S3_GUIDE}/versioning-workflows.html, {S3_API}/API_GetBucketVersioning.html",
    (
        s3("put", "PutObject", ok(VersionId=Absent), bucket=PLAIN, Key="a", Body=b"a"),
        s3("head", "HeadObject", ok(VersionId=Absent), bucket=PLAIN, Key="a"),
        s3("list", "ListObjectVersions", ok(Versions=[{"Key": "a", "VersionId": "null", "IsLatest": True}]), bucket=PLAIN),
        s3("delete", "DeleteObject", ok(204, VersionId=Absent, DeleteMarker=Absent), bucket=PLAIN, Key="a"),
        s3("gone", "ListObjectVersions", ok(Versions=Absent, DeleteMarkers=Absent), bucket=PLAIN),
        s3("state", "GetBucketVersioning", ok(Status=Absent), bucket=PLAIN),
        s3("state of a versioned one", "GetBucketVersioning", ok(Status="Enabled")),
    ),
)

CONDITIONAL_PUT = Scenario(
    "conditional-put",
    "A conditional PUT is a compare-and-swap on the current version; the state store stands on it.",
    f"{S3_GUIDE}/conditional-writes.html, {S3_API}/API_PutObject.html",
    (
        s3("create", "PutObject", ok(ETag=etag(b"one")), Key="cas/put", Body=b"one", IfNoneMatch="*"),
        s3("create again", "PutObject", refused(412, "PreconditionFailed"), Key="cas/put", Body=b"two", IfNoneMatch="*"),
        s3("swap", "PutObject", ok(ETag=etag(b"two")), Key="cas/put", Body=b"two", IfMatch=etag(b"one")),
        s3("swap from a stale state", "PutObject", refused(412, "PreconditionFailed"),
           Key="cas/put", Body=b"three", IfMatch=etag(b"one")),
        s3("unharmed", "GetObject", ok(Body=b"two"), Key="cas/put"),
        s3("swap of nothing", "PutObject", refused(404, "NoSuchKey"), Key="cas/none", Body=b"x", IfMatch=etag(b"one")),
        s3("delete", "DeleteObject", ok(204, DeleteMarker=True), Key="cas/put"),
        s3("swap of a deleted one", "PutObject", refused(404, "NoSuchKey"), Key="cas/put", Body=b"x", IfMatch=etag(b"two")),
        s3("create over a marker", "PutObject", ok(ETag=etag(b"four")), Key="cas/put", Body=b"four", IfNoneMatch="*"),
        s3("if-none-match of an etag", "PutObject", refused(501, "NotImplemented"),
           Key="cas/put", Body=b"x", IfNoneMatch=etag(b"one")),
    ),
)

CONDITIONAL_DELETE = Scenario(
    "conditional-delete",
    "A conditional DELETE removes only what the caller has seen.",
    f"{S3_GUIDE}/conditional-deletes.html, {S3_API}/API_DeleteObject.html",
    (
        s3("put", "PutObject", ok(), Key="cas/delete", Body=b"one"),
        s3("stale", "DeleteObject", refused(412, "PreconditionFailed"), Key="cas/delete", IfMatch=etag(b"other")),
        s3("unharmed", "HeadObject", ok(), Key="cas/delete"),
        s3("exact", "DeleteObject", ok(204, DeleteMarker=True), Key="cas/delete", IfMatch=etag(b"one")),
        s3("any, but deleted", "DeleteObject", refused(412, "PreconditionFailed"), Key="cas/delete", IfMatch="*"),
        s3("what never was", "DeleteObject", refused(404, "NoSuchKey"), Key="cas/never", IfMatch="*"),
        s3("put again", "PutObject", ok(), Key="cas/delete", Body=b"two"),
        s3("any", "DeleteObject", ok(204, DeleteMarker=True), Key="cas/delete", IfMatch="*"),
        s3("put kept", "PutObject", ok(), Key="cas/kept", Body=b"one"),
        s3("several, one stale", "DeleteObjects", ok(Deleted=Absent, Errors=[{"Key": "cas/kept", "Code": "PreconditionFailed"}]),
           Delete={"Objects": [{"Key": "cas/kept", "ETag": etag(b"other")}]}),
    ),
)

MULTIPART = Scenario(
    "multipart",
    "A multipart upload appears at once when it is completed, under an ETag of its own kind, or not at all.",
    f"{S3_GUIDE}/mpuoverview.html, {S3_API}/API_CompleteMultipartUpload.html, {S3_GUIDE}/conditional-writes.html",
    (
        s3("start", "CreateMultipartUpload", ok(Bucket=STATE, Key="multipart/a", UploadId=str),
           Key="multipart/a", Metadata={"round": "8"}),
        s3("part 1", "UploadPart", ok(ETag=etag(b"x" * FIVE_MIB)), Key="multipart/a", PartNumber=1,
           UploadId=Ref("start", "UploadId"), Body=b"x" * FIVE_MIB),
        s3("part 2", "UploadPart", ok(ETag=etag(b"end")), Key="multipart/a", PartNumber=2,
           UploadId=Ref("start", "UploadId"), Body=b"end"),
        s3("not there yet", "HeadObject", refused(404, "404"), Key="multipart/a"),
        s3("complete", "CompleteMultipartUpload", ok(
            Bucket=STATE, Key="multipart/a", Location=str, ETag=etag_of_parts(b"x" * FIVE_MIB, b"end"), VersionId=str,
        ), Key="multipart/a", UploadId=Ref("start", "UploadId"), IfNoneMatch="*", MultipartUpload={"Parts": [
            {"PartNumber": 1, "ETag": Ref("part 1", "ETag")}, {"PartNumber": 2, "ETag": Ref("part 2", "ETag")}]}),
        s3("there", "HeadObject", ok(ContentLength=FIVE_MIB + 3, ETag=Ref("complete", "ETag"), Metadata={"round": "8"}),
           Key="multipart/a"),
        s3("start over an object", "CreateMultipartUpload", ok(UploadId=str), Key="multipart/a"),
        s3("part over an object", "UploadPart", ok(), Key="multipart/a", PartNumber=1,
           UploadId=Ref("start over an object", "UploadId"), Body=b"1"),
        s3("only if new", "CompleteMultipartUpload", refused(412, "PreconditionFailed"), Key="multipart/a",
           UploadId=Ref("start over an object", "UploadId"), IfNoneMatch="*",
           MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag(b"1")}]}),
        s3("only the same", "CompleteMultipartUpload", ok(ETag=str), Key="multipart/a",
           UploadId=Ref("start over an object", "UploadId"), IfMatch=Ref("complete", "ETag"),
           MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag(b"1")}]}),
    ),
)

def upload(name, *parts):
    """An upload under a key of its own, for a completion that must be refused."""
    key = f"multipart/{name}"
    return (
        s3(f"start {name}", "CreateMultipartUpload", ok(UploadId=str), Key=key),
        *(
            s3(f"{name} {number}", "UploadPart", ok(), Key=key, PartNumber=number,
               UploadId=Ref(f"start {name}", "UploadId"), Body=body)
            for number, body in enumerate(parts, start=1)
        ),
    )


def complete(name, expected, *parts):
    listed = [{"PartNumber": number, "ETag": etag(body)} for number, body in parts]
    return s3(name, "CompleteMultipartUpload", expected, Key=f"multipart/{name}",
              UploadId=Ref(f"start {name}", "UploadId"), MultipartUpload={"Parts": listed})


MULTIPART_REFUSALS = Scenario(
    "multipart-refusals",
    "A completion must list existing parts in ascending order, all but the last of 5 MiB; an aborted upload is gone.",
    f"{S3_API}/API_CompleteMultipartUpload.html, API_AbortMultipartUpload.html",
    (
        *upload("order", b"1", b"2"),
        complete("order", refused(400, "InvalidPartOrder"), (2, b"2"), (1, b"1")),
        *upload("unknown part", b"1"),
        complete("unknown part", refused(400, "InvalidPart"), (3, b"1")),
        *upload("other etag", b"1"),
        complete("other etag", refused(400, "InvalidPart"), (1, b"2")),
        *upload("small", b"1", b"2"),
        complete("small", refused(400, "EntityTooSmall"), (1, b"1"), (2, b"2")),
        *upload("aborted", b"1"),
        s3("abort", "AbortMultipartUpload", ok(204), Key="multipart/aborted", UploadId=Ref("start aborted", "UploadId")),
        s3("part after the abort", "UploadPart", refused(404, "NoSuchUpload"), Key="multipart/aborted", PartNumber=2,
           UploadId=Ref("start aborted", "UploadId"), Body=b"2"),
        complete("aborted", refused(404, "NoSuchUpload"), (1, b"1")),
    ),
)

LISTING = Scenario(
    "listing",
    "A listing is in the order of the keys' bytes, folds prefixes, goes on where a page ended and shows no deleted object.",
    f"{S3_API}/API_ListObjectsV2.html",
    (
        *(s3(f"put {key}", "PutObject", ok(), Key=f"list/{key}", Body=b"1") for key in ("b/1", "b/2", "c", "a", "ä &<", "z")),
        s3("delete", "DeleteObject", ok(204), Key="list/z"),
        s3("all", "ListObjectsV2", ok(
            Name=STATE, Prefix="list/", KeyCount=5, MaxKeys=1000, IsTruncated=False, NextContinuationToken=Absent,
            Contents=[{"Key": "list/a", "Size": 1, "ETag": etag(b"1"), "StorageClass": "STANDARD", "LastModified": datetime},
                      {"Key": "list/b/1"}, {"Key": "list/b/2"}, {"Key": "list/c"}, {"Key": "list/ä &<"}],
        ), Prefix="list/"),
        s3("folded", "ListObjectsV2", ok(
            KeyCount=4, Delimiter="/", CommonPrefixes=[{"Prefix": "list/b/"}],
            Contents=[{"Key": "list/a"}, {"Key": "list/c"}, {"Key": "list/ä &<"}],
        ), Prefix="list/", Delimiter="/"),
        s3("first page", "ListObjectsV2", ok(
            KeyCount=2, MaxKeys=2, IsTruncated=True, NextContinuationToken=str,
            Contents=[{"Key": "list/a"}, {"Key": "list/b/1"}],
        ), Prefix="list/", MaxKeys=2),
        s3("second page", "ListObjectsV2", ok(
            KeyCount=3, IsTruncated=False, ContinuationToken=Ref("first page", "NextContinuationToken"),
            Contents=[{"Key": "list/b/2"}, {"Key": "list/c"}, {"Key": "list/ä &<"}],
        ), Prefix="list/", ContinuationToken=Ref("first page", "NextContinuationToken")),
        s3("after a key", "ListObjectsV2", ok(
            StartAfter="list/b/2", Contents=[{"Key": "list/c"}, {"Key": "list/ä &<"}],
        ), Prefix="list/", StartAfter="list/b/2"),
        s3("nothing", "ListObjectsV2", ok(KeyCount=0, IsTruncated=False, Contents=Absent), Prefix="list/none"),
        s3("missing bucket", "ListObjectsV2", refused(404, "NoSuchBucket"), bucket="sentinel-none"),
    ),
)

BUCKETS = Scenario(
    "buckets",
    "A bucket answers in its own Region only, and a refusal elsewhere names that Region.",
    f"{S3_API}/API_HeadBucket.html, API_GetBucketLocation.html, ErrorResponses.html",
    (
        s3("head", "HeadBucket", ok(BucketRegion=AWAY_REGION), bucket=AWAY, region=AWAY_REGION),
        s3("head elsewhere", "HeadBucket", refused(301, "301", x_amz_bucket_region=AWAY_REGION), bucket=AWAY, region=HOME_REGION),
        # Of a bucket that botocore was not redirected for yet: it remembers.
        s3("get elsewhere", "GetObject", refused(301, "PermanentRedirect", x_amz_bucket_region=HOME_REGION),
           bucket=HOME, region=AWAY_REGION, Key="any"),
        s3("head of none", "HeadBucket", refused(404, "404"), bucket="sentinel-none"),
        s3("location", "GetBucketLocation", ok(LocationConstraint=AWAY_REGION), bucket=AWAY, region=AWAY_REGION),
        s3("location of the first Region", "GetBucketLocation", ok(LocationConstraint=None), bucket=HOME, region=HOME_REGION),
    ),
)

REPLICATION = Scenario(
    "replication",
    "The source's version ends as COMPLETED, its copy is a REPLICA with the same version id, ETag and metadata; "
    "without a rule for it a delete marker goes nowhere.",
    f"{S3_GUIDE}/replication-status.html, replication-what-is-isnt-replicated.html",
    (
        s3("put", "PutObject", ok(VersionId=str), bucket=HOME, region=HOME_REGION, Key="repl/a", Body=b"one",
           Metadata={"round": "9"}),
        s3("source", "HeadObject", ok(ReplicationStatus="COMPLETED"), bucket=HOME, region=HOME_REGION, Key="repl/a",
           eventually=True),
        s3("copy", "GetObject", ok(
            Body=b"one", ReplicationStatus="REPLICA", VersionId=Ref("put", "VersionId"), ETag=etag(b"one"),
            Metadata={"round": "9"},
        ), bucket=AWAY, region=AWAY_REGION, Key="repl/a"),
        s3("put away", "PutObject", ok(VersionId=str), bucket=AWAY, region=AWAY_REGION, Key="repl/b", Body=b"two"),
        s3("the other way", "HeadObject", ok(ReplicationStatus="REPLICA"), bucket=HOME, region=HOME_REGION, Key="repl/b",
           eventually=True),
        s3("source of the other way", "HeadObject", ok(ReplicationStatus="COMPLETED"), bucket=AWAY, region=AWAY_REGION,
           Key="repl/b"),
        s3("delete", "DeleteObject", ok(204, DeleteMarker=True), bucket=HOME, region=HOME_REGION, Key="repl/a"),
        s3("deleted at the source", "HeadObject", refused(404, "404"), bucket=HOME, region=HOME_REGION, Key="repl/a"),
        s3("not deleted at the copy", "HeadObject", ok(ReplicationStatus="REPLICA"), bucket=AWAY, region=AWAY_REGION,
           Key="repl/a"),
    ),
)

UPLOADS = Scenario(
    "uploads",
    "An upload in progress and its parts are listed until it is completed or aborted.",
    f"{S3_API}/API_ListMultipartUploads.html, API_ListParts.html, API_AbortMultipartUpload.html",
    (
        s3("create", "CreateMultipartUpload", ok(UploadId=str), Key="uploads/a b"),
        s3("part", "UploadPart", ok(ETag=etag(b"one")), Key="uploads/a b", UploadId=Ref("create", "UploadId"), PartNumber=1,
           Body=b"one"),
        s3("another part", "UploadPart", ok(ETag=etag(b"three")), Key="uploads/a b", UploadId=Ref("create", "UploadId"),
           PartNumber=3, Body=b"three"),
        s3("parts", "ListParts", ok(
            Bucket=STATE, Key="uploads/a b", UploadId=Ref("create", "UploadId"), IsTruncated=False,
            Parts=[{"PartNumber": 1, "ETag": etag(b"one"), "Size": 3, "LastModified": datetime},
                   {"PartNumber": 3, "ETag": etag(b"three"), "Size": 5}],
        ), Key="uploads/a b", UploadId=Ref("create", "UploadId")),
        s3("first part", "ListParts", ok(IsTruncated=True, NextPartNumberMarker=1, Parts=[{"PartNumber": 1}]), Key="uploads/a b",
           UploadId=Ref("create", "UploadId"), MaxParts=1),
        s3("next part", "ListParts", ok(IsTruncated=False, Parts=[{"PartNumber": 3}]), Key="uploads/a b",
           UploadId=Ref("create", "UploadId"), MaxParts=1, PartNumberMarker=1),
        s3("uploads", "ListMultipartUploads", ok(
            IsTruncated=False,
            Uploads=[{"Key": "uploads/a b", "UploadId": Ref("create", "UploadId"), "Initiated": datetime}],
        ), Prefix="uploads/"),
        s3("abort", "AbortMultipartUpload", ok(204), Key="uploads/a b", UploadId=Ref("create", "UploadId")),
        s3("no uploads", "ListMultipartUploads", ok(IsTruncated=False, Uploads=Absent), Prefix="uploads/"),
        s3("no parts", "ListParts", refused(404, "NoSuchUpload"), Key="uploads/a b", UploadId=Ref("create", "UploadId")),
    ),
)


def job(name, operation, expected, region=HOME_REGION, eventually=False, **parameters):
    return Step(name, "s3control", region, operation, {"AccountId": ACCOUNT, **parameters}, expected, eventually)


JOB_ROWS = f"{HOME},jobs/gone,1\n".encode()
JOB_FIELDS = ["Bucket", "Key", "VersionId"]
JOB_MANIFEST = {
    "Spec": {"Format": "S3BatchOperations_CSV_20180820", "Fields": JOB_FIELDS},
    "Location": {"ObjectArn": f"arn:aws:s3:::{HOME}/jobs/manifest.csv", "ETag": etag(JOB_ROWS).strip('"')},
}
JOB_REPORT = {
    "Enabled": True, "Bucket": f"arn:aws:s3:::{HOME}", "Prefix": "reports", "Format": "Report_CSV_20180820",
    "ReportScope": "AllTasks",
}
JOB_GENERATOR = {
    "S3JobManifestGenerator": {
        "SourceBucket": f"arn:aws:s3:::{HOME}", "EnableManifestOutput": False,
        "Filter": {"EligibleForReplication": True, "ObjectReplicationStatuses": ["FAILED"],
                   "KeyNameConstraint": {"MatchAnyPrefix": ["jobs/"]}},
    },
}
JOB = {
    "Operation": {"S3ReplicateObject": {}}, "Priority": 3, "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/batch",
    "ConfirmationRequired": False, "Report": JOB_REPORT, "Description": "of a test",
}
JOBS = Scenario(
    "jobs",
    "A replication job reads its manifest and ends Complete whatever became of its tasks; with nothing to do it ends Failed.",
    f"{S3_API}/API_control_CreateJob.html, API_control_DescribeJob.html, {S3_GUIDE}/batch-ops-job-status.html",
    (
        s3("manifest", "PutObject", ok(ETag=etag(JOB_ROWS)), bucket=HOME, region=HOME_REGION, Key="jobs/manifest.csv",
           Body=JOB_ROWS),
        job("create", "CreateJob", ok(JobId=str), ClientRequestToken="one", Manifest=JOB_MANIFEST,
            Tags=[{"Key": "mrap-sentinel", "Value": "a"}], **JOB),
        job("same again", "CreateJob", ok(JobId=Ref("create", "JobId")), ClientRequestToken="one", Manifest=JOB_MANIFEST,
            Tags=[{"Key": "mrap-sentinel", "Value": "a"}], **JOB),
        job("token of another", "CreateJob", refused(400, "IdempotencyException"), ClientRequestToken="one",
            Manifest=JOB_MANIFEST, **JOB),
        job("ended", "DescribeJob", ok(Job={
            "JobId": Ref("create", "JobId"), "JobArn": str, "Status": "Complete", "Description": "of a test", "Priority": 3,
            "ConfirmationRequired": False, "RoleArn": JOB["RoleArn"], "CreationTime": datetime, "TerminationDate": datetime,
            "Operation": {"S3ReplicateObject": {}}, "Report": JOB_REPORT, "Manifest": JOB_MANIFEST, "FailureReasons": Absent,
            "ProgressSummary": {"TotalNumberOfTasks": 1, "NumberOfTasksSucceeded": 0, "NumberOfTasksFailed": 1,
                                "Timers": {"ElapsedTimeInActiveSeconds": int}},
        }), eventually=True, JobId=Ref("create", "JobId")),
        s3("report", "ListObjectsV2", ok(KeyCount=3), bucket=HOME, region=HOME_REGION, Prefix="reports/job-"),
        job("generate", "CreateJob", ok(JobId=str), ClientRequestToken="two", ManifestGenerator=JOB_GENERATOR, **JOB),
        job("nothing to do", "DescribeJob", ok(Job={
            "Status": "Failed", "ManifestGenerator": JOB_GENERATOR, "Manifest": Absent,
            "FailureReasons": [{"FailureCode": str,
                                "FailureReason": "Manifest generation found no keys matching the filter criteria."}],
        }), eventually=True, JobId=Ref("generate", "JobId")),
        job("wait", "CreateJob", ok(JobId=str), ClientRequestToken="three", Manifest=JOB_MANIFEST,
            **{**JOB, "ConfirmationRequired": True}),
        job("suspended", "DescribeJob", ok(Job={"Status": "Suspended", "SuspendedDate": datetime, "SuspendedCause": str}),
            eventually=True, JobId=Ref("wait", "JobId")),
        job("priority", "UpdateJobPriority", ok(JobId=Ref("wait", "JobId"), Priority=9), JobId=Ref("wait", "JobId"), Priority=9),
        job("cancel", "UpdateJobStatus", ok(JobId=Ref("wait", "JobId"), Status=str, StatusUpdateReason="tried"),
            JobId=Ref("wait", "JobId"), RequestedJobStatus="Cancelled", StatusUpdateReason="tried"),
        job("cancelled", "DescribeJob", ok(Job={"Status": "Cancelled", "Priority": 9, "StatusUpdateReason": "tried"}),
            eventually=True, JobId=Ref("wait", "JobId")),
        job("cancel again", "UpdateJobStatus", refused(400, "JobStatusException"), JobId=Ref("wait", "JobId"),
            RequestedJobStatus="Cancelled"),
        job("list", "ListJobs", ok(Jobs=[
            {"JobId": Ref("wait", "JobId"), "Status": "Cancelled", "Operation": "S3ReplicateObject", "Priority": 9},
            {"JobId": Ref("generate", "JobId"), "Status": "Failed"},
            {"JobId": Ref("create", "JobId"), "Status": "Complete", "Description": "of a test", "CreationTime": datetime},
        ], NextToken=Absent)),
        job("list by status", "ListJobs", ok(Jobs=[{"JobId": Ref("wait", "JobId")}, {"JobId": Ref("generate", "JobId")}]),
            JobStatuses=["Failed", "Cancelled"]),
        job("first page", "ListJobs", ok(Jobs=[{"JobId": Ref("wait", "JobId")}], NextToken=str), MaxResults=1),
        job("second page", "ListJobs", ok(Jobs=[{"JobId": Ref("generate", "JobId")}]), MaxResults=1,
            NextToken=Ref("first page", "NextToken")),
        job("list elsewhere", "ListJobs", ok(Jobs=[]), region=AWAY_REGION),
        job("unknown job", "DescribeJob", refused(404, "NotFoundException"), JobId="00000000-none"),
        job("job of another Region", "DescribeJob", refused(404, "NotFoundException"), region=AWAY_REGION,
            JobId=Ref("create", "JobId")),
        job("no role", "CreateJob", refused(400, "BadRequestException"), ClientRequestToken="four", Manifest=JOB_MANIFEST,
            **{**JOB, "RoleArn": "batch"}),
        job("wrong token", "ListJobs", refused(400, "InvalidNextTokenException"), NextToken="x"),
        job("another account", "ListJobs", refused(403, "AccessDenied"), AccountId="444455556666"),
    ),
)

ROUTES = Scenario(
    "routes",
    "Five Regions serve the routes API; a submission changes the routes it names and no others, and never all to passive.",
    f"{S3_GUIDE}/MrapFailover.html, mrap-failover-errors.html, {S3_API}/API_control_SubmitMultiRegionAccessPointRoutes.html",
    (
        *(routes(f"get in {region}", "GetMultiRegionAccessPointRoutes", shown(100, 0), region) for region in CONTROL_ENDPOINTS),
        routes("get elsewhere", "GetMultiRegionAccessPointRoutes", refused(301, "PermanentRedirect"), CONTROL_REGION),
        routes("submit elsewhere", "SubmitMultiRegionAccessPointRoutes", refused(301, "PermanentRedirect"), "eu-central-1",
               RouteUpdates=[dial(AWAY, 100)]),
        routes("all passive", "SubmitMultiRegionAccessPointRoutes", refused(400, "InvalidRequest"),
               RouteUpdates=[dial(HOME, 0), dial(AWAY, 0)]),
        routes("the only active one passive", "SubmitMultiRegionAccessPointRoutes", refused(400, "InvalidRequest"),
               RouteUpdates=[dial(HOME, 0)]),
        routes("half a dial", "SubmitMultiRegionAccessPointRoutes", refused(400, "InvalidRequest"),
               RouteUpdates=[dial(AWAY, 50)]),
        routes("bucket of no member", "SubmitMultiRegionAccessPointRoutes", refused(400, "InvalidRequest"),
               RouteUpdates=[dial(STATE, 100)]),
        routes("unknown MRAP", "GetMultiRegionAccessPointRoutes", refused(404, "NoSuchMultiRegionAccessPoint"),
               mrap=f"arn:aws:s3::{ACCOUNT}:accesspoint/aaaaaaaaaaaaa.mrap"),
        routes("submit to an unknown MRAP", "SubmitMultiRegionAccessPointRoutes", refused(404, "NoSuchMultiRegionAccessPoint"),
               mrap=f"arn:aws:s3::{ACCOUNT}:accesspoint/aaaaaaaaaaaaa.mrap", RouteUpdates=[dial(AWAY, 100)]),
        routes("another account", "GetMultiRegionAccessPointRoutes", refused(403, "AccessDenied"), AccountId="444455556666"),
        routes("nothing happened", "GetMultiRegionAccessPointRoutes", shown(100, 0), "us-west-2"),
        routes("move", "SubmitMultiRegionAccessPointRoutes", ok(), "eu-west-1",
               RouteUpdates=[dial(AWAY, 100), dial(HOME, 0)]),
        routes("moved", "GetMultiRegionAccessPointRoutes", shown(0, 100), "ap-northeast-1"),
        routes("both", "SubmitMultiRegionAccessPointRoutes", ok(), "us-west-2", RouteUpdates=[dial(HOME, 100)]),
        routes("the one not named is unchanged", "GetMultiRegionAccessPointRoutes", shown(100, 100), "us-west-2"),
        routes("back", "SubmitMultiRegionAccessPointRoutes", ok(), "us-west-2", RouteUpdates=[dial(AWAY, 0)]),
        routes("again", "SubmitMultiRegionAccessPointRoutes", ok(), "us-west-2", RouteUpdates=[dial(AWAY, 0)]),
        routes("as before", "GetMultiRegionAccessPointRoutes", shown(100, 0)),
    ),
)

PUBLISH = Scenario(
    "publish",
    "SNS takes a message per protocol if it has a `default`, and refuses subjects and attributes that break its rules.",
    "https://docs.aws.amazon.com/sns/latest/api/API_Publish.html, sns-message-attributes.html",
    (
        publish("plain", ok(MessageId=str)),
        publish("per protocol", ok(MessageId=str), MessageStructure="json",
                Message='{"default": "short", "email": "long", "sqs": "{}"}', Subject="CRITICAL: us-east-1 is failing",
                MessageAttributes={"severity": {"DataType": "String", "StringValue": "critical"},
                                   "count": {"DataType": "Number", "StringValue": "3"}}),
        publish("without default", refused(400, "InvalidParameter"), MessageStructure="json", Message='{"email": "x"}'),
        publish("broken JSON", refused(400, "InvalidParameter"), MessageStructure="json", Message="{"),
        publish("unknown structure", refused(400, "InvalidParameter"), MessageStructure="xml"),
        publish("empty message", refused(400, "InvalidParameter"), Message=""),
        publish("too long a message", refused(400, "InvalidParameter"), Message="x" * (256 * 1024 + 1)),
        publish("subject of 101 characters", refused(400, "InvalidParameter"), Subject="x" * 101),
        publish("subject beyond ASCII", refused(400, "InvalidParameter"), Subject="Störung"),
        publish("subject with a line break", refused(400, "InvalidParameter"), Subject="one\ntwo"),
        publish("subject that begins with a space", refused(400, "InvalidParameter"), Subject=" x"),
        publish("empty attribute", refused(400, "ParameterValueInvalid"),
                MessageAttributes={"severity": {"DataType": "String", "StringValue": ""}}),
        publish("unknown topic", refused(404, "NotFound"), topic=TOPIC + "-none"),
        publish("not an ARN", refused(400, "InvalidParameter"), topic="notifications"),
        publish("topic of another account", refused(403, "AuthorizationError"), topic=TOPIC.replace(ACCOUNT, "444455556666")),
        publish("topic of another Region", refused(400, "InvalidParameter"), region="us-west-2"),
    ),
)


def alarm(name, region, state, **more):
    return {
        "AlarmName": name,
        "AlarmArn": f"arn:aws:cloudwatch:{CONTROL_REGION}:{ACCOUNT}:alarm:{name}",
        "Namespace": "Canary",
        "MetricName": "Failed",
        "Dimensions": [{"Name": "Region", "Value": region}],
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": 2,
        "Threshold": 0.5,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "ignore",
        "ActionsEnabled": True,
        "OKActions": [TOPIC],
        "AlarmActions": [TOPIC],
        "InsufficientDataActions": [TOPIC],
        "StateValue": state,
        "StateReason": str,
        "StateUpdatedTimestamp": datetime,
        "StateTransitionedTimestamp": datetime,
        "AlarmConfigurationUpdatedTimestamp": datetime,
        **more,
    }


def named(*names):
    return [{"AlarmName": name} for name in names]


def alarms(name, protocol):
    """CloudWatch speaks several protocols: the AWS SDK for Rust asks in CBOR, boto3 in JSON."""

    def call(step, operation, expected, region=CONTROL_REGION, **parameters):
        return Step(step, f"cloudwatch/{protocol}", region, operation, parameters, expected)

    return Scenario(
        name,
        "DescribeAlarms tells each alarm's state and metric; without types it returns metric alarms only, even by name.",
        "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html, API_SetAlarmState.html",
        (
            call("raise", "SetAlarmState", ok(), AlarmName=ALARM, StateValue="ALARM", StateReason="rehearsal",
                 StateReasonData='{"version":"1.0"}'),
            call("by name", "DescribeAlarms", ok(
                MetricAlarms=[alarm(ALARM, HOME_REGION, "ALARM", AlarmDescription=ALARM_DESCRIPTION, StateReason="rehearsal",
                                    StateReasonData='{"version":"1.0"}')],
            ), AlarmNames=[ALARM]),
            call("settle", "SetAlarmState", ok(), AlarmName=ALARM, StateValue="OK", StateReason="over"),
            call("settled", "DescribeAlarms", ok(
                MetricAlarms=[{"AlarmName": ALARM, "StateValue": "OK", "StateReason": "over", "StateReasonData": Absent}],
            ), AlarmNames=[ALARM]),
            call("without a description", "DescribeAlarms", ok(
                MetricAlarms=[alarm(SECOND_ALARM, AWAY_REGION, "INSUFFICIENT_DATA", AlarmDescription=Absent)],
            ), AlarmNames=[SECOND_ALARM]),
            call("all", "DescribeAlarms", ok(MetricAlarms=named(SECOND_ALARM, ALARM), CompositeAlarms=[])),
            call("composite by name without types", "DescribeAlarms", ok(MetricAlarms=[], CompositeAlarms=[]),
                 AlarmNames=[COMPOSITE]),
            call("composite", "DescribeAlarms", ok(
                MetricAlarms=[],
                CompositeAlarms=[{
                    "AlarmName": COMPOSITE, "AlarmArn": f"arn:aws:cloudwatch:{CONTROL_REGION}:{ACCOUNT}:alarm:{COMPOSITE}",
                    "AlarmRule": f'ALARM("{ALARM}")', "StateValue": str, "StateReason": str, "StateUpdatedTimestamp": datetime,
                    "ActionsEnabled": True, "AlarmActions": [TOPIC],
                }],
            ), AlarmNames=[COMPOSITE], AlarmTypes=["CompositeAlarm", "MetricAlarm"]),
            call("by state", "DescribeAlarms", ok(MetricAlarms=named(ALARM)), StateValue="OK"),
            call("by prefix", "DescribeAlarms", ok(MetricAlarms=named(SECOND_ALARM)), AlarmNamePrefix="euw1"),
            call("unknown name", "DescribeAlarms", ok(MetricAlarms=[], CompositeAlarms=[]), AlarmNames=["none"]),
            call("another Region", "DescribeAlarms", ok(MetricAlarms=[]), region="us-west-2"),
            call("first page", "DescribeAlarms", ok(MetricAlarms=named(SECOND_ALARM), NextToken=str), MaxRecords=1),
            call("second page", "DescribeAlarms", ok(MetricAlarms=named(ALARM), NextToken=Absent),
                 MaxRecords=1, NextToken=Ref("first page", "NextToken")),
            call("no such alarm", "SetAlarmState", refused(404, "ResourceNotFound"), AlarmName="none", StateValue="OK",
                 StateReason="x"),
        ),
    )


def metrics(name, protocol):
    """Figures of three minutes ago; each protocol has a metric of its own."""

    def call(step, operation, expected, **parameters):
        return Step(step, f"cloudwatch/{protocol}", CONTROL_REGION, operation, parameters, expected)

    def query(metric, statistic):
        stat = {"Metric": {"Namespace": "Canary", "MetricName": metric}, "Period": 60, "Stat": statistic}
        return [{"Id": "q", "MetricStat": stat, "ReturnData": True}]

    minute = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=3)
    window = {"StartTime": minute - timedelta(minutes=2), "EndTime": minute + timedelta(minutes=2)}
    return Scenario(
        name,
        "GetMetricData gives one figure per period with data, at the start of the period, and no figure where there are none.",
        "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html, API_PutMetricData.html",
        (
            call("put", "PutMetricData", ok(), Namespace="Canary", MetricData=[
                {"MetricName": name, "Timestamp": minute + timedelta(seconds=5), "Value": 1.0},
                {"MetricName": name, "Timestamp": minute + timedelta(seconds=25), "Value": 4.0},
                {"MetricName": name, "Timestamp": minute + timedelta(seconds=65), "Value": 9.0},
            ]),
            call("sum", "GetMetricData", ok(MetricDataResults=[
                {"Id": "q", "Label": str, "StatusCode": "Complete", "Values": [9.0, 5.0],
                 "Timestamps": [minute + timedelta(minutes=1), minute]},
            ]), MetricDataQueries=query(name, "Sum"), **window),
            call("oldest first", "GetMetricData", ok(MetricDataResults=[
                {"Values": [2.5, 9.0], "Timestamps": [minute, minute + timedelta(minutes=1)]},
            ]), MetricDataQueries=query(name, "Average"), ScanBy="TimestampAscending", **window),
            call("none", "GetMetricData", ok(MetricDataResults=[
                {"Id": "q", "StatusCode": "Complete", "Values": [], "Timestamps": []},
            ]), MetricDataQueries=query("none", "Maximum"), **window),
        ),
    )


UNCONFIGURED = Scenario(
    "unconfigured",
    "What a bucket is not configured like has an error of its own for each thing, and none of them means a missing bucket.",
    f"{S3_API}/ErrorResponses.html",
    (
        *(
            s3(f"no {code}", operation, refused(404, code), bucket=PLAIN)
            for operation, code in (
                ("GetBucketReplication", "ReplicationConfigurationNotFoundError"),
                ("GetObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"),
                ("GetBucketPolicy", "NoSuchBucketPolicy"),
                ("GetBucketLifecycleConfiguration", "NoSuchLifecycleConfiguration"),
            )
        ),
        *(
            s3(f"{operation} of no bucket", operation, refused(404, "NoSuchBucket"), bucket="sentinel-none")
            for operation in (
                "GetBucketReplication", "GetObjectLockConfiguration", "GetBucketPolicy", "GetBucketEncryption",
                "GetBucketLifecycleConfiguration", "GetBucketOwnershipControls", "GetPublicAccessBlock",
                "GetBucketNotificationConfiguration", "ListBucketMetricsConfigurations", "GetBucketRequestPayment",
            )
        ),
        Step("no topic", "sns", CONTROL_REGION, "ListSubscriptionsByTopic", {"TopicArn": f"{TOPIC}-none"},
             refused(404, "NotFound")),
    ),
)

CONFIGURATION = Scenario(
    "configuration",
    "A member's configuration as S3 tells it: rules, encryption, ownership, public access, policy, events, lifecycle.",
    f"{S3_API}/API_GetBucketReplication.html and its neighbours",
    (
        *(
            s3(operation, operation, expected, bucket=HOME, region=HOME_REGION)
            for operation, expected in (
                ("GetBucketReplication", ok(ReplicationConfiguration={"Role": str, "Rules": [{
                    "ID": f"to-{AWAY}", "Status": "Enabled", "Filter": {"Prefix": ""}, "Priority": 0,
                    "DeleteMarkerReplication": {"Status": "Disabled"},
                    "Destination": {"Bucket": f"arn:aws:s3:::{AWAY}", "Metrics": {"Status": "Enabled"}},
                }]})),
                ("GetBucketEncryption", ok(ServerSideEncryptionConfiguration={
                    "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}],
                })),
                ("GetBucketOwnershipControls", ok(OwnershipControls={
                    "Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}],
                })),
                ("GetPublicAccessBlock", ok(PublicAccessBlockConfiguration={
                    "BlockPublicAcls": True, "IgnorePublicAcls": True,
                    "BlockPublicPolicy": True, "RestrictPublicBuckets": True,
                })),
                ("GetBucketPolicy", ok(Policy=str)),
                ("GetBucketNotificationConfiguration", ok(QueueConfigurations=[{
                    "QueueArn": str, "Events": ["s3:Replication:*"],
                }])),
                ("ListBucketMetricsConfigurations", ok(MetricsConfigurationList=[{"Id": "EntireBucket"}])),
                ("GetBucketLifecycleConfiguration", ok(Rules=[{
                    "Status": "Enabled", "Filter": {"Prefix": ".mrap-sentinel/"},
                    "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
                }])),
                ("GetBucketRequestPayment", ok(Payer="BucketOwner")),
            )
        ),
        Step("subscriptions", "sns", CONTROL_REGION, "ListSubscriptionsByTopic", {"TopicArn": TOPIC},
             ok(Subscriptions=[{"SubscriptionArn": str, "Protocol": "email", "Endpoint": str, "TopicArn": TOPIC}])),
    ),
)

METRICS_IN_CBOR = metrics("metrics-in-cbor", "smithy-rpc-v2-cbor")
METRICS_IN_JSON = metrics("metrics-in-json", "json")
ALARMS_IN_CBOR = alarms("alarms-in-cbor", "smithy-rpc-v2-cbor")
ALARMS_IN_JSON = alarms("alarms-in-json", "json")

ALL = (
    OBJECTS, VERSIONS, UNVERSIONED, CONDITIONAL_PUT, CONDITIONAL_DELETE, MULTIPART, MULTIPART_REFUSALS,
    UPLOADS, LISTING, BUCKETS, REPLICATION, UNCONFIGURED,
    ROUTES, PUBLISH, ALARMS_IN_CBOR, ALARMS_IN_JSON,
    METRICS_IN_CBOR, METRICS_IN_JSON,
)

# What MiniStack does not have, or not without a deployment.
SIMULATOR_ONLY = (JOBS, CONFIGURATION)
