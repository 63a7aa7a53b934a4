"""An AWS of this test run: MiniStack behind the proxy, and the ways to speak to it."""

import http.client
import os
import ssl
import sys
from pathlib import Path

import clients
import commands
import processes
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.crt.auth import CrtS3SigV4AsymAuth
from proxy import Proxy

ACCOUNT = "111122223333"
CONTROL_REGION = "us-east-2"
# A 12-digit access key id is that account's root for MiniStack.
_ADMINISTRATOR = {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": "any"}


class Cloud:
    """Started when made; `close` ends it."""

    def __init__(self, folder: Path, enforced: bool):
        self.folder = folder
        self.commands_log = folder / "commands.log"
        self.name = "enforced" if enforced else "plain"
        self._clients = {}
        self.proxy = Proxy(folder)
        try:
            self.server = processes.start_ministack(
                folder / "ministack.log",
                ACCOUNT,
                {
                    **self.proxy.environment,  # the way of its functions too
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
        return {
            "logs": str(self.folder),
            "end of MiniStack's log": self.server.tail(40),
            "last commands": self.commands_log.read_text()[-3000:] if self.commands_log.exists() else "none",
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
            self._clients[key] = clients.client(
                service, region, self.proxy.url, ACCOUNT, verify=str(self.proxy.authority), read_timeout=90
            )
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
            "PATH": f"{beside_python}{os.pathsep}{os.environ['PATH']}",
        }

    def run(self, command):
        """Runs it as a user would: a list of words, or text for a shell."""
        return commands.run(command, self.environment, self.commands_log, processes.REPOSITORY)
