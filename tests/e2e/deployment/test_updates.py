"""Deploying again: what changes, what does not, and the way back. Under IAM only, as IAM plays no part in it."""

import pytest
from sam import STACK

pytestmark = pytest.mark.parametrize("cloud", ["enforced"], indirect=True, scope="session")


def versions(cloud, stack):
    listed = cloud.client("lambda").list_versions_by_function(FunctionName=stack.function)["Versions"]
    return {each["Version"]: each["Environment"]["Variables"] for each in listed if each["Version"] != "$LATEST"}


def test_a_changed_parameter_reaches_the_alias_and_can_be_rolled_back(cloud, stack):
    """Any other setting is another version, and the command of the outputs goes back to the one before."""
    stack.in_mode("automatic")
    before = stack.live_version
    stack.deploy("automatic", AlarmRegions="checkout-*=us-east-1")
    after = stack.live_version
    settings = versions(cloud, stack)
    changed = {name for name in settings[after] if settings[after][name] != settings[before].get(name)}
    assert changed == {"ALARM_REGIONS"}
    assert settings[after]["ALARM_REGIONS"] == "checkout-*=us-east-1"

    first = min(settings, key=int)
    for version, mode in ((first, "observe"), (after, "automatic")):
        assert stack.run_output("RollBackCommand", VERSION=version)["FunctionVersion"] == version
        assert stack.live_version == version
        assert stack.command("status")["mode"] == mode


def test_deploying_again_changes_nothing(cloud, plane, stack):
    """Neither the automation nor the data plane."""
    stack.in_mode("automatic")
    describe = cloud.client("cloudformation").describe_stacks

    def state():
        described = describe(StackName=STACK)["Stacks"][0]
        return described.get("LastUpdatedTime"), described["Outputs"], versions(cloud, stack), stack.live_version

    before = state()
    said = stack.deploy("automatic")
    assert "No changes to deploy" in said
    assert state() == before
    assert "Done: nothing had to be changed" in plane.deploy()
