#!/usr/bin/env python3
"""What the failover function needs: peak memory and CPU seconds of its release binary, run by MiniStack.

For MemorySize and Timeout in template.yaml. Needs what the tests beside it need; takes a minute:
`.venv/bin/python tests/e2e/deployment/measure.py [NUMBER OF MEMBERS, 3]`
"""

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import events  # noqa: E402
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
            measure(cloud, plane, automation)
        finally:
            cloud.close()


def measure(cloud, plane, automation):
    home, alarms = plane.bucket(plane.home), Alarms(cloud, plane)
    print(f"{'':44}{'peak RSS':>10}{'CPU':>9}{'took':>9}")
    step(cloud, "cold start and a tick", lambda: automation.command("tick"))
    step(cloud, "a tick", lambda: automation.command("tick"))
    alarms.go_off()
    with cloud.proxy.down(home):
        step(cloud, "an alarm: probe, turn the dial, prove, tell", lambda: automation.invoke(events.action(home)))
    step(cloud, "the way home, by command", lambda: automation.command("failback", reason="measured", force=True))
    with cloud.proxy.down(home, "hang"):
        step(cloud, "the same with a home that hangs", lambda: automation.invoke(events.action(home)))
    step(cloud, f"{TICKS} ticks with a trigger open", lambda: [automation.command("tick") for _ in range(TICKS)])


def step(cloud, title, run):
    before, started = cpu_seconds(cloud), time.monotonic()
    run()
    took = time.monotonic() - started
    print(f"{title:44}{peak_kib(cloud) / 1024:7.1f}MiB{cpu_seconds(cloud) - before:8.2f}s{took:8.2f}s")


def functions(cloud):
    """The processes that MiniStack started: the function's environments."""
    children = Path(f"/proc/{cloud.server.pid}/task").glob("*/children")
    return [Path("/proc", pid) for listed in children for pid in listed.read_text().split()]


def peak_kib(cloud):
    lines = [line for each in functions(cloud) for line in (each / "status").read_text().splitlines()]
    return max(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def cpu_seconds(cloud):
    """User and system time of all of them."""
    ticks = 0
    for each in functions(cloud):
        fields = (each / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
