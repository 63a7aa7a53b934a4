"""`template.yaml` as `sam build` left it, and `sam deploy` as a user pastes it."""

import os
import shlex
import shutil
from pathlib import Path

import commands
from processes import REPOSITORY

STACK = "mrap-sentinel"
BUILT = Path(os.environ.get("SAM_BUILD_DIR", REPOSITORY / ".work" / "sam-build"))
ARCHITECTURE = "x86_64" if os.uname().machine == "x86_64" else "arm64"  # of this host, where the functions run


def program():
    found = shutil.which("sam", path=REPOSITORY / ".venv-sam" / "bin") or shutil.which("sam")
    if found is None:
        raise FileNotFoundError("no SAM CLI. Remedy: `make e2e` installs it into .venv-sam")
    return found


def deploy(command, parameters, environment, log):
    """Runs `sam deploy … --parameter-overrides …` as it stands, with these parameters appended; what it said.

    In a folder like the root of a checkout after `sam build`; the change set is confirmed as it asks.
    """
    words = [f"{name}={shlex.quote(str(value))}" for name, value in parameters.items()]
    path = f"{Path(program()).parent}{os.pathsep}{environment['PATH']}"
    done = commands.run(
        " ".join([command, *words]),
        {**environment, "PATH": path, "SAM_CLI_TELEMETRY": "0"},
        log,
        cwd=_checkout(log.parent / "checkout"),
        answers="y\n",
    )
    return done.stdout + done.stderr


def _checkout(folder):
    if not (BUILT / "template.yaml").is_file():
        raise FileNotFoundError(f"no built template in {BUILT}. Remedy: `sam build`, which `make e2e` runs first")
    if not folder.exists():
        (folder / ".aws-sam").mkdir(parents=True)
        (folder / ".aws-sam" / "build").symlink_to(BUILT.resolve())
        (folder / "samconfig.toml").symlink_to(REPOSITORY / "samconfig.toml")
    return folder
