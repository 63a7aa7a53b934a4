"""What CloudFormation does not know of an access point: its policy and its routes."""

import json

from botocore.exceptions import ClientError

from plane.clients import MRAP_REGION
from plane.progress import Failed

POLICY_ID = "mrap-sentinel"
WAIT_SECONDS = 30 * 60


def policy(account, arn):
    """Over TLS only, and who of this account may come in is IAM's to say; the buckets delegate to this."""
    resources = [arn, f"{arn}/object/*"]
    return {
        "Version": "2012-10-17",
        "Id": POLICY_ID,
        "Statement": [
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": resources,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
            {
                "Sid": "IamDecides",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                "Action": [
                    "s3:AbortMultipartUpload",
                    "s3:DeleteObject",
                    "s3:GetObject",
                    "s3:ListBucket",
                    "s3:PutObject",
                ],
                "Resource": resources,
            },
        ],
    }


class AccessPoint:
    def __init__(self, clients, progress, account, name, arn):
        self._control = clients("s3control", MRAP_REGION)
        self._progress = progress
        self._account = account
        self._name = name
        self._arn = arn

    def finish(self, home, topology):
        """First routes, then the policy.

        An access point that has no policy yet is one that we have just created: a policy can be replaced but never
        deleted, and ours is put after the routes. So an interrupted run goes on, and the dial of an access point that
        may be in use is never touched.
        """
        established, proposed = self._policies()
        if not established and not proposed:
            self._submit_first_routes(home, topology)
        self._put_policy(established, proposed)

    def _submit_first_routes(self, home, topology):
        routes = self._control.get_multi_region_access_point_routes(AccountId=self._account, Mrap=self._arn)["Routes"]
        dials = {route["Bucket"]: route["TrafficDialPercentage"] for route in routes}
        wanted = {bucket: 100 if bucket == home or topology == "active-active" else 0 for bucket in dials}
        if dials == wanted:
            return
        if set(dials.values()) != {100}:
            self._progress.say(f"routes: left as they are, somebody has turned them already: {_shown(dials)}")
            return
        if self._progress.change(f"routes: {_shown(wanted)}"):
            self._control.submit_multi_region_access_point_routes(
                AccountId=self._account,
                Mrap=self._arn,
                RouteUpdates=[
                    {"Bucket": bucket, "TrafficDialPercentage": dial}
                    for bucket, dial in wanted.items()
                    if dial != dials[bucket]
                ],
            )

    def _put_policy(self, established, proposed):
        wanted = policy(self._account, self._arn)
        last = proposed or established
        if last == wanted:
            if established != wanted:
                self._progress.wait("the access point's policy", WAIT_SECONDS, lambda: self._policies()[0] == wanted)
            self._progress.say("policy: no change")
            return
        if last and last.get("Id") != POLICY_ID:
            self._progress.say(f'policy: left as it is, because its Id is not "{POLICY_ID}" and so it is not ours')
            return
        if not self._progress.change("put the policy: TLS only, this account's principals as IAM allows"):
            return
        token = self._control.put_multi_region_access_point_policy(
            AccountId=self._account,
            Details={"Name": self._name, "Policy": json.dumps(wanted)},
        )["RequestTokenARN"]
        self._progress.wait("the access point's policy", WAIT_SECONDS, lambda: self._succeeded(token))

    def _succeeded(self, token):
        operation = self._control.describe_multi_region_access_point_operation(
            AccountId=self._account, RequestTokenARN=token
        )["AsyncOperation"]
        if operation["RequestStatus"].startswith("FAILED"):
            details = operation.get("ResponseDetails", {}).get("ErrorDetails", {})
            raise Failed(f"putting the access point's policy failed: {details.get('Code')}: {details.get('Message')}")
        return operation["RequestStatus"].startswith("SUCCE")  # SUCCESS in AWS's documentation, SUCCEEDED seen

    def _policies(self):
        """The established and the proposed policy, None where there is none."""
        try:
            answer = self._control.get_multi_region_access_point_policy(AccountId=self._account, Name=self._name)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchMultiRegionAccessPointPolicy":
                return None, None
            raise
        texts = [answer.get("Policy", {}).get(state, {}).get("Policy") for state in ("Established", "Proposed")]
        return tuple(json.loads(text) if text else None for text in texts)


def _shown(dials):
    return ", ".join(f"{bucket} {dial}" for bucket, dial in dials.items())
