"""The simulator's answers, byte for byte, against botocore's service models.

The SDKs skip what they do not know, so a misspelt element would pass for an absent one.
"""

from dataclasses import replace

import pytest

import scenarios
import shapes
import world


@pytest.mark.parametrize("scenario", scenarios.ALL + scenarios.SIMULATOR_ONLY, ids=lambda scenario: scenario.name)
def test_answers_fit_the_models(played, scenario):
    """AWS sends what its service models define: these members under these names, times, enums and errors in
    these forms, and an error that is modelled with the status of the model."""
    transcript = played("simulator", scenario)
    wrong = [f"{step.name} ({step.operation}): {line}" for step in scenario.steps for line in shapes.problems(transcript[step])]
    assert not wrong, "\n".join(wrong)


S3 = ("s3", world.HOME_REGION, "GetObject", {"Bucket": world.HOME, "Key": "any"})
ROUTES = ("s3control", world.HOME_REGION, "GetMultiRegionAccessPointRoutes", {"AccountId": world.ACCOUNT})
DESCRIBE_JOB = ("s3control", world.HOME_REGION, "DescribeJob", {"AccountId": world.ACCOUNT, "JobId": "00000000-none"})
SNS = ("sns", world.CONTROL_REGION, "Publish", {"TopicArn": world.TOPIC, "Message": "x"})
CBOR = ("cloudwatch/smithy-rpc-v2-cbor", world.CONTROL_REGION, "DescribeAlarms", {})
JSON = ("cloudwatch/json", world.CONTROL_REGION, "DescribeAlarms", {})


@pytest.mark.parametrize(
    ("kind", "call", "status", "code"),
    [
        ("slow-down", S3, 503, "SlowDown"),
        ("slow-down", ROUTES, 503, "SlowDown"),
        ("too-many-requests", DESCRIBE_JOB, 400, "TooManyRequestsException"),
        ("slow-down", SNS, 503, "ServiceUnavailable"),
        ("slow-down", CBOR, 503, "ServiceUnavailable"),
        ("slow-down", JSON, 503, "ServiceUnavailable"),
        ("internal-error", S3, 500, "InternalError"),
        ("internal-error", ROUTES, 500, "InternalError"),
        ("internal-error", SNS, 500, "InternalError"),
        ("internal-error", CBOR, 500, "InternalServiceError"),
        ("internal-error", JSON, 500, "InternalServiceError"),
        ("access-denied", S3, 403, "AccessDenied"),
        ("access-denied", ROUTES, 403, "AccessDenied"),
        ("access-denied", SNS, 403, "AuthorizationError"),
        ("access-denied", CBOR, 403, "AccessDenied"),
        ("invalid-credentials", S3, 403, "InvalidAccessKeyId"),
        ("invalid-credentials", SNS, 403, "InvalidClientTokenId"),
        ("clock-skew", S3, 403, "RequestTimeTooSkewed"),
    ],
)
def test_faults_are_told_as_aws_tells_them(simulator, kind, call, status, code):
    """Each service tells trouble of its own in its own form: S3 and S3 Control in the codes of S3's error list,
    SNS and CloudWatch in those of their models and of the common errors.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html,
    https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html
    """
    service, region, operation, parameters = call
    parameters = {**parameters, "Mrap": simulator.mrap_arn} if operation == ROUTES[2] else parameters
    with simulator.fault(kind=kind):
        answer = simulator.call(service, region, operation, parameters)
    assert (answer.status, answer.code) == (status, code)
    assert shapes.problems(answer) == []


CHANGES = [
    ("jobs", "create", b"JobId>", b"JobID>"),
    ("jobs", "ended", b"<Status>Complete<", b"<Status>Completed<"),
    ("jobs", "ended", b"DescribeJobResult", b"DescribeJobResponse"),
    ("jobs", "ended", b"ETag>", b"Etag>"),
    ("jobs", "list", b"member>", b"Job>"),
    ("uploads", "parts", b"<Size>3<", b"<Size>three<"),
    ("versions", "list", b"Version>", b"Versions>"),
    ("versions", "list", b"ListVersionsResult", b"ListObjectVersionsResult"),
    ("versions", "list", b"<StorageClass>STANDARD", b"<StorageClass>Standard"),
    ("versions", "list", b".000Z", b""),
    ("versions", "list", b"<IsTruncated>false", b"<IsTruncated>no"),
    ("listing", "all", b"<KeyCount>5", b"<KeyCount>five"),
    ("routes", "get in us-east-1", b"<TrafficDialPercentage>100</TrafficDialPercentage>", b""),
    ("routes", "get in us-east-1", b"<TrafficDialPercentage>100", b"<TrafficDialPercentage>101"),
    ("routes", "get in us-east-1", b"<Routes>", b"<Routes><RouteList/>"),
    ("routes", "unknown MRAP", b"ErrorResponse", b"Response"),
    ("objects", "missing key", b"Code>", b"code>"),
    ("objects", "missing key", b"Error>", b"ErrorResponse>"),
    ("publish", "plain", b"MessageId", b"MessageID"),
    ("publish", "plain", b"PublishResult", b"Result"),
    ("publish", "unknown topic", b"Sender", b"Receiver"),
    ("alarms-in-json", "by name", b'"AlarmArn"', b'"AlarmARN"'),
    ("alarms-in-json", "by name", b'"ALARM"', b'"Alarm"'),
    ("alarms-in-json", "by name", b'"Period":60', b'"Period":"60"'),
    ("alarms-in-json", "no such alarm", b"ResourceNotFound", b"NotFound"),
    ("alarms-in-cbor", "by name", b"hAlarmArn", b"hAlarmARN"),
]


@pytest.mark.parametrize(("scenario", "step", "old", "new"), CHANGES)
def test_a_changed_answer_does_not_fit(played, scenario, step, old, new):
    """No belief about AWS: the check of the models notices what it is there for."""
    scenario = next(each for each in scenarios.ALL + scenarios.SIMULATOR_ONLY if each.name == scenario)
    step = next(each for each in scenario.steps if each.name == step)
    answer = played("simulator", scenario)[step]
    assert old in answer.body
    assert shapes.problems(replace(answer, body=answer.body.replace(old, new)))
