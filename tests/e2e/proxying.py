"""What the proxies between clients and an emulator share: TLS of their own, passing on, and a record."""

import dataclasses
import http.client
import socket
import ssl
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs

import trustme

from recorded import Request

SECONDS = 60
# About one connection, not about the request: each side has its own.
_HOP_BY_HOP = {"connection", "expect", "keep-alive", "proxy-connection", "transfer-encoding"}


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]] = []
    body: bytes = b""


class Proxy:
    """Running on a free port of loopback; `requests` lists what went through."""

    def __init__(self, folder: Path, upstream_port: int | None, handler: type):
        self.upstream_port = upstream_port
        self.requests: list[Request] = []
        self.authority = folder / "authority.pem"
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(self.authority)
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.proxy = self
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self._server.server_port

    @property
    def trust(self) -> dict[str, str]:
        """The variables that make clients trust the certificates from here."""
        authority = str(self.authority)
        return {
            "AWS_CA_BUNDLE": authority,  # botocore
            "SSL_CERT_FILE": authority,  # the Rust SDK
            "CURL_CA_BUNDLE": authority,
        }

    def context_for(self, host: str) -> ssl.SSLContext:
        """TLS as this host."""
        with self._lock:
            if host not in self._contexts:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                self._authority.issue_cert(host).configure_cert(context)
                self._contexts[host] = context
            return self._contexts[host]

    def accepted(self, connection: socket.socket) -> socket.socket:
        """A new connection, as its handler shall see it."""
        return connection

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def get_request(self):
        connection, address = super().get_request()
        return self.proxy.accepted(connection), address

    def handle_error(self, request, client_address):
        """Clients hang up, and those without our certificate never get far."""


class Handler(BaseHTTPRequestHandler):
    """Passes requests on as they were signed, `Host` included."""

    protocol_version = "HTTP/1.1"
    timeout = SECONDS
    disable_nagle_algorithm = True
    added_headers: dict[str, str] = {}

    def answer(self, request: Request, body: bytes) -> Answer | None:
        """What the client gets; None cuts its connection."""
        return self.ask(body)

    def ask(self, body: bytes, port: int | None = None, **replaced: str) -> Answer:
        """The answer of the emulator, or of what listens on `port`; headers may be replaced by name."""
        port = port or self.server.proxy.upstream_port
        upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        headers = {**self.added_headers, **replaced}
        added = {name.lower() for name in headers}
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP | added | {"content-length"}:
                    upstream.putheader(name, value)
            for name, value in headers.items():
                upstream.putheader(name, value)
            if body or self.command in ("PUT", "POST", "PATCH"):
                upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            answer = upstream.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            upstream.close()

    def _forward(self):
        body = self._body()
        request = self._request(body)
        answer = None
        try:
            answer = self.answer(request, body)
        finally:
            status = answer.status if answer else None
            self.server.proxy.requests.append(dataclasses.replace(request, status=status))
        if answer:
            self._send(answer)
        else:
            self._cut()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _forward

    def _request(self, body):
        is_form = self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
        is_xml = self.headers.get("Content-Type", "").endswith("/xml")
        return Request(
            method=self.command,
            host=self.headers.get("Host", ""),
            target=self.path,
            status=None,
            headers={name.lower(): value for name, value in self.headers.items()},
            form=parse_qs(body.decode(errors="replace")) if is_form else {},
            xml=body.decode(errors="replace") if is_xml else "",
        )

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

    def _send(self, answer: Answer):
        self.send_response_only(answer.status)
        length = str(len(answer.body))
        for name, value in answer.headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value  # of what GET would send
            elif name.lower() not in _HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(answer.body)

    def _cut(self):
        """Resets the connection, as a host that went away does."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *_):
        """Silent: `requests` is the log."""
