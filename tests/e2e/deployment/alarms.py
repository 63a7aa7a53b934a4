"""Alarms about home, and their ways to the function: two of another stack, and the template's own."""

import contextlib
import json

import events
from events import COMPOSITE_ALARM, METRIC_ALARM, SLOW_ALARM
from mailbox import Mailbox


class Alarms:
    """Two metric alarms on home's bucket and a composite one over the first, none with actions of its own."""

    def __init__(self, cloud, plane):
        self._cloud = cloud
        self._plane = plane
        self._home = plane.bucket(plane.home)
        self._cloudwatch = cloud.client("cloudwatch")
        for name in (METRIC_ALARM, SLOW_ALARM):
            self._cloudwatch.put_metric_alarm(
                AlarmName=name,
                Namespace="AWS/S3",
                MetricName="5xxErrors",
                Dimensions=[{"Name": "BucketName", "Value": self._home}, {"Name": "FilterId", "Value": "EntireBucket"}],
                Statistic="Average",
                Period=60,
                EvaluationPeriods=1,
                Threshold=0.5,
                ComparisonOperator="GreaterThanThreshold",
            )
        self._cloudwatch.put_composite_alarm(AlarmName=COMPOSITE_ALARM, AlarmRule=f'ALARM("{METRIC_ALARM}")')

    def go_off(self, name=METRIC_ALARM):
        """It is in ALARM; the composite one follows the first."""
        self._cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="requests fail")

    def reach(self, stack, shape):
        """An alarm goes off and reaches the function of the stack in this shape; the alarm's name."""
        if shape == "own":
            return self._own(stack)
        self.go_off()
        if shape == "composite":
            self._publish(stack, events.composite_message())
            return COMPOSITE_ALARM
        payload = {"event": events.event, "action": events.action}[shape](self._home)
        self._cloud.client("lambda").invoke(  # as EventBridge and alarms do: asynchronously
            FunctionName=stack.outputs["FailoverFunction"], InvocationType="Event", Payload=json.dumps(payload)
        )
        return METRIC_ALARM

    def _own(self, stack):
        """From the metric over the template's alarm to AlarmTopic, and from there to the function."""
        alias, region = self._plane.alias, self._plane.home
        name = f"mrap-sentinel-{alias.removesuffix('.mrap')}-{region}-{self._home}"
        dimensions = [{"Name": "Mrap", "Value": alias}, {"Name": "Region", "Value": region}]
        with contextlib.closing(Mailbox(self._cloud, stack.outputs["AlarmTopicArn"])) as mailbox:
            self._cloudwatch.put_metric_data(
                Namespace="MrapSentinel",
                MetricData=[{"MetricName": "Availability", "Dimensions": dimensions, "Value": 0, "Unit": "Percent"}],
            )
            sent = mailbox.wait_for("the alarm", lambda letter: letter["body"].get("AlarmName") == name)["body"]
        assert sent["NewStateValue"] == "ALARM"
        [alarm] = self._cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        assert alarm["StateValue"] == "ALARM"
        # MiniStack leaves out the ARN, which AWS sends and without which the function refuses the message: the
        # same again with it, on the same way.
        self._publish(stack, json.dumps({**sent, "AlarmArn": alarm["AlarmArn"]}))
        return name

    def _publish(self, stack, message):
        topic = stack.outputs["AlarmTopicArn"]
        self._cloud.client("sns").publish(TopicArn=topic, Message=message, Subject="ALARM")
