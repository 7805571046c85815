"""``python -m tests.e2e.h2c_server HOST PORT``: a server of HTTP/2 without TLS, that says its name.

A model server of a pool with ``appProtocol: kubernetes.io/h2c``. It has no metrics page that a
client of HTTP/1.1 could read: whoever picks it must not need one.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError


class Connection(asyncio.Protocol):
    """One client; every request is answered when it has ended."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._http = H2Connection(H2Configuration(client_side=False))
        self._methods: dict[int, str] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._http.initiate_connection()
        transport.write(self._http.data_to_send())

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._http.receive_data(data):
                match event:
                    case RequestReceived():
                        assert event.stream_id is not None
                        self._methods[event.stream_id] = dict(event.headers or [])[
                            b":method"
                        ].decode()
                    case DataReceived():
                        assert event.flow_controlled_length is not None
                        assert event.stream_id is not None
                        self._http.acknowledge_received_data(
                            event.flow_controlled_length, event.stream_id
                        )
                    case StreamEnded():
                        assert event.stream_id is not None
                        self._answer(event.stream_id)
                    case _:
                        # Settings, windows and pings are the library's to answer.
                        pass
        except ProtocolError:
            self._transport.close()
            return
        self._transport.write(self._http.data_to_send())

    def _answer(self, stream: int) -> None:
        body = json.dumps({"served_by": self._name, "method": self._methods.pop(stream)}).encode()
        headers = [
            (":status", "200"),
            ("content-type", "application/json"),
            ("x-served-by", self._name),
        ]
        self._http.send_headers(stream, headers)
        self._http.send_data(stream, body, end_stream=True)


async def serve(host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    server = await loop.create_server(lambda: Connection(f"{host}:{port}"), host, port)
    async with server:
        await over.wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
