"""docs/use.md is true: its commands and its program, as written, with SigV4A signatures that MiniStack verifies."""

import contextlib
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import page
import processes
import world

PAGE = processes.REPOSITORY / "docs" / "use.md"
SIGV4A = "AWS4-ECDSA-P256-SHA256"


def test_the_commands_of_the_page_work_as_written(aws, gateway, environment, tmp_path):
    gateway.requests.clear()
    commands = page.blocks(PAGE, "sh")
    printed = page.run(commands, tmp_path, environment)
    output = dict(zip(commands, printed, strict=True))

    assert (tmp_path / "received.txt").read_text() == "hello\n"
    assert _of(output, "aws s3api list-objects-v2").split()[:2] == ["greetings/copied.txt", "greetings/hello.txt"]
    assert _of(output, "head-object").strip() == "COMPLETED"
    assert _of(output, "aws s3 presign") == "hello\n"
    for bucket, region in ((world.HOME, world.HOME_REGION), (world.AWAY, world.AWAY_REGION)):
        held = aws.client("s3", region).list_objects_v2(Bucket=bucket)["Contents"]
        expected = ["greetings/again.txt", "greetings/copied.txt", "greetings/hello.txt"]
        assert [entry["Key"] for entry in held] == expected, f"in {bucket}"

    host = f"{aws.alias}.accesspoint.s3-global.amazonaws.com"
    hosts = {seen.host for seen in gateway.requests}
    assert hosts == {
        host,
        "sts.eu-west-1.amazonaws.com",
        f"sts.{world.CONTROL_REGION}.amazonaws.com",
        f"{world.ACCOUNT}.s3-control.us-west-2.amazonaws.com",
    }
    assert all(seen.status < 300 for seen in gateway.requests), [seen for seen in gateway.requests if seen.status >= 300]
    for seen in (seen for seen in gateway.requests if seen.host == host):
        assert (seen.scheme, seen.regions) == (SIGV4A, "*"), seen
    assert [seen.method for seen in gateway.requests if "x-amz-request-payer" in seen.headers] == ["GET"]
    assert any(seen.query.get("partNumber") == ["2"] for seen in gateway.requests), "the large file went up in parts"


def test_a_wrong_signature_is_refused(session, tmp_path):
    """What makes the other tests worth their while: MiniStack recalculates the signature."""
    _aws(session, tmp_path, "put-object", "--key", "signed")
    forged = {**session, "AWS_SECRET_ACCESS_KEY": "not-the-secret"}
    assert "SignatureDoesNotMatch" in _aws(forged, tmp_path, "get-object", "--key", "signed", "out", fails=True)
    [url] = page.run(['aws s3 presign "s3://$MRAP_ARN/signed"'], tmp_path, session)
    assert _fetch(session, url.strip()) == 200
    assert _fetch(session, url.strip().replace("/signed?", "/other?")) == 403


@pytest.mark.parametrize("missing", ["accesspoint", "app-use1"])
def test_access_point_and_member_have_to_be_allowed_both(aws, session, tmp_path, missing):
    iam = aws.client("iam", "us-east-1")
    denied = (
        '{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "s3:PutObject", '
        f'"Resource": "arn:aws:s3::*:*{missing}*"}}}}'
    )
    iam.put_role_policy(RoleName="app-client", PolicyName="less", PolicyDocument=denied)
    try:
        assert "AccessDenied" in _aws(session, tmp_path, "put-object", "--key", "allowed", fails=True)
    finally:
        iam.delete_role_policy(RoleName="app-client", PolicyName="less")
    _aws(session, tmp_path, "put-object", "--key", "allowed")


def test_after_a_failover_the_same_arn_reaches_the_other_member(aws, session, tmp_path):
    status = ("head-object", "--query", "ReplicationStatus", "--output", "text", "--key")
    _aws(session, tmp_path, "put-object", "--key", "replicated")
    with _no_replication(aws):
        _aws(session, tmp_path, "put-object", "--key", "left-behind")
    upload = _aws(
        session, tmp_path, "create-multipart-upload", "--key", "large", "--query", "UploadId", "--output", "text"
    ).strip()
    part = ("upload-part", "--key", "large", "--upload-id", upload, "--part-number", "1")
    _aws(session, tmp_path, *part)
    [url] = page.run(['aws s3 presign "s3://$MRAP_ARN/replicated"'], tmp_path, session)
    assert _aws(session, tmp_path, *status, "replicated").strip() == "COMPLETED"

    with _failed_over(aws):
        assert _aws(session, tmp_path, *status, "replicated").strip() == "REPLICA"
        assert _fetch(session, url.strip()) == 200
        assert "404" in _aws(session, tmp_path, "head-object", "--key", "left-behind", fails=True)
        listed = _aws(session, tmp_path, "list-objects-v2", "--query", "Contents[].Key", "--output", "text").split()
        assert "replicated" in listed and "left-behind" not in listed
        assert "NoSuchUpload" in _aws(session, tmp_path, *part, fails=True)
        # The condition holds here, although the other member has the key: nobody asks it.
        _aws(session, tmp_path, "put-object", "--key", "left-behind", "--if-none-match", "*")

    taken = _aws(session, tmp_path, "put-object", "--key", "replicated", "--if-none-match", "*", fails=True)
    assert "PreconditionFailed" in taken


def test_the_program_of_the_page_works(aws, gateway, session, tmp_path):
    gateway.requests.clear()
    command = [_example(), aws.mrap_arn]
    done = subprocess.run(command, cwd=tmp_path, env=session, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    got, *listed, url = done.stdout.splitlines()
    assert got == "got hello from Rust (COMPLETED)"
    assert "listed greetings/from-rust.txt (16 bytes)" in listed
    assert _fetch(session, url) == 200
    methods = [(seen.method, seen.scheme, seen.status) for seen in gateway.requests]
    assert methods == [("PUT", SIGV4A, 200), ("GET", SIGV4A, 200), ("GET", SIGV4A, 200), ("GET", SIGV4A, 200)]
    assert {seen.host for seen in gateway.requests} == {f"{aws.alias}.accesspoint.s3-global.amazonaws.com"}


def test_nothing_leaves_for_another_name(environment):
    assert _fetch(environment, "https://example.com/") is None


def _of(output: dict[str, str], command: str) -> str:
    """What the one block printed that contains `command`."""
    [printed] = [printed for block, printed in output.items() if command in block]
    return printed


def _aws(environment: dict[str, str], folder: Path, operation: str, *arguments: str, fails=False) -> str:
    """`aws s3api` through the access point: what it printed, or its error where it has to fail."""
    command = ["aws", "s3api", operation, "--bucket", environment["MRAP_ARN"], *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode != 0) == fails, f"{command}: {done.stdout}{done.stderr}"
    return done.stderr if fails else done.stdout


def _fetch(environment: dict[str, str], url: str) -> int | None:
    """The status of a GET, unsigned but for what the URL carries; None if the proxy lets nothing through."""
    trust = ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
    proxy = urllib.request.ProxyHandler({"https": environment["HTTPS_PROXY"]})
    opener = urllib.request.build_opener(proxy, urllib.request.HTTPSHandler(context=trust))
    try:
        with opener.open(url, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        assert "Tunnel connection failed: 403" in str(error), error
        return None


@contextlib.contextmanager
def _no_replication(aws):
    """Home keeps its writes for itself for the time being."""
    s3 = aws.client("s3", world.HOME_REGION)
    configuration = s3.get_bucket_replication(Bucket=world.HOME)["ReplicationConfiguration"]
    s3.delete_bucket_replication(Bucket=world.HOME)
    try:
        yield
    finally:
        s3.put_bucket_replication(Bucket=world.HOME, ReplicationConfiguration=configuration)


@contextlib.contextmanager
def _failed_over(aws):
    """The dial points away from home for the time being."""
    _turn(aws, active=world.AWAY, passive=world.HOME)
    try:
        yield
    finally:
        _turn(aws, active=world.HOME, passive=world.AWAY)


def _turn(aws, active: str, passive: str):
    routes = [{"Bucket": active, "TrafficDialPercentage": 100}, {"Bucket": passive, "TrafficDialPercentage": 0}]
    aws.client("s3control", "eu-west-1").submit_multi_region_access_point_routes(
        AccountId=world.ACCOUNT, Mrap=aws.mrap_arn, RouteUpdates=routes
    )


def _example() -> Path:
    """The compiled program; an error that says how to build it if there is none."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", processes.REPOSITORY / "target"))
    binary = target / "debug" / "examples" / "use_mrap"
    if not binary.is_file():
        raise FileNotFoundError(f"no {binary}. Remedy: `cargo build --locked --workspace --example use_mrap`")
    return binary.resolve()
