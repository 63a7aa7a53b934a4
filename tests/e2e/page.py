"""Reads the fenced blocks of a page of documentation, and runs its shell commands as written."""

import re
import subprocess
from pathlib import Path

SECONDS = 120
_MARK = "=== block "


def blocks(page: Path, language: str) -> list[str]:
    """The contents of the page's fenced blocks in `language`, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def run(commands: list[str], folder: Path, environment: dict[str, str]) -> list[str]:
    """Runs the blocks in one shell, as a reader pastes them; returns what each of them printed.

    The first command that fails ends the test, with everything that was printed.
    """
    script = "\n".join(f'echo "{_MARK}"\n{block}' for block in commands)
    shell = ["bash", "--noprofile", "--norc", "-euo", "pipefail", "-c", script]
    done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS)
    printed = done.stdout.split(f"{_MARK}\n")[1:]
    if done.returncode != 0:
        raise AssertionError(
            f"status {done.returncode} in this block:\n{commands[len(printed) - 1]}\n"
            f"it printed:\n{printed[-1]}\nand as errors:\n{done.stderr}"
        )
    return printed
