"""Commands as a user runs them, with what they said kept."""

import subprocess
import time

SECONDS = 120


def run(command, environment, log, cwd, answers=None):
    """A list of words, or text for a shell; what fails is an error with everything that was said.

    `answers` is typed to whatever the command asks. Everything is appended to the file `log`.
    """
    started = time.monotonic()
    done = subprocess.run(
        command if isinstance(command, str) else [str(word) for word in command],
        shell=isinstance(command, str),
        cwd=cwd,
        env=environment,
        input=answers or "",
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    title = command if isinstance(command, str) else " ".join(map(str, command))
    with log.open("a") as sink:
        sink.write(f"$ {title}\n{done.stdout}{done.stderr}")
        sink.write(f"-- status {done.returncode} after {time.monotonic() - started:.1f} s\n")
    if done.returncode:
        raise RuntimeError(f"{title} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done
