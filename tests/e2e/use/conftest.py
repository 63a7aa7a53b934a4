"""MiniStack with signatures verified and policies enforced, behind AWS's own host names."""

import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import page
import processes
import sam
import world
from aws import Aws
from gateway import Gateway

PAGE = processes.REPOSITORY / "docs" / "use.md"
# Version 1 of the CLI, which the tests have, never takes a payload for base64 and does not know the option.
_AWS_CLI_2 = """#!/bin/bash
arguments=()
while (($#)); do
  if [[ $1 == --cli-binary-format ]]; then shift; else arguments+=("$1"); fi
  shift
done
exec "{aws}" "${{arguments[@]}}"
"""
# Where there is no curl: enough of it for the page.
_CURL = """() {
python -c 'import sys, urllib.request as u; sys.stdout.buffer.write(u.urlopen(sys.argv[-1]).read())' "$@"
}"""
# What a user's own configuration could say instead of the test.
_FOREIGN = ("AWS_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_servers = pytest.StashKey[list]()


def pytest_configure(config):
    config.stash[_servers] = []


@pytest.fixture(scope="session")
def start_ministack(request, tmp_path_factory):
    """`start_ministack(name, variables)`: a fresh one, its world furnished; ended whatever happens."""
    started = []

    def start(name, variables):
        log = tmp_path_factory.mktemp(name) / "log"
        server = processes.start_ministack(log, world.ACCOUNT, variables)
        started.append(server)
        request.config.stash[_servers].append(server)
        aws = Aws(server)
        aws.alias = world.furnish_ministack(aws)
        return aws

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def aws(start_ministack):
    """The small world of the other tests, and in it an application that may do what docs/use.md allows it."""
    aws = start_ministack("use", {"AUTH": "true"})
    _replicate_deletions(aws)
    return aws


@pytest.fixture(scope="session")
def gateway(aws, tmp_path_factory):
    gateway = Gateway(aws.port, tmp_path_factory.mktemp("gateway"))
    yield gateway
    gateway.stop()


@pytest.fixture(scope="session")
def application(aws):
    """A user that may look up the access point and assume the role `app-client`: its key."""
    iam = aws.client("iam", "us-east-1")
    iam.create_user(UserName="app")
    own = [
        {"Effect": "Allow", "Action": "s3:GetMultiRegionAccessPoint", "Resource": "*"},
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": f"arn:aws:iam::{world.ACCOUNT}:role/app-client"},
    ]
    iam.put_user_policy(UserName="app", PolicyName="own", PolicyDocument=_policy(own))
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{world.ACCOUNT}:root"}}
    iam.create_role(RoleName="app-client", AssumeRolePolicyDocument=_policy([trust]))
    iam.put_role_policy(RoleName="app-client", PolicyName="use", PolicyDocument=policy_of_the_page(aws.alias))
    key = iam.create_access_key(UserName="app")["AccessKey"]
    return SimpleNamespace(id=key["AccessKeyId"], secret=key["SecretAccessKey"])


@pytest.fixture
def environment(application, gateway, tmp_path):
    """The variables of the application's shell. Its key's Region is none of a member, and names none to S3."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}
    tools = Path(sys.executable).parent
    if shutil.which("curl") is None:
        kept["BASH_FUNC_curl%%"] = _CURL
    return {
        **kept,
        **gateway.environment,
        "PATH": f"{tools}{os.pathsep}{kept['PATH']}",
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": application.id,
        "AWS_SECRET_ACCESS_KEY": application.secret,
        "AWS_DEFAULT_REGION": world.CONTROL_REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def session(aws, environment):
    """The same shell with the role of the page assumed, and the access point's ARN at hand."""
    sts = aws.client("sts", "eu-west-1")
    role = f"arn:aws:iam::{world.ACCOUNT}:role/app-client"
    credentials = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return {
        **environment,
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
        "MRAP_ARN": aws.mrap_arn,
    }


@pytest.fixture(scope="session")
def cloud(start_ministack):
    return start_ministack("operate", {})


@pytest.fixture(scope="session")
def operator(cloud, tmp_path_factory):
    """The environment of an operator's shell; the stack is deployed over the members of the other tests."""
    folder = tmp_path_factory.mktemp("operator")
    gateway = Gateway(cloud.port, folder)
    tools = Path(os.environ.get("VIRTUAL_ENV", processes.REPOSITORY / ".venv")) / "bin"
    shim = folder / "aws"
    shim.write_text(_AWS_CLI_2.format(aws=tools / "aws"))
    shim.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {
        **kept,
        **gateway.environment,
        "PATH": f"{folder}{os.pathsep}{tools}{os.pathsep}{kept['PATH']}",
        "HOME": str(folder),
        "AWS_ACCESS_KEY_ID": world.ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "any",
    }
    parameters = {
        "MrapArn": cloud.mrap_arn,
        "Members": f"{world.HOME}@{world.HOME_REGION},{world.AWAY}@{world.AWAY_REGION}",
        "WorkBuckets": f"app-work-use1@{world.HOME_REGION},app-work-euw1@{world.AWAY_REGION}",
        "Architecture": sam.ARCHITECTURE,
    }
    sam.deploy("sam deploy --parameter-overrides", parameters, environment, folder / "commands.log")
    yield environment
    gateway.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for server in item.config.stash[_servers]:
            report.sections.append((f"end of {server.log}", server.tail()))


def policy_of_the_page(alias: str) -> str:
    """The IAM policy that docs/use.md shows, for this access point."""
    [policy] = page.blocks(PAGE, "json")
    return policy.replace("mfzwi23gnjvgw.mrap", alias)


def _replicate_deletions(aws):
    """As docs/existing.md asks of every member."""
    for bucket, region in ((world.HOME, world.HOME_REGION), (world.AWAY, world.AWAY_REGION)):
        s3 = aws.client("s3", region)
        configuration = s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]
        configuration["Rules"][0]["DeleteMarkerReplication"] = {"Status": "Enabled"}
        s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration=configuration)


def _policy(statements: list) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
