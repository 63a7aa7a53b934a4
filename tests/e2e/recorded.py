"""One request as a proxy saw it, and what can be read from it."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import unescape

_AUTHORIZATION = re.compile(r"^(?P<scheme>AWS4-[A-Z0-9-]+) Credential=(?P<credential>[^,]+)")
_MRAP_HOST = re.compile(r"^([a-z][a-z0-9]*\.mrap)\.accesspoint\.s3-global\.amazonaws\.com$")


@dataclass(frozen=True)
class Request:
    """As it came, and the status it got: None if it got no answer."""

    method: str
    host: str
    target: str  # path and query as sent, percent-encoded
    status: int | None
    headers: dict[str, str] = field(repr=False)  # names in lower case
    form: dict[str, list[str]] = field(repr=False)  # the body, where it is one
    xml: str = field(repr=False, default="")  # the body, where it is XML

    def __str__(self):
        words = (self.method, self.host + self.target, self.service, self.operation, self.regions, self.access_key)
        return " ".join([*filter(None, words), f"-> {self.status}"])

    @property
    def path(self):
        return urlsplit(self.target).path

    @cached_property
    def query(self):
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    # --- signature -------------------------------------------------------------------------------

    @property
    def scheme(self):
        """AWS4-HMAC-SHA256 or AWS4-ECDSA-P256-SHA256; empty without a signature."""
        return self._signature[0]

    @property
    def access_key(self):
        return self._signature[1].partition("/")[0]

    @property
    def regions(self):
        """The one Region of the signature, or the set that SigV4A has."""
        scope = self._scope
        in_query = self.query.get("X-Amz-Region-Set", [""])[0]
        return scope[0] if len(scope) == 2 else unquote(self.headers.get("x-amz-region-set", in_query))

    @property
    def service(self):
        """For which it was signed."""
        return self._scope[-1] if self._scope else ""

    @property
    def _scope(self):
        """Region and service, the service alone for SigV4A, or nothing."""
        return self._signature[1].split("/")[2:-1]

    @cached_property
    def _signature(self):
        if signed := _AUTHORIZATION.match(self.headers.get("authorization", "")):
            return signed["scheme"], signed["credential"]
        return self.query.get("X-Amz-Algorithm", [""])[0], self.query.get("X-Amz-Credential", [""])[0]

    # --- what is asked ---------------------------------------------------------------------------

    @property
    def operation(self):
        """Where a header, the path or a form names it, as in the protocols of SNS and CloudWatch; else empty."""
        if target := self.headers.get("x-amz-target"):
            return target.rpartition(".")[2]
        if "/operation/" in self.path:
            return self.path.rpartition("/")[2]
        return {**self.query, **self.form}.get("Action", [""])[0]

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
    def deleted(self):
        """The keys of a request that deletes several objects."""
        if "delete" not in self.query:
            return []
        keys = re.findall(r"<Key>(.*?)</Key>", self.xml, re.DOTALL)
        return [unescape(key, {"&quot;": '"', "&apos;": "'"}) for key in keys]

    @property
    def alias(self):
        """The access point's alias in a request to its data plane, else None."""
        match = _MRAP_HOST.match(self.host.partition(":")[0])
        return match[1] if match else None
