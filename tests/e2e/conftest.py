"""Starts both servers once for all tests, on loopback, and ends them whatever happens."""

import json
import signal

import pytest

import deviations
import playing
import processes
import world
from aws import Aws

SERVERS = ("simulator", "ministack")
_running = pytest.StashKey[dict]()


def pytest_configure(config):
    config.stash[_running] = {}
    # A CI system that runs out of patience sends SIGTERM: end like ctrl-c, by way of the fixtures.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def simulator(request, tmp_path_factory):
    """A simulated AWS in real time."""
    folder = tmp_path_factory.mktemp("simulator")
    blueprint = folder / "world.json"
    blueprint.write_text(json.dumps(world.blueprint()))
    server = processes.start_simulator(blueprint, folder / "log")
    yield from _furnished(request, server, world.furnish_simulator)


@pytest.fixture(scope="session")
def ministack(request, tmp_path_factory):
    """A fresh MiniStack."""
    server = processes.start_ministack(tmp_path_factory.mktemp("ministack") / "log", world.ACCOUNT)
    yield from _furnished(request, server, world.furnish_ministack)


def _furnished(request, server, furnish):
    request.config.stash[_running][server.name] = server
    try:
        aws = Aws(server)
        aws.alias = furnish(aws)
        yield aws
    finally:
        server.stop()


@pytest.fixture(scope="session", params=SERVERS)
def aws(request):
    """Each server in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def played(request):
    """Plays a scenario against a server, once, whoever asks: `played(server, scenario)`."""
    transcripts = {}

    def play(server, scenario):
        key = (server, scenario.name)
        if key not in transcripts:
            transcripts[key] = playing.play(scenario, request.getfixturevalue(server), deviations.of(server))
        return transcripts[key]

    return play


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for server in item.config.stash[_running].values():
            report.sections.append((f"end of the log of {server.name}", server.tail()))
