"""The way of every call to MiniStack: it ends TLS, keeps a record, and makes members look down.

MiniStack hands its functions the endpoint of this proxy, so that everything they ask passes through here. What
MiniStack does not know may be diverted to another server.
"""

import contextlib
import re
import threading
from pathlib import Path

import proxying


class Proxy(proxying.Proxy):
    """Set `upstream_port` before it is used."""

    def __init__(self, folder: Path):
        self._down: dict[str, str] = {}
        self._diversion = None
        self._stopped = threading.Event()
        super().__init__(folder, None, _Handler)

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    @property
    def environment(self):
        """What sends the AWS CLI, SAM, boto3 and the Rust SDK through here."""
        return {**self.trust, "AWS_ENDPOINT_URL": self.url, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}

    @contextlib.contextmanager
    def down(self, bucket, how="refuse"):
        """Requests to this member fail meanwhile: `refuse` cuts the connection, `503` answers so, `hang` waits."""
        assert how in ("refuse", "503", "hang")
        self._down[bucket] = how
        try:
            yield
        finally:
            del self._down[bucket]

    @contextlib.contextmanager
    def diverted(self, wanted, port, account):
        """Requests of which `wanted(request)` holds go to this port meanwhile, signed with the account's number."""
        self._diversion = (wanted, port, account)
        try:
            yield
        finally:
            self._diversion = None

    def diversion_of(self, request):
        """Port and account, or None."""
        if self._diversion and self._diversion[0](request):
            return self._diversion[1:]
        return None

    def fault_of(self, bucket):
        return self._down.get(bucket)

    def hang(self, bucket):
        """Until the member is up again, or nobody can be waiting any more."""
        for _ in range(proxying.SECONDS * 10):
            if self._stopped.wait(0.1) or self._down.get(bucket) != "hang":
                return

    def accepted(self, connection):
        # The handshake belongs to the connection's own thread.
        return self.context_for("127.0.0.1").wrap_socket(connection, server_side=True, do_handshake_on_connect=False)

    def stop(self):
        self._stopped.set()
        super().stop()


class _Handler(proxying.Handler):
    added_headers = {"X-Forwarded-Proto": "https"}  # as a proxy that ends TLS says that the request came safely

    def answer(self, request, body):
        proxy = self.server.proxy
        match proxy.fault_of(request.bucket):
            case "refuse":
                return None
            case "hang":
                return proxy.hang(request.bucket)
            case "503":
                return proxying.Answer(503)
        if diversion := proxy.diversion_of(request):
            port, account = diversion
            signed = re.sub(r"Credential=[^/]+/", f"Credential={account}/", self.headers["Authorization"], count=1)
            return self.ask(body, port, Authorization=signed)
        return self.ask(body)
