"""The same small world on both servers: what is in it, and how each server comes by it."""

from datetime import UTC, datetime, timedelta

ACCOUNT = "111122223333"  # as access key id, the account for both servers
HOME, HOME_REGION = "app-use1", "us-east-1"
AWAY, AWAY_REGION = "app-euw1", "eu-west-1"
STATE, PLAIN, CONTROL_REGION = "sentinel-state", "sentinel-plain", "us-east-2"
TOPIC = f"arn:aws:sns:{CONTROL_REGION}:{ACCOUNT}:notifications"
ALARM, SECOND_ALARM, COMPOSITE = "use1-down", "euw1-down", "use1-outage"
ALARM_DESCRIPTION = "Home is failing"
# Where the simulator's time begins: before the metrics of the tests, at a whole minute as their periods.
EPOCH = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=15)


def mrap_arn(alias):
    return f"arn:aws:s3::{ACCOUNT}:accesspoint/{alias}"


def blueprint():
    """The simulator's world: it begins before the metrics of the tests, and does not keep them waiting."""
    return {
        "epoch": EPOCH.isoformat().replace("+00:00", "Z"),
        "account": ACCOUNT,
        "mraps": [
            {
                "alias": "mfzwi23gnjvgw.mrap",
                "members": [
                    {"bucket": HOME, "region": HOME_REGION},
                    {"bucket": AWAY, "region": AWAY_REGION, "dial": 0},
                ],
            }
        ],
        "buckets": [
            {"name": STATE, "region": CONTROL_REGION},
            {"name": PLAIN, "region": CONTROL_REGION, "versioning": "unversioned"},
        ],
        "topics": [{"region": CONTROL_REGION, "name": "notifications"}],
        "alarms": [
            _alarm(ALARM, {"metric": _metric_rule(HOME_REGION)}, ALARM_DESCRIPTION),
            _alarm(SECOND_ALARM, {"metric": _metric_rule(AWAY_REGION)}),
            _alarm(COMPOSITE, {"composite": {"rule": f'ALARM("{ALARM}")'}}),
        ],
        "timing": {
            "service": _millis(0, 1),
            "job_new": _millis(0, 0),
            "job_preparing": _millis(0, 100),
            "job_generating": _millis(0, 100),
            "job_ready": _millis(0, 0),
            "job_completing": _millis(0, 100),
            "job_stopping": _millis(0, 100),
            "metric_delay": 0,
            "replication": _millis(300, 600),
            "route_propagation": _millis(0, 0),
            "route_conflict_window": _millis(0, 0),
            "conditional_conflict_window": 0,  # one client's calls follow each other faster than AWS answers
        },
    }


def furnish_simulator(aws):
    """Everything came with the blueprint, only the present is still to come; returns the MRAP's alias."""
    world_ms = aws.advance(0)
    aws.advance((datetime.now(UTC) - EPOCH) // timedelta(milliseconds=1) - world_ms)
    return blueprint()["mraps"][0]["alias"]


def furnish_ministack(aws):
    """Builds the world as a customer of AWS would; returns the MRAP's alias."""
    for bucket, region in ((HOME, HOME_REGION), (AWAY, AWAY_REGION), (STATE, CONTROL_REGION), (PLAIN, CONTROL_REGION)):
        s3 = aws.client("s3", region)
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=bucket, **place)
        if bucket != PLAIN:
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for source, region, destination in ((HOME, HOME_REGION, AWAY), (AWAY, AWAY_REGION, HOME)):
        configuration = {"Role": f"arn:aws:iam::{ACCOUNT}:role/replication", "Rules": [_rule_towards(destination)]}
        aws.client("s3", region).put_bucket_replication(Bucket=source, ReplicationConfiguration=configuration)
    control = aws.client("s3control", "us-west-2")
    details = {"Name": "app", "Regions": [{"Bucket": HOME}, {"Bucket": AWAY}]}
    control.create_multi_region_access_point(AccountId=ACCOUNT, ClientToken="once", Details=details)
    alias = control.get_multi_region_access_point(AccountId=ACCOUNT, Name="app")["AccessPoint"]["Alias"]
    passive = {"Bucket": AWAY, "TrafficDialPercentage": 0}
    control.submit_multi_region_access_point_routes(AccountId=ACCOUNT, Mrap=mrap_arn(alias), RouteUpdates=[passive])
    aws.client("sns", CONTROL_REGION).create_topic(Name="notifications")
    cloudwatch = aws.client("cloudwatch", CONTROL_REGION)
    _put_metric_alarm(cloudwatch, ALARM, HOME_REGION, AlarmDescription=ALARM_DESCRIPTION)
    _put_metric_alarm(cloudwatch, SECOND_ALARM, AWAY_REGION)
    cloudwatch.put_composite_alarm(
        AlarmName=COMPOSITE, AlarmRule=f'ALARM("{ALARM}")', **{f"{kind}Actions": [TOPIC] for kind in _ACTIONS}
    )
    return alias


_ACTIONS = ("OK", "Alarm", "InsufficientData")


def _millis(start, end):
    return {"start": start, "end": end}


def _alarm(name, rule, description=None):
    return {
        "region": CONTROL_REGION,
        "name": name,
        "description": description,
        "rule": rule,
        "actions": [TOPIC],
    }


def _metric_rule(region):
    return {
        "metric": {"namespace": "Canary", "name": "Failed", "dimensions": {"Region": region}},
        "statistic": "Average",
        "period_seconds": 60,
        "evaluation_periods": 3,
        "datapoints_to_alarm": 2,
        "threshold": 0.5,
        "comparison": "GreaterThanThreshold",
        "treat_missing": "ignore",
    }


def _put_metric_alarm(cloudwatch, name, region, **more):
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="Canary",
        MetricName="Failed",
        Dimensions=[{"Name": "Region", "Value": region}],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=3,
        DatapointsToAlarm=2,
        Threshold=0.5,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
        **{f"{kind}Actions": [TOPIC] for kind in _ACTIONS},
        **more,
    )


def _rule_towards(destination):
    return {
        "ID": "all",
        "Status": "Enabled",
        "Priority": 1,
        "Filter": {"Prefix": ""},
        "DeleteMarkerReplication": {"Status": "Disabled"},
        "Destination": {"Bucket": f"arn:aws:s3:::{destination}"},
    }
