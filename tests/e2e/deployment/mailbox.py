"""A queue that people's machines have subscribed to the announcements."""

import itertools
import json

from automation import until

_numbers = itertools.count(1)


class Mailbox:
    """Everything published to `topic` that passes `filter_policy`."""

    def __init__(self, cloud, topic, filter_policy=None):
        self._sqs = cloud.client("sqs")
        self._sns = cloud.client("sns")
        name = f"mailbox-{next(_numbers)}"
        self._queue = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": attributes["QueueArn"],
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._sqs.set_queue_attributes(QueueUrl=self._queue, Attributes={"Policy": policy})
        subscribed = {"FilterPolicy": json.dumps(filter_policy)} if filter_policy else {}
        self._subscription = self._sns.subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=attributes["QueueArn"], Attributes=subscribed
        )["SubscriptionArn"]
        self.letters = []

    def receive(self):
        """All letters so far: the envelopes of SNS, with the message itself as `body` if it is JSON."""
        while received := self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages"):
            for message in received:
                letter = json.loads(message["Body"])
                letter["attributes"] = {
                    name: attribute["Value"] for name, attribute in letter.get("MessageAttributes", {}).items()
                }
                letter["body"] = json.loads(letter["Message"]) if letter["Message"].startswith("{") else None
                self.letters.append(letter)
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return self.letters

    def wait_for(self, what, wanted):
        """The first letter of which `wanted(letter)` holds."""
        return until(f"a letter: {what}", lambda: next(filter(wanted, self.receive()), None))

    def close(self):
        self._sns.unsubscribe(SubscriptionArn=self._subscription)
        self._sqs.delete_queue(QueueUrl=self._queue)
