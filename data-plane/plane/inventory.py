"""What there is to tear down: the data plane's stacks, and what they name as far as it is still there. Read-only."""

from botocore.exceptions import ClientError

from plane.clients import MRAP_REGION
from plane.emptying import count
from plane.progress import Failed

ACCESS_POINT, BUCKET, KEY = "AWS::S3::MultiRegionAccessPoint", "AWS::S3::Bucket", "AWS::KMS::Key"
KEY_DAYS = 30  # until a key is really gone; the deletion can be cancelled before


class Inventory:
    def __init__(self, clients, plan, stacks):
        """Looks all stacks up, and refuses to go on beside one that only shares a name with ours."""
        self._clients = clients
        self._plan = plan
        for region, name in plan.stacks():
            stacks.check_ours(region, name)
        self._resources = {
            (region, name): stacks.resources(region, name)
            for region, name in plan.stacks()
            if stacks.settled(region, name) is not None
        }

    @property
    def stacks(self):
        """Region and name of every stack that exists."""
        return list(self._resources)

    def of_type(self, kind):
        """Region and physical id of every such resource that the stacks name."""
        return [
            (region, physical)
            for (region, _), resources in self._resources.items()
            for resource_type, physical in resources.values()
            if resource_type == kind
        ]

    def lines(self):
        """All of it in words, one line each."""
        for _, name in self.of_type(ACCESS_POINT):
            if alias := self._alias(name):
                yield f"access point {name}: its alias {alias} never comes back"
        for region, bucket in self.of_type(BUCKET):
            if self.has_bucket(region, bucket):
                yield f"bucket {bucket}: {count(self._clients('s3', region), bucket)}"
        for region, key in self.of_type(KEY):
            if self.is_key_going(region, key):
                yield f"key {key} in {region}: its deletion is scheduled already"
            else:
                yield f"key {key} in {region}: it ends {KEY_DAYS} days later; until then that can be cancelled"
        for region, name in self.stacks:
            yield f"stack {name} in {region}, with all else that is in it"

    def has_bucket(self, region, bucket):
        """Whether the bucket is still there, and this account's: a deleted one's name is free for anybody."""
        try:
            self._clients("s3", region).head_bucket(Bucket=bucket, ExpectedBucketOwner=self._plan.account)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 404:
                return False
            if status == 403:
                raise Failed(
                    f"{bucket} may not be read: either permissions are missing, or it was deleted and its name is "
                    f"another account's now. In that case delete stack {self._plan.config.member_stack} in {region} by "
                    "hand"
                ) from error
            raise
        return True

    def is_key_going(self, region, key):
        """Whether the key's deletion is scheduled."""
        return self._clients("kms", region).describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"

    def _alias(self, name):
        """The access point's alias, or None where it is gone."""
        control = self._clients("s3control", MRAP_REGION)
        try:
            answer = control.get_multi_region_access_point(AccountId=self._plan.account, Name=name)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchMultiRegionAccessPoint":
                return None
            raise
        return answer["AccessPoint"]["Alias"]
