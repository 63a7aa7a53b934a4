"""The way of every call to MiniStack: it ends TLS, keeps a record, and makes members look down.

MiniStack hands its functions the endpoint of this proxy, so that everything they ask passes through here.
As a proxy that ends TLS does, it tells MiniStack with `X-Forwarded-Proto` that the request came safely.
"""

import contextlib
import dataclasses
import http.client
import re
import socket
import ssl
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import trustme

SECONDS = 60
# About one connection, not about the request: each side has its own.
_HOP_BY_HOP = {"connection", "expect", "keep-alive", "proxy-connection", "transfer-encoding"}
_CREDENTIAL = re.compile(r"^(?P<scheme>AWS4-[A-Z0-9-]+) Credential=(?P<key>[^/,]+)/\d{8}/(?P<scope>[^,]+)/aws4_request")
_MRAP_HOST = re.compile(r"^([a-z][a-z0-9]*\.mrap)\.accesspoint\.s3-global\.amazonaws\.com$")


@dataclasses.dataclass(frozen=True)
class Request:
    """One request as it came, and the status it got: None if it got no answer."""

    method: str
    host: str
    path: str  # as sent, percent-encoded
    query: dict[str, list[str]]
    scheme: str  # of the signature: AWS4-HMAC-SHA256 or AWS4-ECDSA-P256-SHA256; empty without one
    access_key: str
    region: str  # empty where the signature is for all Regions
    service: str  # for which it was signed
    operation: str  # where a header, the path or a form names it, as in the protocols of SNS and CloudWatch
    form: dict[str, list[str]]
    status: int | None

    @property
    def bucket(self):
        """The bucket of an S3 request by path, else None."""
        if self.service != "s3" or self.alias or self.path.startswith("/v20180820/"):
            return None
        return unquote(self.path).lstrip("/").partition("/")[0] or None

    @property
    def key(self):
        """The object's key in an S3 request, else None."""
        path = unquote(self.path).lstrip("/")
        if self.alias:
            return path or None
        return (path.partition("/")[2] or None) if self.bucket else None

    @property
    def alias(self):
        """The access point's alias in a request to its data plane, else None."""
        match = _MRAP_HOST.match(self.host.partition(":")[0])
        return match[1] if match else None


class Proxy:
    """Running on a free port of loopback; set `upstream_port` before it is used."""

    def __init__(self, folder: Path):
        self.upstream_port = None
        self.authority = folder / "authority.pem"
        self._requests: list[Request] = []
        self._down: dict[str, str] = {}
        self._stopped = threading.Event()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.authority)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self.context)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def port(self):
        return self._server.server_port

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    @property
    def environment(self):
        """What sends the AWS CLI, SAM, boto3 and the Rust SDK through here."""
        authority = str(self.authority)
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CA_BUNDLE": authority,  # botocore
            "SSL_CERT_FILE": authority,  # the Rust SDK
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    @property
    def requests(self) -> list[Request]:
        return list(self._requests)

    def record(self, request: Request):
        self._requests.append(request)

    @contextlib.contextmanager
    def down(self, bucket, how="refuse"):
        """Requests to this member fail meanwhile: `refuse` cuts the connection, `503` answers so, `hang` waits."""
        assert how in ("refuse", "503", "hang")
        self._down[bucket] = how
        try:
            yield
        finally:
            del self._down[bucket]

    def fault_of(self, request: Request):
        return self._down.get(request.bucket)

    def hang(self, bucket):
        """Until the member is up again, or nobody can be waiting any more."""
        for _ in range(SECONDS * 10):
            if self._stopped.wait(0.1) or self._down.get(bucket) != "hang":
                return

    def stop(self):
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def get_request(self):
        connection, address = super().get_request()
        # The handshake belongs to the connection's own thread.
        return self.proxy.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request, client_address):
        """Clients hang up, and those without our certificate never get far."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = SECONDS
    disable_nagle_algorithm = True

    def _forward(self):
        proxy = self.server.proxy
        body = self._body()
        request = self._described(body)
        status = None
        try:
            match proxy.fault_of(request):
                case "refuse":
                    return self._cut()
                case "hang":
                    proxy.hang(request.bucket)
                    return self._cut()
                case "503":
                    status, headers, answer = 503, [], b""
                case _:
                    status, headers, answer = self._ask(body)
        finally:
            proxy.record(dataclasses.replace(request, status=status))
        self.send_response_only(status)
        length = str(len(answer))
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value  # of what GET would send
            elif name.lower() not in _HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _forward

    def _described(self, body):
        parts = urlsplit(self.path)
        signed = _CREDENTIAL.match(self.headers.get("Authorization", ""))
        scope = signed["scope"].split("/") if signed else []
        query = parse_qs(parts.query, keep_blank_values=True)
        is_form = self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
        form = parse_qs(body.decode(errors="replace")) if is_form else {}
        return Request(
            method=self.command,
            host=self.headers.get("Host", ""),
            path=parts.path,
            query=query,
            scheme=signed["scheme"] if signed else "",
            access_key=signed["key"] if signed else "",
            region=scope[0] if len(scope) == 2 else "",
            service=scope[-1] if scope else "",
            operation=self._operation(parts.path, {**query, **form}),
            form=form,
            status=None,
        )

    def _operation(self, path, fields):
        if target := self.headers.get("X-Amz-Target"):
            return target.rpartition(".")[2]
        if "/operation/" in path:
            return path.rpartition("/")[2]
        return fields.get("Action", [""])[0]

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
        """MiniStack's answer: status, headers, body."""
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.proxy.upstream_port, timeout=SECONDS)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP | {"content-length", "x-forwarded-proto"}:
                    upstream.putheader(name, value)
            upstream.putheader("X-Forwarded-Proto", "https")
            if body or self.command in ("PUT", "POST", "PATCH"):
                upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _cut(self):
        """Resets the connection, as a host that went away does."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *_):
        """Silent: `requests` is the log."""
