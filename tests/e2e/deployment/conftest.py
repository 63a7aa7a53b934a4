"""Two clouds with everything deployed in them: one that lets everybody do everything, one that enforces IAM."""

import contextlib

import pytest
from alarms import Alarms
from automation import Automation
from cloud import Cloud
from events import COMPOSITE_ALARM, METRIC_ALARM, SLOW_ALARM
from mailbox import Mailbox
from members import Plane
from safeguards import Safeguards

# By cloud: home first. The third member is where IAM is enforced.
MEMBERS = {
    "plain": ["us-east-1", "eu-west-1"],
    "enforced": ["us-east-1", "eu-west-1", "ap-southeast-2"],
}
_clouds = pytest.StashKey[list]()


def pytest_configure(config):
    config.stash[_clouds] = []


@pytest.fixture(scope="session", params=list(MEMBERS))
def cloud(request, tmp_path_factory):
    """A fresh MiniStack behind the proxy; ended whatever happens."""
    started = Cloud(tmp_path_factory.mktemp(request.param), enforced=request.param == "enforced")
    request.config.stash[_clouds].append(started)
    with contextlib.closing(started):
        yield started
    request.config.stash[_clouds].remove(started)


@pytest.fixture(scope="session")
def safeguards(cloud):
    """Keys, boundary and traces where IAM is enforced, else None."""
    return Safeguards(cloud) if cloud.name == "enforced" else None


@pytest.fixture(scope="session")
def plane(cloud, safeguards):
    """The members and the access point. With safeguards home forwards its alarms by name."""
    alarms = [METRIC_ALARM, SLOW_ALARM, COMPOSITE_ALARM] if safeguards else []
    made = Plane(cloud, MEMBERS[cloud.name], safeguards, alarms)
    made.deploy()
    return made


@pytest.fixture(scope="session")
def stack(cloud, plane, safeguards):
    """The automation, and the data plane wired to it."""
    automation = Automation(cloud, plane, safeguards)
    automation.deploy("observe")
    plane.deploy()
    return automation


@pytest.fixture
def observing(stack):
    """The automation in the mode of a fresh deployment; left as it was found."""
    stack.in_mode("observe")
    yield stack
    stack.go_home()


@pytest.fixture
def acting(stack):
    """The automation in mode `automatic`; left as it was found."""
    stack.in_mode("automatic")
    yield stack
    stack.go_home()


@pytest.fixture
def alarms(cloud, plane):
    """Alarms about home."""
    return Alarms(cloud, plane)


@pytest.fixture
def subscribed(cloud):
    """Subscribes a new queue: `subscribed(topic, filter_policy)`."""
    with contextlib.ExitStack() as opened:
        yield lambda *of: opened.enter_context(contextlib.closing(Mailbox(cloud, *of)))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for cloud in item.config.stash[_clouds]:
            report.sections += [(f"{title} ({cloud.name})", text) for title, text in cloud.logs().items()]
