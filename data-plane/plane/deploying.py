"""The sequence of `data-plane/deploy`."""

import shlex

from botocore.exceptions import ClientError

from plane.access_point import AccessPoint
from plane.buckets import Buckets
from plane.clients import MRAP_REGION
from plane.command import DONE
from plane.plan import Plan
from plane.progress import Failed
from plane.stacks import Stacks, parameters_of


def deploy(config, clients, progress, unwire):
    """Brings everything about and says what to do next; `progress.changes` counts what was not as it should be."""
    Deployment(config, clients, progress).run(unwire)
    return DONE


class Deployment:
    def __init__(self, config, clients, progress):
        self._config = config
        self._clients = clients
        self._progress = progress
        self._plan = Plan(config, clients.account(config))
        self._stacks = Stacks(clients, progress, self._plan.own_tags())

    def run(self, unwire):
        progress, config = self._progress, self._config
        progress.say(f"account {self._plan.account}, {len(config.members)} members, home {config.members[0].region}")
        existing, wired = self._look_around()
        queue = self._queue()
        if wired and not queue and not unwire:
            raise Failed(
                f"{', '.join(wired)} send replication events to an automation, but no stack {config.automation_stack} "
                f"with a queue is in {config.control_region}; nothing was changed. Either automation_stack or "
                "control_region is mistyped: correct it in the configuration. Or that stack was deleted: run this "
                "again with --unwire, which stops the events and the forwarding of alarms"
            )

        progress.step("Buckets, without rules where the others may not exist yet")
        missing = [member for member in config.members if member.region not in existing]
        for member in config.members:
            if member.region in existing:
                progress.say(f"stack {config.member_stack} in {member.region}: exists")
        self._stacks.bring_about([self._plan.first_pass(member) for member in missing])

        progress.step("Access point, and replication towards every other member")
        if progress.dry_run and missing:
            self._say_what_follows(missing)
            keys = None
        else:
            keys = self._keys()
            wanted = [self._plan.second_pass(member, keys, queue) for member in config.members]
            self._stacks.bring_about([self._plan.access_point(), *wanted])

        arn = (self._stacks.outputs(MRAP_REGION, config.access_point_stack) or {}).get("MrapArn")
        if arn:
            home = self._plan.bucket(config.members[0])
            access_point = AccessPoint(self._clients, progress, self._plan.account, config.name, arn)
            access_point.finish(home, config.topology)
        elif progress.dry_run:
            progress.change("set its first routes and put its policy")

        if keys is not None:
            progress.step("What S3 says of the buckets")
            for member in config.members:
                Buckets(self._clients, progress, self._plan).mend(member, keys)

        if config.watchdog:
            self._watch(arn, queue)

        self._say_the_end(arn, keys, queue)

    def _watch(self, arn, queue):
        """Only once there is a heartbeat to wait for: it would call people at once."""
        self._progress.step(f"The watchdog in {self._config.watchdog.region}")
        if arn and queue:
            self._stacks.bring_about([self._plan.watchdog(arn)])
        else:
            self._progress.say("not yet: it waits for the heartbeat of the automation, which does not exist")

    def _look_around(self):
        """The Regions whose member stack is there, and those of them that are wired to an automation.

        Everything that would fail later fails here, before any change.
        """
        for region, stack in self._plan.stacks():
            self._stacks.check_ours(region, stack)
        self._check_access_point()
        existing, wired = set(), []
        for member in self._config.members:
            stack = self._stacks.working(member.region, self._config.member_stack)
            if stack is None:
                self._check_names_are_free(member)
                continue
            existing.add(member.region)
            present = parameters_of(stack)
            if present.get("ReplicationEventsQueueArn"):
                wired.append(member.region)
            wanted = self._plan.first_pass(member).parameters
            for fixed in ("Name", "BucketName", "WorkBucketName", "Encryption"):
                if present.get(fixed) != wanted[fixed]:
                    raise Failed(
                        f"member {member.region} exists with {fixed} {present.get(fixed)}, the configuration says "
                        f"{wanted[fixed]}: that cannot be changed. Restore it in the configuration, or build a new "
                        "data plane under another name beside this one"
                    )
        return existing, wired

    def _check_access_point(self):
        stack = self._stacks.working(MRAP_REGION, self._config.access_point_stack)
        if stack is None:
            return
        present = {
            each["ParameterValue"] for each in stack["Parameters"] if each["ParameterKey"].startswith("Member")
        }
        wanted = {self._plan.bucket(member) for member in self._config.members}
        if present != wanted:
            raise Failed(
                f"the access point {self._config.name} exists over {', '.join(sorted(present))}; its buckets can never "
                f"be changed to {', '.join(sorted(wanted))}. Restore the members, or deploy another access point under "
                "another name over the same buckets and move the clients"
            )

    def _check_names_are_free(self, member):
        for bucket in (self._plan.bucket(member), self._plan.work_bucket(member)):
            try:
                self._clients("s3", member.region).head_bucket(Bucket=bucket)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    continue
            raise Failed(
                f"bucket {bucket} exists already, and not by this data plane. Remedy: name another one in the "
                "configuration; if a deleted stack left it here, delete it or import it into a stack; to use existing "
                "buckets and an existing access point deploy template.yaml alone"
            )

    def _queue(self):
        """The automation's queue, or None as long as that stack does not exist."""
        self._progress.step(f"The automation's stack {self._config.automation_stack} in {self._config.control_region}")
        outputs = self._stacks.outputs(self._config.control_region, self._config.automation_stack)
        queue = (outputs or {}).get("ReplicationEventsQueueArn")
        if queue:
            self._progress.say(f"replication events go to {queue}")
        elif outputs:
            self._progress.say("it has no output ReplicationEventsQueueArn: nothing is wired to it")
        else:
            self._progress.say("does not exist yet: nothing is wired to it")
        return queue

    def _keys(self):
        """Every member's key by Region; empty with SSE-S3."""
        if self._config.encryption != "kms":
            return {}
        stack = self._config.member_stack
        return {
            member.region: self._stacks.outputs(member.region, stack)["KmsKeyArn"] for member in self._config.members
        }

    def _say_what_follows(self, missing):
        if self._stacks.describe(MRAP_REGION, self._config.access_point_stack) is None:
            self._progress.change(f"create stack {self._config.access_point_stack} in {MRAP_REGION}")
        new = ", ".join(member.region for member in missing)
        for member in self._config.members:
            others = ", ".join(other.region for other in self._config.others(member))
            because = "" if member in missing else f", because {new} is new"
            self._progress.change(
                f"update stack {self._config.member_stack} in {member.region}: rules towards {others}{because}"
            )

    def _say_the_end(self, arn, keys, queue):
        progress, config = self._progress, self._config
        if progress.dry_run:
            progress.step(f"{progress.changes} changes would be made; nothing was changed")
            return
        progress.step(f"Done: {progress.changes} changes" if progress.changes else "Done: nothing had to be changed")
        if queue:
            progress.step(
                "The automation is deployed and wired. Its parameters, for the next `sam deploy` from the checkout's "
                "root:"
            )
        else:
            progress.step("Next, from the checkout's root after `sam build`:")
        print(f"\nsam deploy --stack-name {config.automation_stack} --region {config.control_region} \\")
        print("  --parameter-overrides \\")
        print(" \\\n".join(f"    {_override(*each)}" for each in self._plan.automation(arn, keys).items()))
        if not self._somebody_is_told():
            progress.step(
                "NOTE nobody is told of anything yet: append NotificationEmail=… or subscribe to the automation's topic"
            )
        if not queue:
            watch = ", and makes the watchdog" if config.watchdog else ""
            print(f"\nThen run this again: it wires the replication events and alarms to that stack{watch}.")

    def _somebody_is_told(self):
        """By the configuration, or by what the automation was given since it exists."""
        if self._config.notification_email:
            return True
        region, name = self._config.control_region, self._config.automation_stack
        if parameters_of(self._stacks.working(region, name) or {}).get("SecondTopicArn"):
            return True
        topic = (self._stacks.outputs(region, name) or {}).get("NotificationTopicArn")
        if topic is None:
            return False
        return bool(self._clients("sns", region).list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"])


def _override(key, value):
    """A parameter as bash hands it to SAM, which splits it at blanks unless it finds quotes of its own."""
    override = f'{key}="{value}"'
    return override if shlex.quote(value) == value else shlex.quote(override)
