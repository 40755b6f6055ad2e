"""Calls of AWS clients: reads `[service, method, arguments]` a line and prints the answer as JSON.

Run by the Python of `.venv-dialects`; the argument is the address of the endpoint.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError


@cache
def client_of(service: str) -> Any:
    """Return the client of an AWS service."""
    return boto3.client(
        service,
        endpoint_url=sys.argv[1],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # the emulator takes any
    )


for line in sys.stdin:
    service, method, arguments = json.loads(line)
    try:
        answer = getattr(client_of(service), method)(**arguments)
        answer.pop("ResponseMetadata", None)
    except (BotoCoreError, ClientError) as error:
        answer = {"error": str(error)}
    print(json.dumps(answer, default=str), flush=True)
