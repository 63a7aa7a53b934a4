"""What becomes of failed replications, with everything deployed: from S3's event to a row of the ledger, and home."""

import contextlib
import json

import pytest
import replications
from automation import until
from batch import BatchOperations
from replications import REASON, Failures, group_of, message, record

PATIENCE_SECONDS = 240
only_plain = pytest.mark.parametrize("cloud", ["plain"], indirect=True, scope="session")
only_enforced = pytest.mark.parametrize("cloud", ["enforced"], indirect=True, scope="session")


@pytest.fixture
def failures(cloud, plane, stack):
    return Failures(cloud, plane, stack)


@pytest.fixture
def tried_soon(failures):
    """What failed is tried again after a second, not after minutes."""
    before = failures.retry_after(1)
    yield
    failures.retry_after(before)


@pytest.fixture(scope="module")
def batch(cloud, plane):
    """Batch Operations, and the data of the members as it knows them."""
    with contextlib.closing(BatchOperations(cloud, plane)) as started:
        yield started


@pytest.fixture
def told(stack, subscribed):
    """`told(event, field=value)`: the next such announcement, without waiting for the schedule's minutes."""
    mailbox, seen = subscribed(stack.outputs["NotificationTopicArn"]), []

    def is_wanted(letter, event, fields):
        about = letter["attributes"].get("event") == event and letter not in seen
        return about and all(letter["body"].get(name) == value for name, value in fields.items())

    def wait(event, **fields):
        def found():
            stack.redrive("tick")
            return next((letter for letter in mailbox.receive() if is_wanted(letter, event, fields)), None)

        seen.append(until(f"an announcement {event}", found, seconds=PATIENCE_SECONDS))
        return seen[-1]

    return wait


# --- Collected -----------------------------------------------------------------------------------


def test_a_failure_of_every_member_becomes_a_row(plane, failures):
    """From S3's topic in the member's Region over the queue in the control Region; MiniStack sends none itself."""
    expected = set()
    for region in plane.regions:
        failed = record(plane, f"orders/{region} 1+1=2, \"two\"\n", region)
        failures.publish(region, message(failed))
        data, s3 = failed["replicationEventData"], failed["s3"]
        destination = data["destinationBucket"].rpartition(":")[2]
        key = f"orders/{region} 1+1=2, \"two\"\n"
        expected.add((key, s3["object"]["versionId"], s3["bucket"]["name"], destination, REASON))
    assert set(failures.wait_for_rows(*(row[0] for row in expected))) == expected


def test_raw_and_wrapped_by_sns_are_the_same(plane, failures):
    raw, wrapped = record(plane, "raw"), record(plane, "wrapped")
    topic = plane.parameters["ReplicationEventTopicArns"].split(",")[0]
    failures.send(message(raw), replications.notification(topic, message(wrapped)))
    rows = failures.wait_for_rows("raw", "wrapped")
    assert [row[2:] for row in rows] == [rows[0][2:]] * 2
    assert {key.split("/")[2] for key in failures.files} >= {group_of(raw)}


def test_a_message_that_comes_again_changes_nothing(plane, failures):
    """SQS delivers at least once."""
    failed = message(record(plane, "twice/1"), record(plane, "twice/2", reason="DstKmsKeyNotFound"))
    failures.send(failed)
    failures.wait_for_rows("twice/1", "twice/2")
    failures.wait_until_handled()
    before = failures.files
    failures.send(failed)
    failures.wait_until_handled()
    assert failures.files == before


def test_a_poisoned_message_ends_among_the_dead_letters_and_its_neighbours_do_not(plane, failures, tried_soon):
    """Five times in vain; what came in the same batch is recorded at once."""
    poison = '{"Records": [{"eventVersion": "2.6", "apple"'
    failures.send(message(record(plane, "before")), poison, message(record(plane, "after")))
    failures.wait_for_rows("before", "after")
    assert failures.dead_letters(1) == [poison]
    failures.wait_until_handled()


def test_a_bucket_that_is_no_member_is_refused_and_counted(cloud, plane, stack, failures, tried_soon):
    """A foreign failure is nobody's to re-drive here; good records beside it are kept."""
    foreign = message(record(plane, "foreign", bucket="somebody-else"), record(plane, "beside"))
    failures.send(foreign)
    failures.wait_for_rows("beside")
    assert failures.dead_letters(1) == [foreign]
    assert "foreign" not in {row[0] for row in failures.rows}
    counted = [line for line in logged(cloud, stack, "ReplicationEventsLogGroup") if "RefusedEvents" in line]
    assert counted and all("_aws" in json.loads(line) for line in counted)


def test_tests_of_s3_and_news_of_lag_make_no_rows(plane, failures):
    """S3 tests a topic when it is told of it; being late is no failure."""
    before = failures.files
    test = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-20T13:18:32.457Z", "Bucket": "any"}
    late = ("OperationMissedThreshold", "OperationReplicatedAfterThreshold", "OperationNotTracked")
    failures.send(json.dumps(test), message(*(record(plane, f"late/{name}", name=name) for name in late)))
    failures.wait_until_handled()
    assert failures.files == before


# --- Re-driven -----------------------------------------------------------------------------------


@only_plain
def test_from_a_failed_put_to_its_proof(plane, stack, failures, batch, told):
    """One page with the remedy; after `retry` a sample, then the rest; found at the destination, and told."""
    home, away = plane.regions[:2]
    keys = [f"orders/{number} 100%+\u00e9" for number in range(25)]
    with batch.refused(home, away, REASON):
        versions = batch.write(home, *keys)
        group = fail(batch, failures, home, len(keys))
        rows = failures.wait_for_rows(*keys)
        assert {(row[0], row[1]) for row in rows} == {*versions.items()}
        page = told("replication-failing", group=group)
        assert (page["attributes"]["severity"], page["attributes"]["region"]) == ("warning", home)
        assert "25 object versions since" in page["body"]["explanation"] and page["body"]["rows"] == len(keys)
        assert group in {each["group"] for each in stack.run_output("RedriveStatusCommand")["groups"]}

        before = len(batch.jobs)
        assert stack.redrive("retry", group=group, reason="too early")["outcome"] == "retrying"
        told("sample-failed", group=group)
        [sample] = batch.jobs[before:]
        assert (sample["Status"], sample["ProgressSummary"]["NumberOfTasksFailed"]) == ("Complete", 10)
        assert fail(batch, failures, home, 10) == group, "the job's own failures sent events too"
        failures.wait_until_handled()

    batch.delete(home, keys[0], versions[keys[0]])
    stack.redrive("retry", group=group, reason="the role may write again")
    told("sample-arrived", group=group)
    end = told("redriven", group=group)["body"]
    assert (end["replicated"], end["final"]) == (len(keys) - 1, 1)
    arrived = {key: batch.status(away, key, version) for key, version in versions.items()}
    assert arrived == {key: None if key == keys[0] else "REPLICA" for key in keys}
    assert not [row for row in failures.rows if row[0] in keys]

    jobs = batch.jobs[before:]
    assert len(jobs) == 3 and {job["Status"] for job in jobs} == {"Complete"}
    for job in jobs:
        assert (job["Priority"], job["RoleArn"]) == (0, stack.outputs["BatchRoleArn"])
        assert f":::app-work-{job['RoleArn'].split(':')[4]}-{home}/mrap-sentinel/{plane.alias}/" in (
            job["Manifest"]["Location"]["ObjectArn"]
        )
    status = stack.run_output("RedriveStatusCommand")
    assert group not in {each["group"] for each in status["groups"] if each["state"] != "closed"}
    assert not status["jobs"]


@only_enforced
def test_a_sweep_is_priced_first_and_finds_what_never_was_replicated(plane, stack, batch, told):
    """Nothing left to find is no failure either."""
    source = plane.bucket(plane.home)
    offer = stack.redrive("sweep", source=source, statuses=["FAILED"], reason="nothing should be left")
    assert offer["outcome"] == "needs-confirmation" and offer["estimate"]["dollarsAtLeast"] == 0.25
    before = len(batch.jobs)
    stack.redrive("sweep", confirm=offer["estimate"]["confirm"], reason="nothing should be left")
    assert "found nothing" in told("sweep-ended", source=source)["body"]["explanation"]
    assert [job["Status"] for job in batch.jobs[before:]] == ["Failed"], "so S3 calls it"


@only_enforced
def test_a_hold_stops_jobs(plane, stack, failures, batch, told):
    """The commands of the outputs, each as it stands there; the jobs of several Regions run side by side."""
    home, second, third = plane.regions
    groups = {}
    for source, destination in ((home, second), (second, third), (third, home)):
        with batch.refused(source, destination, "DstKmsKeyNotFound"):
            batch.write(source, "held")
            groups[source] = fail(batch, failures, source, 1)
            told("replication-failing", group=groups[source])
    before = len(batch.jobs)
    assert stack.run_output("RedriveHoldCommand")["outcome"] == "held"
    assert stack.run_output("RetryCommand", GROUP=groups[second])["outcome"] == "blocked"
    stack.redrive("tick")
    assert len(batch.jobs) == before
    assert stack.run_output("RedriveReleaseCommand")["outcome"] == "released"
    for group in groups.values():
        assert stack.run_output("RetryCommand", GROUP=group)["outcome"] == "retrying"
    for group in groups.values():
        told("redriven", group=group)
    assert len(batch.jobs) == before + 3


def fail(batch, failures, region, number):
    """So many failures of one kind reach the queue over the topic of their Region; their group."""
    groups = set()
    for body in batch.events(number):
        failures.publish(region, body)
        groups |= {group_of(one) for one in json.loads(body).get("Records", []) if "replicationEventData" in one}
    [group] = groups
    return group


def logged(cloud, stack, group):
    """Every line in a log group of the stack."""
    pages = cloud.client("logs").get_paginator("filter_log_events").paginate(logGroupName=stack.resource(group))
    return [event["message"] for page in pages for event in page["events"]]
