"""S3's Batch Operations, which MiniStack has not: the simulator, with the plane's members and work buckets in it."""

import contextlib
import json
import urllib.request

import clients
import processes
from automation import until
from cloud import ACCOUNT

_JOBS = "/v20180820/jobs"
_QUICK = {"start": 0, "end": 200}
_PHASES = ("new", "preparing", "generating", "ready", "completing", "stopping")


class BatchOperations:
    """Started when made; `close` ends it. What failed to replicate in it fails for the reason it is told."""

    def __init__(self, cloud, plane):
        self._plane = plane
        self._members = {plane.bucket(region) for region in plane.regions}
        self._work_buckets = dict(entry.split("@") for entry in plane.parameters["WorkBuckets"].split(","))
        blueprint = cloud.folder / "simulator.json"
        blueprint.write_text(json.dumps(self._blueprint()))
        self._server = processes.start_simulator(blueprint, cloud.folder / "simulator.log")
        self._diversion = contextlib.ExitStack()
        self._diversion.enter_context(cloud.proxy.diverted(self._is_wanted, self._server.port, ACCOUNT))

    def close(self):
        self._diversion.close()
        self._server.stop()

    def client(self, service, region):
        return clients.client(service, region, self._server.url, ACCOUNT)

    # --- people and their applications -----------------------------------------------------------

    def write(self, region, *keys):
        """Objects in a member; their versions by key."""
        s3, bucket = self.client("s3", region), self._plane.bucket(region)
        return {key: s3.put_object(Bucket=bucket, Key=key, Body=key.encode())["VersionId"] for key in keys}

    def delete(self, region, key, version):
        self.client("s3", region).delete_object(Bucket=self._plane.bucket(region), Key=key, VersionId=version)

    @contextlib.contextmanager
    def refused(self, source, destination, reason):
        """Replication between these Regions fails meanwhile."""
        pair = {"source": self._plane.bucket(source), "destination": self._plane.bucket(destination)}
        self._control("POST", "replication", {**pair, "reason": reason})
        try:
            yield
        finally:
            self._control("POST", "replication", {**pair, "reason": None})

    # --- what AWS knows --------------------------------------------------------------------------

    def events(self, failures):
        """The messages of S3 about so many failures."""
        found = []

        def all_there():
            found.extend(each["body"] for each in self._control("GET", "messages"))
            return sum(body.count("OperationFailedReplication") for body in found) >= failures

        until(f"events of {failures} failures", all_there)
        return found

    @property
    def jobs(self):
        """Every job as S3 Control describes it, in the order of their creation."""
        described = []
        for region in self._plane.regions:
            control = self.client("s3control", region)
            for job in control.list_jobs(AccountId=ACCOUNT)["Jobs"]:
                described.append(control.describe_job(AccountId=ACCOUNT, JobId=job["JobId"])["Job"])
        return sorted(described, key=lambda job: job["CreationTime"])

    def status(self, region, key, version):
        """Of a version's replication: REPLICA, COMPLETED, FAILED; None where there is no such version."""
        s3 = self.client("s3", region)
        try:
            return s3.head_object(Bucket=self._plane.bucket(region), Key=key, VersionId=version)["ReplicationStatus"]
        except s3.exceptions.ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
            return None

    # ---------------------------------------------------------------------------------------------

    def _is_wanted(self, request):
        """A function's request about jobs, manifests, reports or versions; canaries stay where they are."""
        if request.service != "s3" or "aws-sdk-rust" not in request.headers.get("user-agent", ""):
            return False  # of the tests, or of the commands that they run
        if request.path.startswith(_JOBS) or request.bucket in self._work_buckets:
            return True
        return request.bucket in self._members and "versionId" in request.query

    def _blueprint(self):
        return {
            "account": ACCOUNT,
            "mraps": [
                {
                    "alias": self._plane.alias,
                    "members": [
                        {"bucket": self._plane.bucket(region), "region": region} for region in self._plane.regions
                    ],
                }
            ],
            "buckets": [
                {"name": bucket, "region": region, "versioning": "unversioned"}
                for bucket, region in self._work_buckets.items()
            ],
            "timing": {
                "service": {"start": 0, "end": 1},
                "replication": _QUICK,
                "event_delivery": _QUICK,
                "late_event": 0.0,
                **{f"job_{phase}": _QUICK for phase in _PHASES},
            },
            "jobs": {"late_failures": 0.0},
        }

    def _control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._server.url}/_sim/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)
