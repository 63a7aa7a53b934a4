"""What the roles of the stack allow, and what was made of it."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import unquote

from cloud import ACCOUNT

_ROUTES = "/v20180820/mrap/instances/"
_JOBS = "/v20180820/jobs"
# What is done to a bucket; all else of S3 is done to objects. A statement that names both resources means these pairs.
_CONFIGURATION = {
    "versioning": "s3:GetBucketVersioning",
    "replication": "s3:GetReplicationConfiguration",
    "encryption": "s3:GetEncryptionConfiguration",
    "object-lock": "s3:GetBucketObjectLockConfiguration",
    "ownershipControls": "s3:GetBucketOwnershipControls",
    "publicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "policy": "s3:GetBucketPolicy",
    "notification": "s3:GetBucketNotification",
    "metrics": "s3:GetMetricsConfiguration",
    "lifecycle": "s3:GetLifecycleConfiguration",
    "requestPayment": "s3:GetBucketRequestPayment",
}
_OF_BUCKETS = {"s3:ListBucket", "s3:ListBucketVersions", *_CONFIGURATION.values()}


@dataclass(frozen=True, order=True)
class Permission:
    """One action on one resource; in a policy both may be patterns."""

    action: str
    resource: str
    role: str = ""

    def covers(self, used):
        return fnmatchcase(used.action, self.action) and fnmatchcase(used.resource, self.resource)


def allowed(iam, role):
    """Everything that the inline policies of a role allow, and those attached to it."""
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
        documents.append(
            iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"]
        )
    return {
        Permission(action, resource, role)
        for document in documents
        for statement in _list(document["Statement"])
        if statement["Effect"] == "Allow"
        for action in _list(statement["Action"])
        for resource in _list(statement["Resource"])
        if not resource.startswith("arn:aws:s3:::") or ("/" in resource) != (action in _OF_BUCKETS)
    }


def used(request):
    """What a request needs to be allowed. An error for one that nobody thought of."""
    match request.service:
        case "s3" if request.path.startswith(_ROUTES):
            arn = unquote(request.path.removeprefix(_ROUTES)).removesuffix("/routes")
            verb = {"GET": "Get", "PATCH": "Submit"}[request.method]
            return {Permission(f"s3:{verb}MultiRegionAccessPointRoutes", arn)}
        case "s3" if request.path.startswith(_JOBS):
            return _of_jobs(request)
        case "s3" if request.alias:
            assert request.method in ("GET", "HEAD"), request
            access_point = f"arn:aws:s3::{ACCOUNT}:accesspoint/{request.alias}"
            return {Permission("s3:GetObject", f"{access_point}/object/{request.key}")}
        case "s3" if request.key:
            bucket = f"arn:aws:s3:::{request.bucket}"
            needed = {Permission(_of_object(request), f"{bucket}/{request.key}")}
            if request.status == 404:  # and not 403, as to those who may not list
                needed.add(Permission("s3:ListBucket", bucket))
            return needed
        case "s3" if "list-type" in request.query:
            return {Permission("s3:ListBucket", f"arn:aws:s3:::{request.bucket}")}
        case "s3" if request.deleted:
            return {Permission("s3:DeleteObject", f"arn:aws:s3:::{request.bucket}/{key}") for key in request.deleted}
        case "s3" if "versions" in request.query:
            return {Permission("s3:ListBucketVersions", f"arn:aws:s3:::{request.bucket}")}
        case "s3" if request.bucket and request.method == "GET" and _CONFIGURATION.keys() & set(request.query):
            [asked] = _CONFIGURATION.keys() & set(request.query)
            return {Permission(_CONFIGURATION[asked], f"arn:aws:s3:::{request.bucket}")}
        case "s3" if request.bucket and request.method == "HEAD":
            return {Permission("s3:ListBucket", f"arn:aws:s3:::{request.bucket}")}
        case "sns" if request.operation == "ListSubscriptionsByTopic":
            return {Permission("sns:ListSubscriptionsByTopic", request.form["TopicArn"][0])}
        case "sns" if request.operation == "Publish":
            return {Permission("sns:Publish", request.form["TopicArn"][0])}
        case "monitoring" if request.operation == "DescribeAlarms":
            return {Permission("cloudwatch:DescribeAlarms", f"arn:aws:cloudwatch:{request.regions}:{ACCOUNT}:alarm:*")}
        case "monitoring" if request.operation in ("ListMetrics", "GetMetricData"):
            return {Permission(f"cloudwatch:{request.operation}", "*")}
    raise AssertionError(f"which permission does this need? {request}")


def _of_object(request):
    """The action of a request about an object."""
    match request.method:
        case "GET" if "uploadId" in request.query:
            return "s3:ListMultipartUploadParts"
        case "DELETE" if "uploadId" in request.query:
            return "s3:AbortMultipartUpload"
        case "GET" | "HEAD":
            return "s3:GetObjectVersion" if "versionId" in request.query else "s3:GetObject"
        case "DELETE":
            return "s3:DeleteObjectVersion" if "versionId" in request.query else "s3:DeleteObject"
        case "PUT" | "POST":  # POST begins and completes an upload
            return "s3:PutObject"
    raise AssertionError(f"which action is this? {request}")


def _of_jobs(request):
    """What a request about Batch Operations needs; a job is made with tags, and with a role passed to it."""
    job, _, rest = request.path.removeprefix(_JOBS).lstrip("/").partition("/")
    jobs = f"arn:aws:s3:{request.regions}:{ACCOUNT}:job"
    match request.method, job, rest:
        case "POST", "", "":
            return {Permission("s3:CreateJob", "*"), Permission("s3:PutJobTagging", f"{jobs}/any")}
        case "GET", "", "":
            return {Permission("s3:ListJobs", "*")}
        case "GET", job, "":
            return {Permission("s3:DescribeJob", f"{jobs}/{job}")}
        case "POST", job, "status":
            return {Permission("s3:UpdateJobStatus", f"{jobs}/{job}")}
    raise AssertionError(f"which permission does this need? {request}")


def _list(value):
    return value if isinstance(value, list) else [value]
