"""Stacks of CloudFormation, brought to what they should be whatever state they are in."""

import hashlib
from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from plane import templates
from plane.progress import Failed

WAIT_SECONDS = 45 * 60  # creating an access point takes AWS up to half an hour

_GONE = "DELETE_COMPLETE"
_HIDDEN = "****"  # what is told of a parameter with NoEcho
_NEVER_WORKED = ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS")  # nothing in them, and no update possible
_WORKING = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")


@dataclass
class Wanted:
    """What a stack should be."""

    region: str
    name: str
    template: str
    parameters: dict[str, str]
    tags: dict[str, str]
    capabilities: list[str] = field(default_factory=list)
    template_bucket: str | None = None  # where a template that is too large for a call is put

    @property
    def label(self):
        return f"stack {self.name} in {self.region}"


def parameters_of(stack):
    """The parameters in a stack's description."""
    return {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", [])}


class Stacks:
    def __init__(self, clients, progress, tags):
        self._clients = clients
        self._progress = progress
        self._tags = tags  # what every stack of ours bears

    def check_ours(self, region, name):
        """A name proves nothing: refuses a stack that is there and does not bear our tag."""
        stack = self.describe(region, name)
        if stack is None:
            return
        found = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}
        if not self._tags.items() <= found.items():
            missing = ", ".join(f"{key}={value}" for key, value in self._tags.items())
            raise Failed(
                f"stack {name} in {region} is not of this data plane, it does not bear the tag {missing}: it is left "
                "alone. Remedy: choose another name in the configuration; or, if it is ours and lost the tag, update "
                "it with its current template and that tag in the CloudFormation console"
            )

    def describe(self, region, name):
        """The stack's description, or None where there is none."""
        try:
            stacks = self._cloudformation(region).describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return None
            raise
        return None if stacks[0]["StackStatus"] == _GONE else stacks[0]

    def outputs(self, region, name):
        """The outputs of a stack that works, or None."""
        stack = self.working(region, name)
        if stack is None:
            return None
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def working(self, region, name):
        """The description of a stack that can be updated; None for none, or for a failed creation's leftovers."""
        stack = self.settled(region, name)
        if stack is None or stack["StackStatus"] in _NEVER_WORKED:
            return None
        if stack["StackStatus"] in _WORKING:
            return stack
        raise Failed(
            f"stack {name} in {region} is {stack['StackStatus']}: {self._reason(region, name, stack)}. Remedy: put the "
            "cause right, then continue its roll-back or delete it in the CloudFormation console (buckets and keys are "
            "retained), and run this again"
        )

    def settled(self, region, name):
        """The description once nothing is in progress; another run or a person may be at work."""

        def finished():
            stack = self.describe(region, name)
            status = stack["StackStatus"] if stack else _GONE
            return None if status.endswith("_IN_PROGRESS") and status not in _NEVER_WORKED else (stack, status)

        if not self._progress.dry_run:
            return self._progress.wait(f"stack {name} in {region}", WAIT_SECONDS, finished)[0]
        if not finished():
            raise Failed(f"stack {name} in {region} is being changed at this moment. Remedy: wait, then run this again")
        return self.describe(region, name)

    def resources(self, region, name):
        """The stack's resources by logical id: type and physical id."""
        found = {}
        pages = self._cloudformation(region).get_paginator("list_stack_resources").paginate(StackName=name)
        for resource in (each for page in pages for each in page["StackResourceSummaries"]):
            # What failed to be created may bear the name of something that was there before and is not the stack's.
            if "PhysicalResourceId" in resource and resource["ResourceStatus"] not in (_GONE, "CREATE_FAILED"):
                found[resource["LogicalResourceId"]] = (resource["ResourceType"], resource["PhysicalResourceId"])
        return found

    def bring_about(self, wanted):
        """Starts whatever makes the stacks what is wanted, all at once, and waits for all of them."""
        started = [each for each in wanted if self._start(each)]
        for each in started:
            self._finish(each)

    def delete(self, region, name):
        """Starts the deletion of a stack; `wait_until_gone` waits for it."""
        self.check_ours(region, name)
        self._cloudformation(region).delete_stack(StackName=name)

    def wait_until_gone(self, region, name):
        stack = self.settled(region, name)
        if stack is not None and stack["StackStatus"] != _GONE:
            raise Failed(f"stack {name} in {region} is {stack['StackStatus']}: {self._reason(region, name, stack)}")

    def _start(self, wanted):
        self.check_ours(wanted.region, wanted.name)
        leftover = self.describe(wanted.region, wanted.name)
        if leftover is not None and leftover["StackStatus"] in _NEVER_WORKED:
            change = f"remove what a failed creation left of {wanted.label} ({leftover['StackStatus']})"
            if self._progress.change(change):
                self.delete(wanted.region, wanted.name)
                self.wait_until_gone(wanted.region, wanted.name)
        stack = self.working(wanted.region, wanted.name)
        if stack is None:
            if self._progress.change(f"create {wanted.label}"):
                self._cloudformation(wanted.region).create_stack(OnFailure="ROLLBACK", **self._arguments(wanted))
                return True
            return False
        differences = self._differences(stack, wanted)
        if not differences:
            self._progress.say(f"{wanted.label}: no change")
            return False
        if not self._progress.change(f"update {wanted.label}: {', '.join(differences)}"):
            return False
        try:
            self._cloudformation(wanted.region).update_stack(**self._arguments(wanted))
        except ClientError as error:
            if "No updates are to be performed" not in error.response["Error"]["Message"]:
                raise
            return False  # a template that differs in its text only
        return True

    def _finish(self, wanted):
        stack = self.settled(wanted.region, wanted.name)
        status = stack["StackStatus"] if stack else _GONE
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise Failed(
                f"{wanted.label} is {status}: {self._reason(wanted.region, wanted.name, stack)}. "
                "Remedy: put the cause right and run this again"
            )
        self._progress.say(f"{wanted.label}: {status}")

    def _differences(self, stack, wanted):
        """What of the stack is not as wanted, in words."""
        differences = []
        body = self._cloudformation(wanted.region).get_template(StackName=wanted.name)["TemplateBody"]
        if body.strip() != wanted.template.strip():
            differences.append("template")
        present = parameters_of(stack)
        for key in sorted(present.keys() | wanted.parameters.keys()):
            before, after = present.get(key, ""), wanted.parameters.get(key, "")
            if before not in (after, _HIDDEN):
                differences.append(f'{key} "{before}" -> "{after}"')
        if {each["Key"]: each["Value"] for each in stack.get("Tags", [])} != wanted.tags:
            differences.append("tags")
        return differences

    def _arguments(self, wanted):
        return {
            "StackName": wanted.name,
            "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in wanted.parameters.items()],
            "Capabilities": wanted.capabilities,
            "Tags": [{"Key": key, "Value": value} for key, value in wanted.tags.items()],
            **self._template(wanted),
        }

    def _template(self, wanted):
        if len(wanted.template) <= templates.MOST_BYTES:
            return {"TemplateBody": wanted.template}
        s3 = self._clients("s3", wanted.region)
        body = wanted.template.encode()
        key = f"templates/{wanted.name}-{hashlib.sha256(body).hexdigest()[:16]}.yaml"
        s3.put_object(Bucket=wanted.template_bucket, Key=key, Body=body)
        return {"TemplateURL": f"{s3.meta.endpoint_url}/{wanted.template_bucket}/{key}"}

    def _reason(self, region, name, stack):
        """Why the last operation failed: what was invalid before it began, else the first failure in it."""
        if stack is None:
            return "it is gone"
        cloudformation = self._cloudformation(region)
        reason = stack.get("StackStatusReason") or "no reason given"
        for event in cloudformation.describe_stack_events(StackName=stack["StackId"])["StackEvents"]:  # newest first
            if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason"):
                reason = f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
            if event["LogicalResourceId"] == name and event["ResourceStatus"] in (
                "CREATE_IN_PROGRESS",
                "UPDATE_IN_PROGRESS",
                "DELETE_IN_PROGRESS",
            ):
                break
        if "DescribeEvents" in reason:
            events = cloudformation.describe_events(StackName=stack["StackId"], Filters={"FailedEvents": True})
            for event in events.get("OperationEvents", []):
                if event.get("ValidationStatusReason"):
                    reason = f"{event['LogicalResourceId']}: {event['ValidationStatusReason']}"
        return reason.rstrip(".")

    def _cloudformation(self, region):
        return self._clients("cloudformation", region)
