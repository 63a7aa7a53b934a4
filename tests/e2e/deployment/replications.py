"""Failed replications: S3's events about them, the ways these take, and the rows that the collector makes of them."""

import hashlib
import itertools
import json
from datetime import UTC, datetime
from urllib.parse import quote_plus

from automation import until
from cloud import ACCOUNT, CONTROL_REGION

REASON = "DstPutObjectNotPermitted"
_numbers = itertools.count(1)


def record(plane, key, region=None, reason=REASON, bucket=None, name="OperationFailedReplication"):
    """One of S3's records: this object's replication from a member to the next one failed."""
    region = region or plane.home
    destination = next(other for other in plane.regions if other != region)
    failed = {"failureReason": reason} if name == "OperationFailedReplication" else {}
    return {
        "eventVersion": "2.6",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "eventName": f"Replication:{name}",
        "userIdentity": {"principalId": "s3.amazonaws.com"},
        "requestParameters": {"sourceIPAddress": "s3.amazonaws.com"},
        "responseElements": {"x-amz-request-id": "123bf045-2b4b-4ca8-a211-c34a63c59426", "x-amz-id-2": "12VAWND"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "replication",
            "bucket": {
                "name": bucket or plane.bucket(region),
                "ownerIdentity": {"principalId": ACCOUNT},
                "arn": f"arn:aws:s3:::{bucket or plane.bucket(region)}",
            },
            "object": {
                "key": quote_plus(key, safe=""),
                "size": 3,
                "eTag": "e12345ca7e88a38428305d3ff7fcb99f",
                "versionId": f"3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrH{next(_numbers):04}",
                "sequencer": "0066DA1CBF104C0D51",
            },
        },
        "replicationEventData": {
            "replicationRuleId": f"to-{destination}",
            "destinationBucket": f"arn:aws:s3:::{plane.bucket(destination)}",
            "s3Operation": "OBJECT_PUT",
            "requestTime": "2026-11-20T21:03:59.168Z",
            **failed,
        },
    }


def group_of(one):
    """The id of the group to which a record's failure belongs."""
    data = one["replicationEventData"]
    words = one["s3"]["bucket"]["name"], data["destinationBucket"].rpartition(":")[2], data["replicationRuleId"]
    return hashlib.sha256("\0".join([*words, data["failureReason"]]).encode()).hexdigest()[:16]


def message(*records):
    return json.dumps({"Records": [*records]})


def notification(topic, body):
    """As SNS wraps a message unless the subscription says raw."""
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
            "TopicArn": topic,
            "Subject": "Amazon S3 Notification",
            "Message": body,
            "Timestamp": "2026-11-21T10:00:00.000Z",
            "SignatureVersion": "1",
            "Signature": "EXAMPLE",
            "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService.pem",
            "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
        }
    )


class Failures:
    """The queue of the events with its dead letters, and the ledger."""

    def __init__(self, cloud, plane, stack):
        self._cloud = cloud
        self._plane = plane
        self._sqs = cloud.client("sqs")
        self._s3 = cloud.client("s3", CONTROL_REGION)
        self.queue = stack.resource("ReplicationEventsQueue")
        self.dead_letter_queue = stack.outputs["ReplicationEventsDeadLetterQueueUrl"]
        self._bucket = stack.outputs["StateBucketName"]

    # --- events ----------------------------------------------------------------------------------

    def publish(self, region, body):
        """To the topic to which the member's bucket sends; from there SNS brings it to the queue."""
        topics = self._plane.parameters["ReplicationEventTopicArns"].split(",")
        [topic] = [topic for topic in topics if topic.split(":")[3] == region]
        self._cloud.client("sns", region).publish(TopicArn=topic, Message=body)
        return topic

    def send(self, *bodies):
        """Into the queue, together."""
        entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
        sent = self._sqs.send_message_batch(QueueUrl=self.queue, Entries=entries)
        assert not sent.get("Failed"), sent

    def retry_after(self, seconds):
        """How long a message stays hidden that was tried in vain."""
        before = self._sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["VisibilityTimeout"])
        self._sqs.set_queue_attributes(QueueUrl=self.queue, Attributes={"VisibilityTimeout": str(seconds)})
        return int(before["Attributes"]["VisibilityTimeout"])

    def wait_until_handled(self):
        """Until nothing is in the queue, neither waiting nor being tried."""
        wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

        def is_empty():
            found = self._sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=wanted)["Attributes"]
            return all(found[name] == "0" for name in wanted)

        until("an empty queue", is_empty, seconds=60)

    def dead_letters(self, number):
        """So many bodies of the dead-letter queue, which is emptied."""
        bodies = []

        def all_there():
            received = self._sqs.receive_message(QueueUrl=self.dead_letter_queue, MaxNumberOfMessages=10)
            for letter in received.get("Messages", []):
                bodies.append(letter["Body"])
                self._sqs.delete_message(QueueUrl=self.dead_letter_queue, ReceiptHandle=letter["ReceiptHandle"])
            return len(bodies) >= number

        until(f"{number} dead letters", all_there, seconds=60)
        return bodies

    # --- ledger ----------------------------------------------------------------------------------

    @property
    def files(self):
        """The keys of all files of rows that are not settled."""
        listed = self._s3.list_objects_v2(Bucket=self._bucket, Prefix="ledger/open/").get("Contents", [])
        return sorted(entry["Key"] for entry in listed)

    @property
    def rows(self):
        """Key and version of every such row, with the group that its file's header tells."""
        found = []
        for key in self.files:
            header, *lines = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read().decode().splitlines()
            header = json.loads(header)
            assert (header["format"], header["schema"]) == ("mrap-sentinel/ledger", 1), header
            [group] = header["groups"]
            for line in lines:
                object_key, version, _failed_at, attempts, _size, index = json.loads(line)
                assert (attempts, index) == (0, 0)
                found.append((object_key, version, group["source"], group["destination"], group["reason"]))
            assert key.split("/")[2] == hashlib.sha256(
                "\0".join([group["source"], group["destination"], group["rule"], group["reason"]]).encode()
            ).hexdigest()[:16]
        return found

    def wait_for_rows(self, *keys):
        """The rows of these objects, as soon as all are there."""

        def there():
            found = [row for row in self.rows if row[0] in keys]
            return found if {row[0] for row in found} == {*keys} else None

        return until(f"rows of {keys}", there)
