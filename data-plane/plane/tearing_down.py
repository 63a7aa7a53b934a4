"""The sequence of `data-plane/tear-down`.

A stack is the only proof that a bucket is ours, so it goes last: buckets and keys, which outlive a deleted stack, are
looked up in it and deleted while it exists. Whatever an interrupted run left is found by the next.
"""

from botocore.exceptions import ClientError

from plane.clients import MRAP_REGION
from plane.emptying import count, empty, shown
from plane.plan import Plan
from plane.progress import Failed
from plane.stacks import Stacks

KEY_DAYS = 30  # until a key is really gone; the deletion can be cancelled before


def tear_down(config, clients, progress, delete_data):
    TearDown(config, clients, progress).run(delete_data)


class TearDown:
    def __init__(self, config, clients, progress):
        self._config = config
        self._clients = clients
        self._progress = progress
        self._plan = Plan(config, clients.account(config))
        self._stacks = Stacks(clients, progress, self._plan.own_tags())

    def run(self, delete_data):
        progress, config = self._progress, self._config
        progress.step("What is there")
        if self._stacks.describe(config.control_region, config.automation_stack):
            progress.say(
                f"NOTE stack {config.automation_stack} in {config.control_region} still watches this access point and "
                "will call it broken: delete that stack too"
            )
        for region, stack in self._plan.stacks():
            self._stacks.check_ours(region, stack)
        resources = self._resources()
        self._check_data(resources, delete_data, "nothing was changed")

        progress.step("Access point: first, so that no request is answered from a bucket that is being emptied")
        self._delete_access_point()
        if not delete_data:  # that took minutes
            self._check_data(resources, delete_data, "the access point is gone, the buckets are as they were")

        # Before any deletion: as long as one rule is left, a bucket that is empty may fill again.
        progress.step("Replication rules and events")
        for region, stack in resources.items():
            for bucket in _of_type(stack, "AWS::S3::Bucket"):
                self._quieten(region, bucket)

        progress.step("Buckets")
        for region, stack in resources.items():
            for bucket in _of_type(stack, "AWS::S3::Bucket"):
                self._delete_bucket(region, bucket, delete_data)

        progress.step("Keys and stacks")
        for region, stack in resources.items():
            for key in _of_type(stack, "AWS::KMS::Key"):
                self._schedule_key_deletion(region, key)
            progress.change(f"delete stack {config.member_stack} in {region}")
            self._stacks.delete(region, config.member_stack)
        for region in resources:
            self._stacks.wait_until_gone(region, config.member_stack)
        progress.step(f"Done: {progress.changes} changes" if progress.changes else "Done: there was nothing left")

    def _resources(self):
        """The resources of every member's stack that exists, by Region."""
        found = {}
        for member in self._config.members:
            if self._stacks.settled(member.region, self._config.member_stack) is not None:
                found[member.region] = self._stacks.resources(member.region, self._config.member_stack)
                self._progress.say(f"stack {self._config.member_stack} in {member.region}")
        return found

    def _check_data(self, resources, delete_data, so_far):
        """Refuses to go on if there is data and nobody said that it may go."""
        filled = []
        for region, stack in resources.items():
            for bucket in _of_type(stack, "AWS::S3::Bucket"):
                if self._is_ours(region, bucket) and (found := count(self._clients("s3", region), bucket)):
                    filled.append(f"{bucket}: {shown(found)} versions, delete markers and uploads")
                    self._progress.say(filled[-1])
        if filled and not delete_data:
            raise _there_is_data(so_far, filled)

    def _delete_access_point(self):
        name = self._config.access_point_stack
        stack = self._stacks.settled(MRAP_REGION, name)
        if stack is None:
            self._progress.say("gone")
            return
        self._progress.change(f"delete stack {name} in {MRAP_REGION}")
        self._stacks.delete(MRAP_REGION, name)
        self._stacks.wait_until_gone(MRAP_REGION, name)

    def _quieten(self, region, bucket):
        """No rule may fill a bucket again, and no event is sent of what is deleted."""
        if not self._is_ours(region, bucket):
            return
        s3 = self._clients("s3", region)
        if "TopicConfigurations" in s3.get_bucket_notification_configuration(Bucket=bucket):
            self._progress.change(f"{bucket}: send no more events")
            s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
        try:
            s3.get_bucket_replication(Bucket=bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ReplicationConfigurationNotFoundError":
                return
            raise
        self._progress.change(f"{bucket}: remove the replication rules")
        s3.delete_bucket_replication(Bucket=bucket)

    def _delete_bucket(self, region, bucket, delete_data):
        if not self._is_ours(region, bucket):
            self._progress.say(f"{bucket}: gone")
            return
        s3 = self._clients("s3", region)
        self._progress.change(f"{bucket}: delete")
        for _ in range(5):  # what was on its way when the rules went may still arrive
            if delete_data and (deleted := empty(s3, bucket, self._progress)):
                self._progress.say(f"{bucket}: {deleted} versions and delete markers deleted")
            try:
                s3.delete_bucket(Bucket=bucket)
                return
            except ClientError as error:
                if error.response["Error"]["Code"] != "BucketNotEmpty":
                    raise
                if not delete_data:
                    raise _there_is_data(
                        "the access point, the replication rules and what was empty are gone",
                        [f"{bucket} was filled meanwhile and is as it was"],
                    ) from error
        raise Failed(f"{bucket} fills faster than it is emptied: stop whoever writes to it and run this again")

    def _schedule_key_deletion(self, region, key):
        kms = self._clients("kms", region)
        if kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion":
            self._progress.say(f"key {key} in {region}: will be deleted")
            return
        self._progress.change(f"key {key} in {region}: delete in {KEY_DAYS} days; until then that can be cancelled")
        kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=KEY_DAYS)

    def _is_ours(self, region, bucket):
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
                    f"another account's now. In that case delete stack {self._config.member_stack} in {region} by hand"
                ) from error
            raise
        return True


def _of_type(resources, kind):
    return [physical for resource_type, physical in resources.values() if resource_type == kind]


def _there_is_data(so_far, filled):
    return Failed(
        f"there is data, and {so_far}. {'; '.join(filled)}. To delete all of it for ever, run this again with "
        "--yes-delete-data"
    )
