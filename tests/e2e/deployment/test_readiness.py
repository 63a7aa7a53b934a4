"""Readiness with everything deployed: what somebody breaks is found by the next look, told, and found mended."""

import json

import pytest
from automation import until
from cloud import CONTROL_REGION

# The schedule is looked at every ten seconds and fires within a minute.
A_MINUTE = 75

# MiniStack answers these two with a listing of the bucket, which is no answer to the question.
NOT_ANSWERED = (": request metrics", ": who pays")

only_plain = pytest.mark.parametrize("cloud", ["plain"], indirect=True, scope="session")


class Members:
    """The last member and the way to it, to be broken and mended as at the console."""

    def __init__(self, cloud, plane, stack):
        self._cloud, self._stack = cloud, stack
        self.home, self.region = plane.home, plane.regions[-1]
        self.source, self.bucket = plane.bucket(self.home), plane.bucket(self.region)
        self.topics = plane.parameters["ReplicationEventTopicArns"].split(",")

    def s3(self, region=None):
        return self._cloud.client("s3", region or self.region)

    def rule(self, status):
        """Of the rule from home to the last member."""
        configuration = self.s3(self.home).get_bucket_replication(Bucket=self.source)["ReplicationConfiguration"]
        for rule in configuration["Rules"]:
            if rule["Destination"]["Bucket"].endswith(f":{self.bucket}"):
                rule["Status"] = status
        self.s3(self.home).put_bucket_replication(Bucket=self.source, ReplicationConfiguration=configuration)

    def versioning(self, status):
        self.s3().put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": status})

    def subscriptions(self):
        """Of the topic of the last member's replication events, with a client for it."""
        topic = next(arn for arn in self.topics if f":{self.region}:" in arn)
        sns = self._cloud.client("sns", self.region)
        return sns, topic, sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]


class Policy:
    """Takes the bucket policy away; puts it back."""

    def broken(self, members):
        self._policy = members.s3().get_bucket_policy(Bucket=members.bucket)["Policy"]
        members.s3().delete_bucket_policy(Bucket=members.bucket)
        return f"delegation/{members.bucket}"

    def mend(self, members):
        members.s3().put_bucket_policy(Bucket=members.bucket, Policy=self._policy)


class Versioning:
    """Suspends it."""

    def broken(self, members):
        members.versioning("Suspended")
        return f"versioning/{members.bucket}"

    def mend(self, members):
        members.versioning("Enabled")


class Rule:
    """Disables it."""

    def broken(self, members):
        members.rule("Disabled")
        return f"rule/{members.source} to {members.bucket}"

    def mend(self, members):
        members.rule("Enabled")


class Subscription:
    """Takes the queue's subscription of a member's topic away."""

    def broken(self, members):
        sns, _, [self._one] = members.subscriptions()
        sns.unsubscribe(SubscriptionArn=self._one["SubscriptionArn"])
        return f"replication-events/{members.bucket}"

    def mend(self, members):
        sns, topic, _ = members.subscriptions()
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=self._one["Endpoint"])


@pytest.fixture
def members(cloud, plane, stack):
    return Members(cloud, plane, stack)


def found(stack):
    return {one["id"]: one for one in stack.readiness()["findings"]}


def strange(report):
    """Findings about what cannot be read, but for what MiniStack answers with a listing of the bucket."""
    unread = (one for one in report["findings"] if one["check"] in ("permission", "readable"))
    return [one for one in unread if not one["evidence"].split(" could not")[0].endswith(NOT_ANSWERED)]


def test_all_may_be_looked_at(stack, plane):
    """Whatever IAM enforces: no permission is missing, and everything answers."""
    answer = stack.readiness()
    assert not strange(answer), answer["report"]
    assert answer["unread"] == len(NOT_ANSWERED) * len(plane.regions), answer["report"]
    assert answer["checked"] > 40


def test_a_fresh_deployment_is_sound(stack, plane):
    """Of the data plane that the scripts made nothing is found, and of the stack only what it has yet to get.

    MiniStack takes metrics configurations and forgets them, and makes no metrics of what functions print: a self-test
    that the health check made never arrives.
    """
    report = stack.readiness()
    assert not strange(report), report["report"]
    checks = {one["check"] for one in report["findings"]}
    yet_to_come = {"topic-subscribed", "rehearsal", "vantage-point", "self-test", "watchdog", "bucket-key", "readable"}
    assert checks <= {*yet_to_come, "request-metrics"}, report["report"]
    assert report["report"].splitlines()[-1].startswith("Rehearsed"), report["report"]


@pytest.fixture
def looking(stack):
    """The automation with a readiness check that looks every minute; every hour again afterwards."""
    stack.look("rate(1 minute)")
    yield stack
    stack.look("rate(1 hour)")


def test_the_schedule_looks_and_writes_the_report(cloud, looking, members):
    """Nobody asks: what is broken, and what is mended, stands in the report all the same."""
    bucket = looking.outputs["StateBucketName"]

    def found():
        body = cloud.client("s3", CONTROL_REGION).get_object(Bucket=bucket, Key="drift.json")["Body"]
        return {one["id"] for one in json.load(body)["findings"]}

    looking.readiness()
    broken = Versioning()
    expected = broken.broken(members)
    try:
        until("a look that finds it", lambda: expected in found(), A_MINUTE)
    finally:
        broken.mend(members)
    until("a look that finds it mended", lambda: expected not in found(), A_MINUTE)


@only_plain
@pytest.mark.parametrize("what", [Versioning, Rule, Policy, Subscription], ids=lambda what: what.__name__.lower())
def test_what_is_broken_is_found_told_and_found_mended(cloud, stack, members, subscribed, what):
    mailbox = subscribed(stack.outputs["NotificationTopicArn"])
    before = set(found(stack))
    broken = what()
    expected = broken.broken(members)
    try:
        now = found(stack)
        assert set(now) - before == {expected}
        assert now[expected]["evidence"] and now[expected]["remedy"]

        def told(event, field):
            letters = [one for one in mailbox.receive() if one["attributes"].get("event") == event]
            return [one for one in letters if expected in json.dumps(one["body"][field])]

        until(f"an announcement about {expected}", lambda: told("readiness-changed", "new"))
        body = cloud.client("s3", CONTROL_REGION).get_object(
            Bucket=stack.outputs["StateBucketName"], Key="drift.json"
        )["Body"]
        assert expected in [one["id"] for one in json.load(body)["findings"]]
        assert expected in [one["id"] for one in stack.command("status")["drift"]["findings"]]
    finally:
        broken.mend(members)
    assert set(found(stack)) == before
    until(f"the announcement that {expected} is mended", lambda: told("readiness-changed", "fixed"))


@only_plain
def test_the_command_of_the_outputs_tells_people(stack):
    answer = stack.run_output("ReadinessCommand")
    assert answer["report"].startswith(answer["explanation"])
