"""A forward proxy on loopback behind which every `*.amazonaws.com` is one emulator.

Access point ARNs ignore an endpoint override: the CLI and the SDKs always ask for
`https://<alias>.accesspoint.s3-global.amazonaws.com`. They honour `HTTPS_PROXY`, though. This proxy
answers the CONNECT, ends TLS with a certificate for the name asked for, and hands the request to the
emulator. Nothing leaves the machine; any other name is refused.
"""

import ssl
from pathlib import Path

import proxying


class Gateway(proxying.Proxy):
    def __init__(self, upstream_port: int, folder: Path):
        super().__init__(folder, upstream_port, _Handler)

    @property
    def environment(self) -> dict[str, str]:
        """What sends the AWS CLI, SAM, boto3, curl and the Rust SDK through here."""
        return {**self.trust, "HTTPS_PROXY": f"http://127.0.0.1:{self.port}"}


class _Handler(proxying.Handler):
    """Speaks plain HTTP until the CONNECT, and HTTP within TLS afterwards."""

    def do_CONNECT(self):
        host, _, port = self.path.partition(":")
        if not host.endswith(".amazonaws.com") or port != "443":
            self.send_error(403, "only AWS lives behind this proxy")
            return
        self.send_response(200, "connected")
        self.end_headers()
        context = self.server.proxy.context_for(host)
        try:
            self.connection = context.wrap_socket(self.connection, server_side=True)
        except OSError:
            self.close_connection = True  # a client that does not trust the certificate
            return
        self.rfile = self.connection.makefile("rb", self.rbufsize)
        self.wfile = self.connection.makefile("wb", 0)
        self.close_connection = False

    def answer(self, request, body):
        if not isinstance(self.connection, ssl.SSLSocket):
            return proxying.Answer(403)  # only CONNECT
        return self.ask(body)
