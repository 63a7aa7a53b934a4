"""The two servers under comparison, as processes of this test run."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 30
STOP_SECONDS = 5


class Server:
    """A process that answers on loopback, and its log."""

    def __init__(self, name, command, log, environment=None):
        self.name = name
        self.log = log
        self.port = None
        with log.open("wb") as sink:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                env={**os.environ, **(environment or {})},
            )

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self._process.pid

    def wait_until(self, is_ready):
        """Waits for `is_ready()`; a process that ends before that, or takes too long, is an error."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with status {self._process.returncode}:\n{self.tail()}")
            if is_ready():
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} was not ready after {START_SECONDS} s:\n{self.tail()}")

    def stop(self):
        """Ends this process and no other."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tail(self, lines=25):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def simulator_binary():
    """The simulator's path; an error that says how to build it if there is none."""
    chosen = os.environ.get("SIMULATOR_BIN")
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    binary = Path(chosen) if chosen else target / "debug" / "simulator"
    if not binary.is_file():
        raise FileNotFoundError(
            f"no simulator at {binary}. Remedy: `cargo build -p simulator`, or set SIMULATOR_BIN to its path"
        )
    return binary.resolve()


def start_simulator(world, log, time_scale=1):
    """Starts a simulated AWS of the blueprint file `world` on a port that it chooses itself."""
    command = [simulator_binary(), "serve", "--port", 0, "--time-scale", time_scale, "--world", world]
    server = Server("simulator", command, log)

    def is_ready():
        first, complete, _ = log.read_text(errors="replace").partition("\n")
        if complete and first.isdigit():
            server.port = int(first)
        return server.port is not None

    return _started(server, is_ready)


def start_ministack(log, account, environment=None):
    """Starts MiniStack, of the same environment as this interpreter, on a free port.

    `account` serves what MiniStack cannot tell the account of: requests signed with SigV4A.
    """
    command = shutil.which("ministack", path=Path(sys.executable).parent)
    if command is None:
        raise FileNotFoundError("no MiniStack beside this Python. Remedy: `make e2e` installs it into .venv")
    port = _free_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",  # inherited by the functions
        **(environment or {}),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_ACCOUNT_ID": account,
        # Listeners on fixed ports, which are none of our business and may be taken.
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
    }
    server = Server("ministack", [command], log, environment)
    server.port = port

    def is_ready():
        try:
            with urllib.request.urlopen(f"{server.url}/_ministack/health", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    return _started(server, is_ready)


def _started(server, is_ready):
    try:
        server.wait_until(is_ready)
    except BaseException:
        server.stop()
        raise
    return server


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
