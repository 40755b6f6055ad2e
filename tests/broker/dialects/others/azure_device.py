"""Microsoft's device client for Azure IoT Hub, as a phone that answers direct methods.

Run by the Python of `.venv-dialects` with: host name of the hub, port of the broker on this
computer, device id, key, file of the CA. Prints a line of JSON for each method and message that
arrives, and answers a method with its own arguments.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from azure.iot.device import Message, MethodRequest, MethodResponse
from azure.iot.device.aio import IoTHubDeviceClient
from paho.mqtt.client import Client


def show(**values: Any) -> None:
    """Print a line of JSON."""
    print(json.dumps(values, default=str), flush=True)


def connect_to(port: int) -> None:
    """Let the client use another port than 8883, for which it has no option."""
    original = Client.connect

    def connect(self: Client, *arguments: Any, **options: Any) -> Any:
        return original(self, *arguments, **{**options, "port": port})

    Client.connect = connect  # type: ignore[method-assign]


async def main(hub: str, port: str, device: str, key: str, ca: str) -> None:
    """Connect, and answer until the process is ended; `ca` is a certificate as text."""
    connect_to(int(port))
    text = f"HostName={hub};DeviceId={device};SharedAccessKey={key};GatewayHostName=localhost"
    client = IoTHubDeviceClient.create_from_connection_string(text, server_verification_cert=ca)

    async def on_method(request: MethodRequest) -> None:
        show(method=request.name, rid=request.request_id, payload=request.payload)
        status = 501 if request.name == "unknown" else 200
        answer = MethodResponse.create_from_method_request(request, status, request.payload)
        await client.send_method_response(answer)

    def on_message(message: Message) -> None:
        data = message.data
        text = data.decode() if isinstance(data, bytes) else data
        show(message=text, id=message.message_id, properties=message.custom_properties)

    client.on_method_request_received = on_method
    client.on_message_received = on_message
    await client.connect()
    show(connected=device)
    await asyncio.Event().wait()


if __name__ == "__main__":
    hub, port, device, key, file = sys.argv[1:]
    asyncio.run(main(hub, port, device, key, Path(file).read_text(encoding="ascii")))
