"""boto3 against a server on loopback."""

import re

import boto3
from botocore.config import Config


def client(service, region, url, key, *, secret="any", session=None, verify=None, **config):
    """A client that tries once, by path, and needs no name to resolve."""
    made = (session or boto3.Session()).client(
        service,
        region_name=region,
        endpoint_url=url,
        verify=verify,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            connect_timeout=5,
            **{"read_timeout": 20, **config},
        ),
    )
    made.meta.events.register("before-sign.s3-control", _without_account_in_host)
    return made


def _without_account_in_host(request, **_):
    """S3 Control's rules put the account's id before any host, also where there is no DNS for it."""
    request.url = re.sub(r"//\d{12}\.", "//", request.url, count=1)
