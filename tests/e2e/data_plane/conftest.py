"""One MiniStack for all tests of the data plane; each test has an account of its own in it."""

import itertools
import sys

import processes
import pytest
from planes import MAIN_ACCOUNT, Plane

sys.path.insert(0, str(processes.REPOSITORY / "data-plane"))  # the package `plane`, which the scripts share

_accounts = itertools.count(222_200_000_001)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    server = processes.start_ministack(tmp_path_factory.mktemp("data-plane") / "log", MAIN_ACCOUNT)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def build(emulator, tmp_path, monkeypatch):
    """`build(configuration)`: a data plane that is not deployed yet, in an account that holds nothing else."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.url)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")

    def make(text, account=None):
        plane = Plane(emulator, tmp_path, text, account or str(next(_accounts)))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", plane.account)
        return plane

    return make


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    if report.failed and "emulator" in getattr(item, "funcargs", {}):
        report.sections.append(("end of MiniStack's log", item.funcargs["emulator"].tail()))
