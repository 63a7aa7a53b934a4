"""Stacks of CloudFormation, brought to what they should be whatever state they are in."""

import hashlib
from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from plane import templates
from plane.progress import Failed

WAIT_SECONDS = 45 * 60  # creating an access point takes AWS up to half an hour

_GONE = "DELETE_COMPLETE"
_NEVER_WORKED = ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS")  # nothing in them, and no update possible
_UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")


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


class Stacks:
    def __init__(self, clients, progress):
        self._clients = clients
        self._progress = progress

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
        stack = self.settled(region, name)
        if stack is None or stack["StackStatus"] not in _UPDATABLE:
            return None
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def settled(self, region, name):
        """The description once nothing is in progress; another run or person may be at work."""

        def finished():
            stack = self.describe(region, name)
            status = stack["StackStatus"] if stack else _GONE
            return None if status.endswith("_IN_PROGRESS") and status not in _NEVER_WORKED else (stack, status)

        if self._progress.dry_run:
            return self.describe(region, name)
        return self._progress.wait(f"stack {name} in {region}", WAIT_SECONDS, finished)[0]

    def resources(self, region, name):
        """The stack's resources by logical id: type and physical id."""
        found = {}
        pages = self._cloudformation(region).get_paginator("list_stack_resources").paginate(StackName=name)
        for resource in (each for page in pages for each in page["StackResourceSummaries"]):
            if "PhysicalResourceId" in resource and resource["ResourceStatus"] != _GONE:
                found[resource["LogicalResourceId"]] = (resource["ResourceType"], resource["PhysicalResourceId"])
        return found

    def bring_about(self, wanted):
        """Starts whatever makes the stacks what is wanted, all at once, and waits for all of them."""
        started = [each for each in wanted if self._start(each)]
        for each in started:
            self._finish(each)

    def delete(self, region, name):
        """Starts the deletion of a stack; `wait_until_gone` waits for it."""
        self._cloudformation(region).delete_stack(StackName=name)

    def wait_until_gone(self, region, name):
        stack = self.settled(region, name)
        if stack is not None and stack["StackStatus"] != _GONE:
            raise Failed(f"stack {name} in {region} is {stack['StackStatus']}: {self._reason(region, name, stack)}")

    def _start(self, wanted):
        stack = self.settled(wanted.region, wanted.name)
        status = stack["StackStatus"] if stack else None
        if status in _NEVER_WORKED:
            if self._progress.change(f"remove what a failed creation left of {wanted.label} ({status})"):
                self.delete(wanted.region, wanted.name)
                self.wait_until_gone(wanted.region, wanted.name)
            status = None
        if status is None:
            if self._progress.change(f"create {wanted.label}"):
                self._cloudformation(wanted.region).create_stack(OnFailure="ROLLBACK", **self._arguments(wanted))
                return True
            return False
        if status not in _UPDATABLE:
            if self._progress.dry_run and status.endswith("_IN_PROGRESS"):
                self._progress.say(f"{wanted.label} is {status}: would wait for it")
                return False
            raise Failed(
                f"{wanted.label} is {status}: {self._reason(wanted.region, wanted.name, stack)}. Remedy: put the cause "
                "right, then continue the roll-back or delete the stack in the CloudFormation console (buckets and "
                "keys are retained), and run this again"
            )
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
        present = {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", [])}
        for key in sorted(present.keys() | wanted.parameters.keys()):
            before, after = present.get(key, ""), wanted.parameters.get(key, "")
            if before != after:
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
        """Why the last operation failed: the first failure among the newest events."""
        if stack is None:
            return "it is gone"
        events = self._cloudformation(region).describe_stack_events(StackName=stack["StackId"])["StackEvents"]
        reason = stack.get("StackStatusReason") or "no reason given"
        for event in events:  # newest first
            if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason"):
                reason = f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
            if event["LogicalResourceId"] == name and event["ResourceStatus"] in (
                "CREATE_IN_PROGRESS",
                "UPDATE_IN_PROGRESS",
                "DELETE_IN_PROGRESS",
            ):
                break
        return reason

    def _cloudformation(self, region):
        return self._clients("cloudformation", region)
