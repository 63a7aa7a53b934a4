"""A forward proxy on loopback behind which every `*.amazonaws.com` is one emulator.

Access point ARNs ignore an endpoint override: the CLI and the SDKs always ask for
`https://<alias>.accesspoint.s3-global.amazonaws.com`. They honour `HTTPS_PROXY`, though. This proxy
answers the CONNECT, ends TLS with a certificate for the name asked for, and hands the request to the
emulator as it was signed, `Host` included. Nothing leaves the machine; any other name is refused.
"""

import http.client
import ssl
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme

SECONDS = 20
# About one connection, not about the request: each side has its own.
_HOP_BY_HOP = {"connection", "expect", "keep-alive", "proxy-connection", "transfer-encoding"}


@dataclass(frozen=True)
class Seen:
    """One request as the client sent it, and the status it got."""

    host: str
    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    status: int


class Gateway:
    """The proxy, running; `seen` lists what went through."""

    def __init__(self, upstream_port: int, folder: Path):
        self.upstream_port = upstream_port
        self.seen: list[Seen] = []
        self.authority_file = folder / "authority.pem"
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(self.authority_file)
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.gateway = self
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What sends the AWS CLI, boto3, curl and the Rust SDK through here."""
        authority = str(self.authority_file)
        return {
            "HTTPS_PROXY": f"http://127.0.0.1:{self._server.server_port}",
            "AWS_CA_BUNDLE": authority,  # botocore
            "SSL_CERT_FILE": authority,  # the Rust SDK
            "CURL_CA_BUNDLE": authority,
        }

    def context_for(self, host: str) -> ssl.SSLContext:
        with self._lock:
            if host not in self._contexts:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                self._authority.issue_cert(host).configure_cert(context)
                self._contexts[host] = context
            return self._contexts[host]

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Speaks plain HTTP until the CONNECT, and HTTP within TLS afterwards."""

    protocol_version = "HTTP/1.1"
    timeout = SECONDS

    def do_CONNECT(self):
        host, _, port = self.path.partition(":")
        if not host.endswith(".amazonaws.com") or port != "443":
            self.send_error(403, "only AWS lives behind this proxy")
            return
        self.send_response(200, "connected")
        self.end_headers()
        context = self.server.gateway.context_for(host)
        try:
            self.connection = context.wrap_socket(self.connection, server_side=True)
        except OSError:
            self.close_connection = True  # a client that does not trust the certificate
            return
        self.rfile = self.connection.makefile("rb", self.rbufsize)
        self.wfile = self.connection.makefile("wb", 0)
        self.close_connection = False

    def _forward(self):
        if not isinstance(self.connection, ssl.SSLSocket):
            self.send_error(403, "only CONNECT")
            return
        body = self._body()
        status, headers, answer = self._ask(body)
        self.server.gateway.seen.append(
            Seen(
                host=self.headers["Host"],
                method=self.command,
                path=self.path,
                headers={name.lower(): value for name, value in self.headers.items()},
                status=status,
            )
        )
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        length = dict((name.lower(), value) for name, value in headers).get("content-length")
        self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _forward

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers of the transfer, not of the request
        return body

    def _ask(self, body: bytes):
        """The emulator's answer: status, headers, body."""
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.gateway.upstream_port, timeout=SECONDS)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP | {"content-length"}:
                    upstream.putheader(name, value)
            if body or self.command in ("PUT", "POST", "PATCH"):
                upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def log_message(self, *_):
        """Silent: `seen` is the log."""
