"""Whoever reads what a script prints may leave, as `head` does: it ends without a word."""

import subprocess
import sys

import processes
import pytest
from planes import SCRIPT_SECONDS, TWO_MEMBERS


@pytest.mark.parametrize(
    ("script", "arguments"),
    [("deploy", ["--dry-run"]), ("deploy", ["--write-templates", "templates"]), ("tear-down", [])],
)
def test_nobody_reads_on(build, tmp_path, script, arguments):
    plane = build(TWO_MEMBERS)
    run = subprocess.Popen(
        [sys.executable, processes.REPOSITORY / "data-plane" / script, plane.file, *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    run.stdout.close()  # before the first line, so that the very first one finds nobody
    try:
        assert run.stderr.read() == b""
        assert run.wait(SCRIPT_SECONDS) == 1
    finally:
        run.kill()
        run.wait()
        run.stderr.close()
