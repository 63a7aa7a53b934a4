#!/usr/bin/env python3
"""What the functions need: peak memory and CPU seconds of their release binaries, run by MiniStack.

For MemorySize and Timeout in template.yaml. Needs what the tests beside it need; takes five minutes:
`.venv/bin/python tests/e2e/deployment/measure.py [NUMBER OF MEMBERS, 3]`
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import events  # noqa: E402
import replications  # noqa: E402
from alarms import Alarms  # noqa: E402
from automation import Automation  # noqa: E402
from cloud import Cloud  # noqa: E402
from members import Plane  # noqa: E402

REGIONS = [
    *("us-east-1", "eu-west-1", "ap-southeast-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1", "eu-west-2"),
    *("eu-west-3", "eu-central-1", "eu-north-1", "ap-south-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3"),
    *("ap-southeast-1", "us-east-2"),
]
TICKS = 50
RUN_SECONDS = 85  # a run of the health check begins its last round 70 s after its start
PAYLOAD_BYTES = 6_000_000  # of an invocation at most: what a batch of the queue can be
GROUPS = 100


def main():
    regions = REGIONS[: int(sys.argv[1]) if len(sys.argv) > 1 else 3]
    print(f"{len(regions)} members")
    with tempfile.TemporaryDirectory() as folder:
        cloud = Cloud(Path(folder), enforced=True)
        try:
            plane = Plane(cloud, regions)
            plane.deploy()
            automation = Automation(cloud, plane)
            automation.deploy("automatic")
            measure_health(cloud, plane, automation)
            measure_readiness(cloud, plane, automation)
            measure_failover(cloud, plane, automation)
            measure_collector(cloud, plane, automation)
            measure_redrive(cloud, plane, automation)
        finally:
            cloud.close()


def measure_health(cloud, plane, automation):
    """Runs that no newer one cuts short: the most rounds there can be."""
    step = begin(cloud, automation, "HealthCheckFunction")
    function = f"{automation.resource('HealthCheckFunction')}:live"

    def run():
        payload = json.dumps({"command": "tick"})
        cloud.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=payload)
        time.sleep(RUN_SECONDS)

    step("cold start and a whole run", run)
    step("a whole run", run)
    with cloud.proxy.down(plane.bucket(plane.home), "hang"):
        step("the same with a home that hangs", run)


def measure_readiness(cloud, plane, automation):
    step = begin(cloud, automation, "ReadinessCheckFunction")
    step("cold start and a look", automation.readiness)
    step("a look", automation.readiness)


def measure_failover(cloud, plane, automation):
    home, alarms = plane.bucket(plane.home), Alarms(cloud, plane)
    step = begin(cloud, automation, "FailoverFunction")
    step("cold start and a tick", lambda: automation.command("tick"))
    step("a tick", lambda: automation.command("tick"))
    alarms.go_off()
    with cloud.proxy.down(home):
        step("an alarm: probe, turn the dial, prove, tell", lambda: automation.invoke(events.action(home)))
    step("the way home, by command", lambda: automation.command("failback", reason="measured", force=True))
    with cloud.proxy.down(home, "hang"):
        step("the same with a home that hangs", lambda: automation.invoke(events.action(home)))
    step(f"{TICKS} ticks with a trigger open", lambda: [automation.command("tick") for _ in range(TICKS)])


def measure_collector(cloud, plane, automation):
    """Invoked as Lambda invokes it, which sends more messages at once than MiniStack does."""
    step = begin(cloud, automation, "ReplicationEventsFunction")
    step("cold start and a message", lambda: automation.deliver([failure(plane, 0)]))
    step("a message", lambda: automation.deliver([failure(plane, 1)]))
    one = len(json.dumps(failure(plane, 0))) + 500  # with what SQS adds
    whole = PAYLOAD_BYTES // one
    one_group = [failure(plane, number) for number in range(whole)]
    step(f"a whole batch: {whole} failures of a group", lambda: automation.deliver(one_group))
    many = [failure(plane, number, f"Reason{number % GROUPS}") for number in range(whole)]
    step(f"the same of {GROUPS} groups", lambda: automation.deliver(many))


def measure_redrive(cloud, plane, automation):
    """The long way of rows to a manifest and back is measured by tests/scale."""
    step = begin(cloud, automation, "RedriveFunction")
    step("cold start and a status", lambda: automation.redrive("redrive-status"))
    step(f"a tick that finds {GROUPS} new groups", lambda: automation.redrive("tick"))
    step("a tick with nothing new", lambda: automation.redrive("tick"))
    step(f"{TICKS} such ticks", lambda: [automation.redrive("tick") for _ in range(TICKS)])


def failure(plane, number, reason=replications.REASON):
    return replications.message(replications.record(plane, f"orders/2026/11/21/{number:08}.json", reason=reason))


def begin(cloud, automation, logical_id):
    """A function that measures what is run; `environments` of this function alone count."""
    name = automation.resource(logical_id)
    print(f"{logical_id:52}{'peak RSS':>10}{'CPU':>9}{'took':>9}")

    def step(title, run):
        before, started = cpu_seconds(cloud, name), time.monotonic()
        run()
        took = time.monotonic() - started
        used = cpu_seconds(cloud, name) - before
        print(f"  {title:50}{peak_kib(cloud, name) / 1024:7.1f}MiB{used:8.2f}s{took:8.2f}s")

    return step


def environments(cloud, name):
    """The processes of a function among those that MiniStack started."""
    children = Path(f"/proc/{cloud.server.pid}/task").glob("*/children")
    found = [Path("/proc", pid) for listed in children for pid in listed.read_text().split()]
    variable = f"AWS_LAMBDA_FUNCTION_NAME={name}".encode()
    return [each for each in found if variable in (each / "environ").read_bytes().split(b"\0")]


def peak_kib(cloud, name):
    lines = [line for each in environments(cloud, name) for line in (each / "status").read_text().splitlines()]
    return max(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def cpu_seconds(cloud, name):
    """User and system time of all of them."""
    ticks = 0
    for each in environments(cloud, name):
        fields = (each / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
