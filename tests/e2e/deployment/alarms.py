"""Alarms of another stack, whose names the automation was told: requests to home's bucket fail."""

from events import COMPOSITE_ALARM, METRIC_ALARM


class Alarms:
    """A metric alarm on home's bucket and a composite one over it, neither with actions of its own."""

    def __init__(self, cloud, bucket):
        self._cloudwatch = cloud.client("cloudwatch")
        self._cloudwatch.put_metric_alarm(
            AlarmName=METRIC_ALARM,
            Namespace="AWS/S3",
            MetricName="5xxErrors",
            Dimensions=[{"Name": "BucketName", "Value": bucket}, {"Name": "FilterId", "Value": "EntireBucket"}],
            Statistic="Average",
            Period=60,
            EvaluationPeriods=1,
            Threshold=0.5,
            ComparisonOperator="GreaterThanThreshold",
        )
        self._cloudwatch.put_composite_alarm(AlarmName=COMPOSITE_ALARM, AlarmRule=f'ALARM("{METRIC_ALARM}")')

    def go_off(self):
        """Both are in ALARM: the composite one follows."""
        self._cloudwatch.set_alarm_state(AlarmName=METRIC_ALARM, StateValue="ALARM", StateReason="requests fail")
