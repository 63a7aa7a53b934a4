"""What the two scripts have in common: arguments, errors, exit codes."""

import argparse
import sys

from botocore.exceptions import BotoCoreError, ClientError

from plane import config as configuration
from plane.clients import Clients
from plane.progress import Failed, Progress

DONE, FAILED, WRONG = 0, 1, 2


def parser(description):
    arguments = argparse.ArgumentParser(description=description)
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
    """Calls `work(config, clients, progress)` and answers with the exit code."""
    try:
        clients = Clients()
        poll = arguments.poll or (0.05 if clients.is_emulated(config.control_region) else 5)
        work(config, clients, Progress(getattr(arguments, "dry_run", False), poll))
    except Failed as error:
        return _failed(str(error))
    except (ClientError, BotoCoreError) as error:
        return _failed(f"{error}. Run this again once the cause is gone: it goes on where it stopped")
    except KeyboardInterrupt:
        return _failed("interrupted. Run this again: it goes on where it stopped")
    return DONE


def _failed(text):
    print(f"\nfailed: {text}", file=sys.stderr)
    return FAILED
