"""boto3's clients, one per service and Region; endpoint overrides are honoured without any DNS."""

import re
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from plane.progress import Failed

MRAP_REGION = "us-west-2"  # serves all control calls of access points but those for routes, which it serves too


class Clients:
    def __init__(self):
        self._session = boto3.Session()
        self._clients = {}

    def __call__(self, service, region):
        key = (service, region)
        if key not in self._clients:
            client = self._create(service, region, {})
            if _is_override(client) and service == "s3":
                client = self._create(service, region, {"addressing_style": "path"})
            if _is_override(client) and service == "s3control":
                client.meta.events.register("before-sign.s3-control", _without_account_in_host)
            self._clients[key] = client
        return self._clients[key]

    def account(self, config):
        """The account of the credentials, which must be the one that the configuration names."""
        found = self("sts", config.control_region).get_caller_identity()["Account"]
        if config.account not in (None, found):
            raise Failed(
                f"the credentials belong to account {found}, the configuration is for {config.account}; nothing was "
                "changed. Remedy: use that account's credentials (AWS_PROFILE), or correct account in the configuration"
            )
        return found

    def is_emulated(self, region):
        """Whether CloudFormation is not AWS's: then nothing takes minutes."""
        return _is_override(self("cloudformation", region))

    def _create(self, service, region, s3):
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=60, s3=s3
        )
        return self._session.client(service, region_name=region, config=config)


def _is_override(client):
    host = urlsplit(client.meta.endpoint_url).hostname
    return not host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))


def _without_account_in_host(request, **_):
    """S3 Control puts the account before the host, a name that resolves nowhere but at AWS."""
    request.url = re.sub(r"//\d{12}\.", "//", request.url, count=1)
