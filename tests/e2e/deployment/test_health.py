"""The health check as it is deployed: the real binary, run by its own schedule."""

import json

import pytest
from automation import until
from botocore.exceptions import ClientError

# The schedule is looked at every ten seconds and fires within a minute.
A_MINUTE = 75


@pytest.fixture
def watching(acting):
    """The automation with the health check's schedule switched on; off again once all is well."""
    acting.watch(True)
    yield acting
    acting.watch(False)


@pytest.fixture
def evidence(cloud, stack):
    """`evidence()`: what the health check wrote last, or None."""

    def read():
        try:
            found = cloud.client("s3").get_object(Bucket=stack.outputs["StateBucketName"], Key="evidence.json")
        except ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchKey"
            return None
        return json.load(found["Body"])

    return read


def verdicts(evidence):
    return {member["region"]: member["verdict"] for member in evidence["members"]}


def test_the_schedule_runs_the_rounds_and_an_outage_needs_no_alarm(cloud, plane, watching, evidence):
    """No alarm goes off: three bad rounds wake the failover function, which finds the evidence."""
    before = (evidence() or {}).get("run")
    first = until("a run", lambda: (found := evidence()) and found["run"] != before and found, A_MINUTE)
    assert verdicts(first) == dict.fromkeys(plane.regions, "good")
    assert first["observer"] == {"state": "well"}
    assert {(pair["source"], pair["destination"]) for pair in first["pairs"]} == {
        (source, target) for source in plane.regions for target in plane.regions if source != target
    }
    until("the next round", lambda: evidence()["observedAt"] > first["observedAt"], 20)

    def serving():
        found = evidence().get("serving")
        return found and found["agrees"] and found["regions"]

    assert until("the serving Region", serving, A_MINUTE) == [plane.home]

    away = {**plane.dials_at_home, plane.home: 0, plane.regions[1]: 100}
    with cloud.proxy.down(plane.bucket(plane.home), "refuse"):
        until("the dial to move", lambda: watching.dials == away, 90)
        change = watching.command("status")["history"][0]
        assert (change["by"], change["kind"]) == ("automatic", "failover")
        assert "our own probes since" in change["reason"], change["reason"]
        until("the proof on the data plane", lambda: not watching.command("status")["unproven"])
    until("home to be good again", lambda: verdicts(evidence())[plane.home] == "good", A_MINUTE)
