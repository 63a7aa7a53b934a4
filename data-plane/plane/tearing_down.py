"""The sequence of `data-plane/tear-down`.

A stack is the only proof that a bucket is ours, so it goes last: buckets and keys, which outlive a deleted stack, are
looked up in it and deleted while it exists. Whatever an interrupted run left is found by the next.
"""

import shlex
import sys

from botocore.exceptions import ClientError

from plane.clients import MRAP_REGION
from plane.command import DONE, FAILED
from plane.emptying import empty
from plane.inventory import BUCKET, KEY, KEY_DAYS, Inventory
from plane.plan import Plan
from plane.progress import Failed
from plane.stacks import Stacks, parameters_of


def tear_down(config, clients, progress):
    """Deletes everything, or with a dry run only lists it; answers with the exit code."""
    return TearDown(config, clients, progress).run()


class TearDown:
    def __init__(self, config, clients, progress):
        self._config = config
        self._clients = clients
        self._progress = progress
        self._plan = Plan(config, clients.account(config))
        self._stacks = Stacks(clients, progress, self._plan.own_tags())

    def run(self):
        progress = self._progress
        progress.step(f"What there is in account {self._plan.account}")
        self._inventory = Inventory(self._clients, self._plan, self._stacks)
        if not self._inventory.stacks:
            progress.step("Done: there was nothing left")
            return DONE
        self._check_automation()
        for line in self._inventory.lines():
            progress.say(line)
        if progress.dry_run:
            again = f"{shlex.join(sys.argv)} --yes-delete-data"
            progress.step(f"Nothing was deleted. To delete all of this for ever: {again}")
            return FAILED

        progress.step("Access point: first, so that no request is answered from a bucket that is being emptied")
        self._delete_stacks([each for each in self._inventory.stacks if each == self._access_point_stack()])

        # Before any deletion: as long as one rule is left, a bucket that is empty may fill again.
        progress.step("Replication rules and events")
        for region, bucket in self._inventory.of_type(BUCKET):
            self._quieten(region, bucket)

        progress.step("Buckets")
        for region, bucket in self._inventory.of_type(BUCKET):
            self._delete_bucket(region, bucket)

        progress.step("Keys and stacks")
        for region, key in self._inventory.of_type(KEY):
            self._schedule_key_deletion(region, key)
        self._delete_stacks([each for each in self._inventory.stacks if each != self._access_point_stack()])
        progress.step(f"Done: {progress.changes} changes")
        return DONE

    def _access_point_stack(self):
        return MRAP_REGION, self._config.access_point_stack

    def _check_automation(self):
        """Goes before what it watches: what is left of it would call for people, and be wired to nothing."""
        region, name = self._config.control_region, self._config.automation_stack
        stack = self._stacks.describe(region, name)
        if stack is None or not self._watches_this(stack):
            return
        remedy = f"`sam delete --stack-name {name} --region {region}`"
        if not self._progress.dry_run:
            raise Failed(
                f"stack {name} in {region} still watches this access point and would call it broken; nothing was "
                f"deleted. Remedy: {remedy} first, then run this again"
            )
        self._progress.say(f"NOTE stack {name} in {region} still watches this access point: first {remedy}")

    def _watches_this(self, stack):
        """An automation over other buckets only shares the name."""
        members = parameters_of(stack).get("Members")
        if members is None:
            return True
        watched = {member.partition("@")[0].strip() for member in members.split(",")}
        return not watched.isdisjoint(self._plan.bucket(member) for member in self._config.members)

    def _delete_stacks(self, stacks):
        for region, name in stacks:
            self._progress.change(f"delete stack {name} in {region}")
            self._stacks.delete(region, name)
        for region, name in stacks:
            self._stacks.wait_until_gone(region, name)

    def _quieten(self, region, bucket):
        """No rule may fill a bucket again, and no event is sent of what is deleted."""
        if not self._inventory.has_bucket(region, bucket):
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

    def _delete_bucket(self, region, bucket):
        if not self._inventory.has_bucket(region, bucket):
            self._progress.say(f"{bucket}: gone")
            return
        s3 = self._clients("s3", region)
        self._progress.change(f"{bucket}: delete")
        for _ in range(5):  # what was on its way when the rules went may still arrive
            if deleted := empty(s3, bucket, self._progress):
                self._progress.say(f"{bucket}: {deleted} versions and delete markers deleted")
            try:
                s3.delete_bucket(Bucket=bucket)
                return
            except ClientError as error:
                if error.response["Error"]["Code"] != "BucketNotEmpty":
                    raise
        raise Failed(f"{bucket} fills faster than it is emptied: stop whoever writes to it and run this again")

    def _schedule_key_deletion(self, region, key):
        if self._inventory.is_key_going(region, key):
            self._progress.say(f"key {key} in {region}: will be deleted")
            return
        self._progress.change(f"key {key} in {region}: delete in {KEY_DAYS} days; until then that can be cancelled")
        self._clients("kms", region).schedule_key_deletion(KeyId=key, PendingWindowInDays=KEY_DAYS)
