"""boto3 against a server on loopback, keeping every answer as it came over the wire."""

import contextlib
import http.client
import json
import time
import urllib.request
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.session
from botocore.exceptions import ClientError
from botocore.model import OperationModel
from botocore.response import StreamingBody

import clients
import world


@dataclass(frozen=True)
class Answer:
    """One answer: as it was sent, and as botocore understood it."""

    operation: OperationModel
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes  # as sent; empty where the operation streams
    code: str | None
    output: dict[str, Any] = field(repr=False)


class _OneProtocol:
    """botocore's models with a single protocol each: left alone, botocore takes its own favourite."""

    def __init__(self, loader, protocol):
        self._loader = loader
        self._protocol = protocol

    def load_service_model(self, service, type_name, api_version=None):
        model = self._loader.load_service_model(service, type_name, api_version)
        if type_name != "service-2":
            return model
        assert self._protocol in model["metadata"]["protocols"], f"{service} does not speak {self._protocol}"
        return {**model, "metadata": {**model["metadata"], "protocols": [self._protocol]}}

    def __getattr__(self, name):
        return getattr(self._loader, name)


def _session(protocol):
    session = botocore.session.Session()
    if protocol:
        session.register_component("data_loader", _OneProtocol(session.get_component("data_loader"), protocol))
    return boto3.Session(botocore_session=session)


class Aws:
    """Clients of one server, for all Regions."""

    def __init__(self, server):
        self.name = server.name
        self.url = server.url
        self.port = server.port
        self.alias = None
        self._clients = {}
        self._received = []

    @property
    def mrap_arn(self):
        return world.mrap_arn(self.alias)

    def client(self, service, region):
        """boto3's client of a Region.

        `service/protocol` chooses one of the protocols of the service's model.
        """
        key = (service, region)
        if key not in self._clients:
            name, _, protocol = service.partition("/")
            session = _session(protocol)
            client = clients.client(
                name, region, self.url, world.ACCOUNT, session=session, parameter_validation=False
            )
            client.meta.events.register("response-received", self._receive)
            self._clients[key] = client
        return self._clients[key]

    def call(self, service, region, operation, parameters):
        """The first answer to a call, an error or not: botocore may follow a redirect, this does not."""
        client = self.client(service, region)
        model = client.meta.service_model.operation_model(operation)
        self._received.clear()
        try:
            client._make_api_call(operation, parameters)
        except ClientError:
            pass  # the answer was received all the same
        raw, parsed = self._received[0]
        output = {name: value for name, value in parsed.items() if name not in ("ResponseMetadata", "Error")}
        if isinstance(output.get("Body"), StreamingBody):
            output["Body"] = output["Body"].read()
        failed = raw["status_code"] >= 300
        return Answer(
            operation=model,
            status=raw["status_code"],
            headers={name.lower(): value for name, value in raw["headers"].items()},
            body=raw["body"] if isinstance(raw["body"], bytes) else b"",
            code=parsed["Error"]["Code"] if failed else None,
            output={} if failed else output,
        )

    @contextlib.contextmanager
    def fault(self, **fault):
        """Something goes wrong in the simulator for the time being."""
        added = self._control("POST", "faults", fault)
        try:
            yield
        finally:
            self._control("DELETE", f"faults/{added['id']}")

    def advance(self, millis):
        """Lets the simulator's time pass; returns the milliseconds since its epoch."""
        return self._control("POST", "advance", {"millis": millis})["now_ms"]

    def _control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_sim/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def head_through_mrap(self, key, scheme="AWS4-ECDSA-P256-SHA256"):
        """HEAD over a fresh connection to the MRAP's host name: status and headers in lower case.

        boto3 ignores an endpoint for an access point's ARN and would ask AWS. Neither server checks
        the signature itself here, so it is left blank; the simulator checks scheme, scope, date and
        signed headers. Real signatures are judged in `use/` and `deployment/`.
        """
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        region = "" if scheme == "AWS4-ECDSA-P256-SHA256" else f"/{world.HOME_REGION}"
        scope = f"{world.ACCOUNT}/{now[:8]}{region}/s3/aws4_request"
        headers = {
            "Host": f"{self.alias}.accesspoint.s3-global.amazonaws.com",
            "X-Amz-Date": now,
            "X-Amz-Region-Set": "*",
            "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD",
            "Authorization": f"{scheme} Credential={scope}, "
            "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-region-set, Signature=00",
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("HEAD", f"/{key}", headers=headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def _receive(self, response_dict, parsed_response, **_):
        if response_dict is not None:
            self._received.append((response_dict, parsed_response))
