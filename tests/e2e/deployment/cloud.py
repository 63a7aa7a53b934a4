"""An AWS of this test run: MiniStack behind the proxy, and the ways to speak to it."""

import http.client
import os
import ssl
import subprocess
import sys
import time
from pathlib import Path

import boto3
import processes
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.crt.auth import CrtS3SigV4AsymAuth
from proxy import Proxy

ACCOUNT = "111122223333"
CONTROL_REGION = "us-east-2"
# A 12-digit access key id is that account's root for MiniStack.
_ADMINISTRATOR = {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": "any"}
COMMAND_SECONDS = 120


class Cloud:
    """Started when made; `close` ends it."""

    def __init__(self, folder: Path, enforced: bool):
        self.folder = folder
        self.name = "enforced" if enforced else "plain"
        self._clients = {}
        self.proxy = Proxy(folder)
        try:
            self.server = processes.start_ministack(
                folder / "ministack.log",
                ACCOUNT,
                {
                    **self.proxy.environment,  # inherited by the functions
                    "AUTH": "true" if enforced else "false",
                    "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.2",
                },
            )
        except BaseException:
            self.proxy.stop()
            raise
        self.proxy.upstream_port = self.server.port

    def close(self):
        """Ends what was started."""
        try:
            self.server.stop()
        finally:
            self.proxy.stop()

    def logs(self):
        """What helps with a failure: the end of each log, and where they are kept."""
        commands = self.folder / "commands.log"
        return {
            "logs": str(self.folder),
            "end of MiniStack's log": self.server.tail(40),
            "last commands": commands.read_text()[-3000:] if commands.exists() else "none",
            "last requests": "\n".join(map(str, self.proxy.requests[-20:])),
        }

    def write_through(self, alias, key, body):
        """PUT over a fresh connection to the access point, signed for all Regions as it demands."""
        host = f"{alias}.accesspoint.s3-global.amazonaws.com"
        request = AWSRequest("PUT", f"https://{host}/{key}", data=body, headers={"Host": host})
        credentials = Credentials(_ADMINISTRATOR["AWS_ACCESS_KEY_ID"], _ADMINISTRATOR["AWS_SECRET_ACCESS_KEY"])
        CrtS3SigV4AsymAuth(credentials, "s3", "*").add_auth(request)
        trusting = ssl.create_default_context(cafile=str(self.proxy.authority))
        connection = http.client.HTTPSConnection("127.0.0.1", self.proxy.port, context=trusting, timeout=10)
        try:
            connection.request("PUT", f"/{key}", body, dict(request.headers))
            answer = connection.getresponse()
            assert answer.status == 200, f"{answer.status}: {answer.read()}"
        finally:
            connection.close()

    def client(self, service, region=CONTROL_REGION):
        """boto3's client as the administrator."""
        key = (service, region)
        if key not in self._clients:
            client = boto3.Session().client(
                service,
                region_name=region,
                endpoint_url=self.proxy.url,
                verify=str(self.proxy.authority),
                aws_access_key_id=_ADMINISTRATOR["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=_ADMINISTRATOR["AWS_SECRET_ACCESS_KEY"],
                config=Config(
                    retries={"total_max_attempts": 1},
                    s3={"addressing_style": "path"},
                    connect_timeout=5,
                    read_timeout=90,
                ),
            )
            client.meta.events.register("before-sign.s3-control", _without_account_in_host)
            self._clients[key] = client
        return self._clients[key]

    @property
    def environment(self):
        """Of commands that a user would run: nothing of the AWS configuration of this machine."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        beside_python = Path(sys.executable).parent
        return {
            **mine,
            **_ADMINISTRATOR,
            **self.proxy.environment,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "SAM_CLI_TELEMETRY": "0",
            "PATH": f"{beside_python}{os.pathsep}{os.environ['PATH']}",
        }

    def run(self, command, cwd=processes.REPOSITORY, check=True, shell=False):
        """Runs it as a user would, its output kept in the log folder."""
        started = time.monotonic()
        done = subprocess.run(
            command if shell else [str(word) for word in command],
            cwd=cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            shell=shell,
        )
        with (self.folder / "commands.log").open("a") as log:
            log.write(f"$ {command if shell else ' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
            log.write(f"-- status {done.returncode} after {time.monotonic() - started:.1f} s\n")
        if check and done.returncode:
            raise RuntimeError(f"{command} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
        return done


def _without_account_in_host(request, **_):
    """S3 Control's rules put the account's id before any host, also where there is no DNS for it."""
    request.url = request.url.replace(f"//{ACCOUNT}.", "//", 1)
