"""What becomes of failed replications, with everything deployed: from S3's event to a row of the ledger, and home."""

import json

import pytest
import replications
from replications import REASON, Failures, group_of, message, record


@pytest.fixture
def failures(cloud, plane, stack):
    return Failures(cloud, plane, stack)


@pytest.fixture
def tried_soon(failures):
    """What failed is tried again after a second, not after minutes."""
    before = failures.retry_after(1)
    yield
    failures.retry_after(before)


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


def logged(cloud, stack, group):
    """Every line in a log group of the stack."""
    pages = cloud.client("logs").get_paginator("filter_log_events").paginate(logGroupName=stack.resource(group))
    return [event["message"] for page in pages for event in page["events"]]
