"""Alarms in the shapes in which AWS delivers them, about a bucket whose requests fail."""

import json
from datetime import UTC, datetime

from cloud import ACCOUNT, CONTROL_REGION

METRIC_ALARM, SLOW_ALARM, COMPOSITE_ALARM = "checkout-5xx", "checkout-slow", "checkout-outage"


def arn(alarm):
    return f"arn:aws:cloudwatch:{CONTROL_REGION}:{ACCOUNT}:alarm:{alarm}"


def event(bucket, **detail):
    """What CloudWatch puts on the event bus; `detail` is added to the state or, as `muteDetail`, beside it."""
    mute = {"muteDetail": detail.pop("muteDetail")} if "muteDetail" in detail else {}
    return {
        "version": "0",
        "id": "c4c1c1c9-6542-e61b-6ef0-8c4d36933a92",
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "account": ACCOUNT,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": CONTROL_REGION,
        "resources": [arn(METRIC_ALARM)],
        "detail": {
            "alarmName": METRIC_ALARM,
            "configuration": _configuration(bucket),
            "previousState": {"value": "OK", "timestamp": _now()},
            "state": {**_state(), **detail},
            **mute,
        },
    }


def action(bucket, alarm=METRIC_ALARM):
    """With what an alarm calls its Lambda action."""
    return {
        "source": "aws.cloudwatch",
        "alarmArn": arn(alarm),
        "accountId": ACCOUNT,
        "time": _now(),
        "region": CONTROL_REGION,
        "alarmData": {
            "alarmName": alarm,
            "state": _state(),
            "previousState": {"value": "OK", "timestamp": _now()},
            "configuration": _configuration(bucket),
        },
    }


def composite_message():
    """What a composite alarm publishes; its Region is that of the child which triggered it."""
    return json.dumps(
        {
            "AlarmName": COMPOSITE_ALARM,
            "AlarmDescription": None,
            "AWSAccountId": ACCOUNT,
            "NewStateValue": "ALARM",
            "NewStateReason": f"{arn(METRIC_ALARM)} transitioned to ALARM",
            "StateChangeTime": _now(),
            "Region": "US East (Ohio)",
            "AlarmArn": arn(COMPOSITE_ALARM),
            "OKActions": [],
            "AlarmActions": [],
            "InsufficientDataActions": [],
            "OldStateValue": "OK",
            "AlarmRule": f'ALARM("{METRIC_ALARM}")',
            "TriggeringChildren": [
                {"Arn": arn(METRIC_ALARM), "State": {"Value": "ALARM", "Timestamp": _now()}},
            ],
        }
    )


def _state():
    return {"value": "ALARM", "reason": "Threshold Crossed: 1 datapoint was greater than 0.5.", "timestamp": _now()}


def _configuration(bucket):
    metric = {
        "namespace": "AWS/S3",
        "name": "5xxErrors",
        "dimensions": {"BucketName": bucket, "FilterId": "EntireBucket"},
    }
    return {
        "metrics": [
            {"id": "m1", "metricStat": {"metric": metric, "period": 60, "stat": "Average"}, "returnData": True}
        ]
    }


def _now():
    """CloudWatch's own spelling: milliseconds, and an offset without a colon."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")
