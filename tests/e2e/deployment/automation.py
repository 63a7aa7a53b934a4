"""The automation as its users have it: deployed with SAM, asked with the AWS CLI, heard through SNS."""

import json
import time

import sam
from cloud import ACCOUNT, CONTROL_REGION
from sam import STACK

SECOND_TOPIC_REGION = "us-west-1"
# Fast enough for a test, or out of its way.
PACE = {
    "CooldownSeconds": 0,
    "MinDwellSeconds": 0,
    "SettleSeconds": 10,
    "DailyBudget": 50,
    "EvidenceTriggerSeconds": 86400,  # nothing but the alarms of the tests opens a trigger, and three bad rounds
    "EvidenceMaxAgeSeconds": 20,
    "ProbeTimeoutMillis": 1000,
    "RedriveBatchSeconds": 0,
}
PATIENCE_SECONDS = 20


def until(what, found, seconds=PATIENCE_SECONDS):
    """What `found()` gives as soon as it is something; an error that says `what` was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        if result := found():
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.2)


class Automation:
    """The stack of `template.yaml` over an access point."""

    def __init__(self, cloud, plane, safeguards=None):
        self._cloud = cloud
        self._plane = plane
        self._safeguards = safeguards
        self._mode = None
        self._changed = {}
        self._second_topic = cloud.client("sns", SECOND_TOPIC_REGION).create_topic(Name="notifications")["TopicArn"]

    # --- deploying -------------------------------------------------------------------------------

    def deploy(self, mode, **changed):
        """The command that `data-plane/deploy` printed, and what the tests need; parameters once changed stay so."""
        self._changed |= changed
        parameters = {
            **PACE,
            "Mode": mode,
            "Architecture": sam.ARCHITECTURE,
            "SecondTopicArn": self._second_topic,
            **({} if "TriggerAlarms" in self._plane.parameters else {"TriggerAlarms": "checkout-*"}),
            **(self._safeguards.parameters if self._safeguards else {}),
            **self._changed,
        }
        said = sam.deploy(self._plane.command, parameters, self._cloud.environment, self._cloud.commands_log)
        if self._safeguards:
            self._safeguards.bind_roles(STACK, CONTROL_REGION)
        self.watch(False)
        self._mode = mode
        return said

    def watch(self, watching):
        """Switches the health check's schedule. Off but for its own tests: the others look at the failover alone."""
        self._reschedule("HealthCheckFunctionRun", State="ENABLED" if watching else "DISABLED")

    def look(self, rate):
        """Changes how often the readiness check looks by itself."""
        self._reschedule("ReadinessCheckFunctionTick", ScheduleExpression=rate)

    def _reschedule(self, logical_id, **changes):
        scheduler = self._cloud.client("scheduler")
        schedule = scheduler.get_schedule(Name=self.resource(logical_id))
        kept = ("Name", "GroupName", "ScheduleExpression", "Target", "FlexibleTimeWindow", "Description")
        scheduler.update_schedule(**{name: schedule[name] for name in kept if name in schedule} | changes)

    def in_mode(self, mode):
        """Deployed with this mode; nothing to do if it is already."""
        if self._mode != mode:
            self.deploy(mode)
        assert self.command("status")["mode"] == mode, "the alias has not got it"

    @property
    def outputs(self):
        stack = self._cloud.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}

    def resource(self, logical_id):
        """Its physical name or ARN."""
        described = self._cloud.client("cloudformation").describe_stack_resource(
            StackName=STACK, LogicalResourceId=logical_id
        )
        return described["StackResourceDetail"]["PhysicalResourceId"]

    @property
    def function(self):
        """The function's name, without the alias."""
        return self.outputs["FailoverFunction"].partition(":")[0]

    @property
    def live_version(self):
        return self._cloud.client("lambda").get_alias(FunctionName=self.function, Name="live")["FunctionVersion"]

    # --- asking ----------------------------------------------------------------------------------

    def invoke(self, payload):
        """The function's answer to an event or a command; an error of the function is one here."""
        return self._invoked(self.outputs["FailoverFunction"], payload)

    def _invoked(self, function, payload):
        answer = self._cloud.client("lambda").invoke(FunctionName=function, Payload=json.dumps(payload))
        body = json.load(answer["Payload"])
        assert "FunctionError" not in answer, f"{str(payload)[:500]}: {body}"
        return body

    def command(self, name, **fields):
        return self.invoke({"command": name, **fields})

    def redrive(self, name, **fields):
        """The answer of the redrive function to a command."""
        return self._invoked(self.outputs["RedriveFunction"], {"command": name, **fields})

    def readiness(self):
        """The answer of the readiness check, which looks anew."""
        return self._invoked(self.outputs["ReadinessCheckFunction"], {"command": "readiness"})

    def deliver(self, bodies):
        """Messages to the replication-events function, as Lambda hands them on from its queue; what failed of them."""
        arn = self.outputs["ReplicationEventsQueueArn"]
        records = [
            {
                "messageId": f"00000000-0000-0000-0000-{number:012}",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1795193943250"},
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": arn,
                "awsRegion": CONTROL_REGION,
            }
            for number, body in enumerate(bodies)
        ]
        function = self.resource("ReplicationEventsFunction")
        answer = self._invoked(f"{function}:live", {"Records": records})
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def run_output(self, output, **replaced):
        """Runs a command of the stack's outputs in a shell, as it stands there."""
        command = self.outputs[output]
        for word, value in replaced.items():
            command = command.replace(word, value)
        # PyPI has version 1 of the AWS CLI, which never takes a payload for base64 and knows no such option.
        command = command.replace(" --cli-binary-format raw-in-base64-out", "")
        return json.JSONDecoder().raw_decode(self._cloud.run(command).stdout)[0]

    # --- looking ---------------------------------------------------------------------------------

    @property
    def dials(self):
        """What the routes API says, by Region."""
        routes = self._cloud.client("s3control", "us-east-1").get_multi_region_access_point_routes(
            AccountId=ACCOUNT, Mrap=self._plane.mrap_arn
        )["Routes"]
        return {route["Region"]: route["TrafficDialPercentage"] for route in routes}

    def wait_for_dials(self, expected):
        until(f"the dials {expected}", lambda: self.dials == expected)

    # --- tidying up ------------------------------------------------------------------------------

    def go_home(self):
        """Everything as at first, as an operator brings it about: alarms OK, no hold, routes home, nothing open."""
        cloudwatch = self._cloud.client("cloudwatch")
        described = cloudwatch.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"], StateValue="ALARM")
        for alarm in described["MetricAlarms"] + described["CompositeAlarms"]:
            cloudwatch.disable_alarm_actions(AlarmNames=[alarm["AlarmName"]])
            cloudwatch.set_alarm_state(AlarmName=alarm["AlarmName"], StateValue="OK", StateReason="the test is over")
            cloudwatch.enable_alarm_actions(AlarmNames=[alarm["AlarmName"]])
        if self.command("status")["hold"]:
            self.command("release", reason="the test is over")
        if self.dials != self._plane.dials_at_home:
            self.command("failback", reason="the test is over", force=True)
            self.wait_for_dials(self._plane.dials_at_home)
        self.command("tick")  # sees that the alarms are OK
        if incident := self.command("status")["incident"]:
            self.command("acknowledge", incident=incident)
        status = self.command("status")
        assert not status["incident"] and not status["triggers"] and not status["hold"], status
