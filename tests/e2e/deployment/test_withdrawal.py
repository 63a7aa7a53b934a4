"""Taking the automation away again. Last, as nothing is left to be tried afterwards."""

import pytest
from botocore.exceptions import ClientError
from cloud import CONTROL_REGION
from sam import STACK
from sam import program as sam_program

pytestmark = pytest.mark.parametrize("cloud", ["enforced"], indirect=True, scope="session")


def test_deleting_the_stack_keeps_the_state(cloud, plane, stack):
    """The state bucket stays, with what is in it and its policy; function, topics and alarms are gone."""
    stack.command("hold", reason="to be remembered")
    outputs, function = stack.outputs, stack.function
    cloud.run([sam_program(), "delete", "--stack-name", STACK, "--region", CONTROL_REGION, "--no-prompts"])

    s3, bucket = cloud.client("s3"), outputs["StateBucketName"]
    assert b"to be remembered" in s3.get_object(Bucket=bucket, Key="state.json")["Body"].read()
    assert "TlsOnly" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    with pytest.raises(ClientError, match="ResourceNotFound"):
        cloud.client("lambda").get_function(FunctionName=function)
    topics = [each["TopicArn"] for each in cloud.client("sns").list_topics()["Topics"]]
    assert not {outputs["AlarmTopicArn"], outputs["NotificationTopicArn"]} & set(topics)
    left = cloud.client("cloudwatch").describe_alarms(AlarmNamePrefix=STACK)["MetricAlarms"]
    assert not [each["AlarmName"] for each in left]
    assert stack.dials == plane.dials_at_home, "the access point goes on as it was"
