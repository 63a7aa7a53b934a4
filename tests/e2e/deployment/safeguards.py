"""What a careful organisation adds: a key of its own for state and messages, and a boundary for every role."""

import json

import page
import processes
from awscli.customizations.cloudformation.yamlhelper import yaml_parse
from cloud import ACCOUNT
from processed import Processed

# Every service that any role of ours has to do with, and no administration.
_WITHIN = [
    *("s3:*", "sns:Publish", "sns:ListSubscriptionsByTopic", "sqs:SendMessage"),
    *("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"),
    *("cloudwatch:DescribeAlarms", "cloudwatch:ListMetrics", "cloudwatch:GetMetricData", "events:PutEvents"),
    *("logs:CreateLogStream", "logs:PutLogEvents", "xray:*", "lambda:InvokeFunction", "iam:PassRole"),
    *("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
]


class Safeguards:
    """Made before anything is deployed."""

    def __init__(self, cloud):
        self._cloud = cloud
        self.key_arn = cloud.client("kms").create_key(Policy=_document(_key_policy()))["KeyMetadata"]["Arn"]
        within = [{"Effect": "Allow", "Action": _WITHIN, "Resource": "*"}]
        made = cloud.client("iam").create_policy(PolicyName="boundary", PolicyDocument=_document(within))
        self.boundary_arn = made["Policy"]["Arn"]

    @property
    def parameters(self):
        """Of template.yaml."""
        return {"KmsKeyArn": self.key_arn, "PermissionsBoundaryArn": self.boundary_arn, "Tracing": "Active"}

    def bind_roles(self, stack, region):
        """Gives the roles of a stack the boundaries that its template says: MiniStack's CloudFormation drops them."""
        cloudformation, iam = self._cloud.client("cloudformation", region), self._cloud.client("iam")
        [described] = cloudformation.describe_stacks(StackName=stack)["Stacks"]
        given = {each["ParameterKey"]: each["ParameterValue"] for each in described["Parameters"]}
        template = cloudformation.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"]
        template = yaml_parse(template) if isinstance(template, str) else template
        roles = Processed(template, given).of_type("AWS::IAM::Role")
        for resource in cloudformation.describe_stack_resources(StackName=stack)["StackResources"]:
            if properties := roles.get(resource["LogicalResourceId"]):
                boundary = properties["PermissionsBoundary"]
                iam.put_role_permissions_boundary(
                    RoleName=resource["PhysicalResourceId"], PermissionsBoundary=boundary
                )


def _key_policy():
    """The statements that docs/deploy.md shows, whose account is that of the tests."""
    blocks = map(json.loads, page.blocks(processes.REPOSITORY / "docs" / "deploy.md", "json"))
    [statements] = [block for block in blocks if isinstance(block, list) and "kms:*" in str(block)]
    assert ACCOUNT in str(statements)
    return statements


def _document(statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
