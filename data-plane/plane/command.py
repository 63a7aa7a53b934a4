"""What the two scripts have in common: arguments, errors, exit codes."""

import argparse
import os
import sys

from botocore.exceptions import BotoCoreError, ClientError

from plane import config as configuration
from plane.clients import Clients
from plane.progress import Failed, Progress

DONE, FAILED, WRONG = 0, 1, 2


def main(script):
    """Answers with the exit code of `script()`; ends quietly if nobody reads on, as behind `| head`."""
    try:
        try:
            return script()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)  # else Python complains when it flushes at its end
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return FAILED


def parser(description):
    # Flags are never guessed from their beginnings: one of them deletes data.
    arguments = argparse.ArgumentParser(description=description, allow_abbrev=False)
    arguments.add_argument("config", metavar="CONFIG", help="the configuration, see data-plane/example.toml")
    arguments.add_argument("--poll", type=float, metavar="SECONDS", help=argparse.SUPPRESS)
    return arguments


def load(arguments):
    """The configuration; what is wrong with it ends the script."""
    try:
        return configuration.load(arguments.config)
    except configuration.ConfigError as error:
        for problem in error.problems:
            print(f"configuration: {problem}", file=sys.stderr)
        sys.exit(WRONG)


def run(arguments, config, work):
    """The exit code of `work(config, clients, progress)`; its errors are told and are one too."""
    try:
        clients = Clients()
        poll = arguments.poll or (0.05 if clients.is_emulated(config.control_region) else 5)
        return work(config, clients, Progress(arguments.dry_run, poll))
    except Failed as error:
        return _failed(str(error))
    except (ClientError, BotoCoreError) as error:
        return _failed(f"{error}. Run this again once the cause is gone: it goes on where it stopped")
    except KeyboardInterrupt:
        return _failed("interrupted. Run this again: it goes on where it stopped")


def _failed(text):
    print(f"\nfailed: {text}", file=sys.stderr)
    return FAILED
