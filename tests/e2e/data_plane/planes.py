"""A data plane under test: its configuration, the scripts as a user runs them, and what AWS holds afterwards."""

import contextlib
import http.client
import io
import runpy
import subprocess
import sys
import time

import boto3
import processes
from botocore.config import Config
from botocore.exceptions import ClientError

MAIN_ACCOUNT = "111122223333"  # the only one that requests signed with SigV4A can belong to
CONTROL_REGION = "us-east-2"
SCRIPT_SECONDS = 60
TWO_MEMBERS = """
name = "app"
control_region = "us-east-2"
[[member]]
region = "us-east-1"
[[member]]
region = "eu-west-1"
"""


class Plane:
    def __init__(self, server, folder, text, account):
        self.account = account
        self._server = server
        self._file = folder / "plane.toml"
        self._clients = {}
        self.in_a_process = False  # as a user runs the scripts, which takes a second more
        self.configure(text)

    def configure(self, text):
        self._file.write_text(text)

    @property
    def file(self):
        return str(self._file)

    def deploy(self, *arguments, status=0):
        return self._run("deploy", arguments, status)

    def tear_down(self, *arguments, status=0):
        return self._run("tear-down", arguments, status)

    def _run(self, script, arguments, status):
        """What the script printed, both streams; it must end with `status`."""
        path = str(processes.REPOSITORY / "data-plane" / script)
        run = _in_a_process if self.in_a_process else _in_this_process
        ended, printed = run(path, [self.file, *arguments])
        assert ended == status, printed
        assert "Traceback" not in printed, printed
        return printed

    def client(self, service, region, account=None):
        key = (service, region, account or self.account)
        if key not in self._clients:
            self._clients[key] = boto3.client(
                service,
                region_name=region,
                endpoint_url=self._server.url,
                aws_access_key_id=key[2],
                aws_secret_access_key="any",
                config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, read_timeout=20),
            )
            if service == "s3control":
                self._clients[key].meta.events.register("before-sign.s3-control", _without_account_in_host)
        return self._clients[key]

    def s3(self, region):
        return self.client("s3", region)

    def bucket(self, region, name="app"):
        return f"{name}-{self.account}-{region}"

    def stack(self, region, name):
        """The stack's description, or None."""
        try:
            return self.client("cloudformation", region).describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            assert "does not exist" in str(error)
            return None

    def make_stack(self, region, name, body, parameters=None, account=None, tags=None):
        """Creates a stack and waits until it is settled; returns its status."""
        cloudformation = self.client("cloudformation", region, account)
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=body,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in (parameters or {}).items()],
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Tags=[{"Key": key, "Value": value} for key, value in (tags or {}).items()],
        )
        for _ in range(200):
            status = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
            if not status.endswith("_IN_PROGRESS"):
                return status
            time.sleep(0.05)
        raise AssertionError(f"{name} is still {status}")

    def alias(self, name="app"):
        control = self.client("s3control", "us-west-2")
        return control.get_multi_region_access_point(AccountId=self.account, Name=name)["AccessPoint"]["Alias"]

    def mrap_arn(self, name="app"):
        return f"arn:aws:s3::{self.account}:accesspoint/{self.alias(name)}"

    def routes(self, name="app"):
        """The dial of each bucket."""
        answer = self.client("s3control", "us-east-1").get_multi_region_access_point_routes(
            AccountId=self.account, Mrap=self.mrap_arn(name)
        )
        return {route["Bucket"]: route["TrafficDialPercentage"] for route in answer["Routes"]}

    def turn(self, dials, name="app"):
        self.client("s3control", "us-east-1").submit_multi_region_access_point_routes(
            AccountId=self.account,
            Mrap=self.mrap_arn(name),
            RouteUpdates=[{"Bucket": bucket, "TrafficDialPercentage": dial} for bucket, dial in dials.items()],
        )

    def policy(self, name="app"):
        """The access point's established policy as text."""
        answer = self.client("s3control", "us-west-2").get_multi_region_access_point_policy(
            AccountId=self.account, Name=name
        )
        return answer["Policy"]["Established"]["Policy"]

    def put_through_access_point(self, key, body, name="app"):
        """PUT to the access point's host name. MiniStack does not check the signature, so it is left blank."""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = {
            "Host": f"{self.alias(name)}.accesspoint.s3-global.amazonaws.com",
            "X-Amz-Date": now,
            "X-Amz-Region-Set": "*",
            "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD",
            "Authorization": f"AWS4-ECDSA-P256-SHA256 Credential={self.account}/{now[:8]}/s3/aws4_request, "
            "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-region-set, Signature=00",
        }
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=5)
        try:
            connection.request("PUT", f"/{key}", body=body, headers=headers)
            assert connection.getresponse().status == 200
        finally:
            connection.close()

    def replication_status(self, region, key, name="app"):
        """COMPLETED, REPLICA, "" for an object that no rule covers, or None where there is no such object."""
        try:
            head = self.s3(region).head_object(Bucket=self.bucket(region, name), Key=key)
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
            return None
        return head.get("ReplicationStatus", "")

    def rules(self, region, name="app"):
        """The bucket's replication rules by id, as S3 tells them."""
        answer = self.s3(region).get_bucket_replication(Bucket=self.bucket(region, name))
        return {rule["ID"]: rule for rule in answer["ReplicationConfiguration"]["Rules"]}

    def snapshot(self, regions, name="app"):
        """All that a deployment leaves in the account, without what differs from account to account."""
        found = {}
        for region in regions:
            bucket, s3 = self.bucket(region, name), self.s3(region)
            found[region] = {
                "stack": self.stack(region, f"{name}-member")["StackStatus"].split("_")[-1],
                "versioning": s3.get_bucket_versioning(Bucket=bucket)["Status"],
                "rules": self.rules(region, name),
                "lifecycle": s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"],
                "policy": s3.get_bucket_policy(Bucket=bucket)["Policy"],
                "topics": s3.get_bucket_notification_configuration(Bucket=bucket).get("TopicConfigurations"),
            }
            for topic in found[region]["topics"] or []:
                topic.pop("Id")
        found["routes"] = self.routes(name)
        found["policy"] = self.policy(name).replace(self.alias(name), "ALIAS")
        return str(found).replace(self.account, "ACCOUNT")

    def left_over(self, regions):
        """Everything of ours that is still in the account; keys on their way out do not count."""
        found = [bucket["Name"] for bucket in self.s3("us-east-1").list_buckets()["Buckets"]]
        found += [role["RoleName"] for role in self.client("iam", "us-east-1").list_roles()["Roles"]]
        control = self.client("s3control", "us-west-2")
        found += control.list_multi_region_access_points(AccountId=self.account).get("AccessPoints", [])
        for region in {*regions, "us-west-2"}:
            stacks = self.client("cloudformation", region).describe_stacks()["Stacks"]
            found += [stack["StackName"] for stack in stacks]
            sns = self.client("sns", region)
            found += [topic["TopicArn"] for topic in sns.list_topics()["Topics"]]
            found += [each["SubscriptionArn"] for each in sns.list_subscriptions()["Subscriptions"]]
            found += self.client("sqs", region).list_queues().get("QueueUrls", [])
            found += [rule["Name"] for rule in self.client("events", region).list_rules()["Rules"]]
            found += [group["logGroupName"] for group in self.client("logs", region).describe_log_groups()["logGroups"]]
            alarms = self.client("cloudwatch", region).describe_alarms()["MetricAlarms"]
            found += [alarm["AlarmName"] for alarm in alarms]
            kms = self.client("kms", region)
            aliases = [alias["AliasName"] for alias in kms.list_aliases()["Aliases"]]
            found += [alias for alias in aliases if not alias.startswith("alias/aws/")]
            for key in kms.list_keys()["Keys"]:
                metadata = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
                if metadata["KeyState"] != "PendingDeletion":
                    found.append(metadata["Arn"])
        return found


def _in_a_process(script, arguments):
    done = subprocess.run(
        [sys.executable, script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SCRIPT_SECONDS,
    )
    return done.returncode, done.stdout


def _in_this_process(script, arguments):
    printed = io.StringIO()
    before, sys.argv = sys.argv, [script, *arguments]
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        return end.code, printed.getvalue()
    finally:
        sys.argv = before
    raise AssertionError("the script ended without an exit code")


def _without_account_in_host(request, **_):
    head, _, tail = request.url.partition("//")
    request.url = f"{head}//{tail.split('.', 1)[1]}" if tail[:12].isdigit() else request.url
