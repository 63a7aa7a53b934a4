"""What we believe of AWS, told by both servers with the same boto3 code.

Where they disagree the AWS documentation decides: `scenarios.py` has what it says, `deviations.py` what
MiniStack is known to say instead.
"""

import time

import pytest

import deviations
import scenarios
import world
from playing import PATIENCE_SECONDS, members

SERVERS = ("simulator", "ministack")
every_scenario = pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda scenario: scenario.name)


@pytest.mark.parametrize("server", SERVERS)
@every_scenario
def test_answers_are_as_aws_documents(played, server, scenario):
    """Each scenario's `belief`: status, error code, members and values of every answer in it."""
    transcript = played(server, scenario)
    known = deviations.of(server)
    wrong = [
        f"{step.name}: {line}"
        for step in scenario.steps
        for line in transcript.differences(step, known.get((scenario.name, step.name), step).expected)
    ]
    assert not wrong, f"{server}: {scenario.belief}\n  " + "\n  ".join(wrong)


@pytest.mark.parametrize("scenario", scenarios.SIMULATOR_ONLY, ids=lambda scenario: scenario.name)
def test_answers_of_the_simulator_alone_are_as_aws_documents(played, scenario):
    """As above, for what MiniStack does not have."""
    transcript = played("simulator", scenario)
    wrong = [f"{step.name}: {line}" for step in scenario.steps for line in transcript.differences(step, step.expected)]
    assert not wrong, f"{scenario.belief}\n  " + "\n  ".join(wrong)


def test_ministack_still_has_no_jobs(ministack):
    """No belief about AWS: once MiniStack has Batch Operations jobs, it plays their scenario too."""
    answer = ministack.call("s3control", world.HOME_REGION, "ListJobs", {"AccountId": world.ACCOUNT})
    assert (answer.status, answer.code) == (400, "InvalidURI")


@pytest.mark.parametrize(("scenario", "step"), sorted(deviations.of("ministack")))
def test_deviation_still_exists(played, scenario, step):
    """No belief about AWS: MiniStack still differs from it here; if not, `deviations.py` must forget it."""
    scenario = next(each for each in scenarios.ALL if each.name == scenario)
    step = next(each for each in scenario.steps if each.name == step)
    transcript = played("ministack", scenario)
    assert transcript.differences(step, step.expected), "MiniStack answers as documented"


def test_both_send_the_same_members(played):
    """The members of AWS's answers are those that two independent emulators agree on, but for a known few."""
    only_simulator, only_ministack = set(), set()
    for scenario in scenarios.ALL:
        simulator, ministack = (played(server, scenario) for server in SERVERS)
        for step in scenario.steps:
            if simulator[step].status == ministack[step].status:
                ours, theirs = members(simulator[step].output), members(ministack[step].output)
                only_simulator |= {f"{step.operation} {path}" for path in ours - theirs}
                only_ministack |= {f"{step.operation} {path}" for path in theirs - ours}
    assert only_simulator == deviations.ONLY_SIMULATOR
    assert only_ministack == deviations.ONLY_MINISTACK


def test_mrap_leads_to_the_active_member(aws):
    """A HEAD through the MRAP is served by an active member, which COMPLETED against REPLICA tells apart;
    routing looks at the dials, not at where an object exists.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/MrapFailover.html,
    MultiRegionAccessPointRequestRouting.html
    """
    home, control = aws.client("s3", world.HOME_REGION), aws.client("s3control", "us-west-2")
    home.put_object(Bucket=world.HOME, Key="mrap/a", Body=b"home")

    def submit(**dials):
        updates = [{"Bucket": {"home": world.HOME, "away": world.AWAY}[m], "TrafficDialPercentage": d} for m, d in dials.items()]
        control.submit_multi_region_access_point_routes(AccountId=world.ACCOUNT, Mrap=aws.mrap_arn, RouteUpdates=updates)

    def status_once(wanted):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            status, headers = aws.head_through_mrap("mrap/a")
            if headers.get("x-amz-replication-status") == wanted or time.monotonic() > deadline:
                return status, headers.get("x-amz-replication-status")
            time.sleep(0.05)

    assert status_once("COMPLETED") == (200, "COMPLETED")
    try:
        submit(home=0, away=100)
        assert status_once("REPLICA") == (200, "REPLICA")
        assert aws.head_through_mrap("mrap/none")[0] == 404
    finally:
        submit(home=100, away=0)
    assert status_once("COMPLETED") == (200, "COMPLETED")


def test_mrap_wants_sigv4a(aws):
    """An MRAP refuses a signature of a single Region (SigV4). MiniStack serves it all the same.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/MultiRegionAccessPointRequests.html
    """
    aws.client("s3", world.HOME_REGION).put_object(Bucket=world.HOME, Key="mrap/b", Body=b"home")
    status, _ = aws.head_through_mrap("mrap/b", scheme="AWS4-HMAC-SHA256")
    assert status == {"simulator": 400, "ministack": 200}[aws.name]
