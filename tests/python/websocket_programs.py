"""WebSocket peers for the gateway's tests: `server` (the websockets package) prints its port and echoes; `client PORT`
talks to a gateway in HTTP/1.1; `http2 PORT` does so in HTTP/2 (RFC 8441) with the h2 and wsproto packages.
"""
import asyncio
import logging
import os
import socket
import sys
import time

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

HOST = "localhost"


async def handler(connection):
    path = connection.request.path
    if path.endswith("/close"):
        await connection.close(4001, "by the target")
    elif path.endswith("/headers"):
        await connection.send("\n".join(f"{name.lower()}: {value}" for name, value in connection.request.headers.raw_items()))
    elif path.endswith("/silent"):
        await connection.wait_closed()
    else:
        async for message in connection:
            await connection.send(message)


async def server():
    # That a gateway cuts a silent connection is no news here.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    async with serve(handler, "127.0.0.1", 0, subprotocols=["chat"], max_size=4 << 20, ping_interval=None) as listening:
        print(listening.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


def to(port, path, subprotocols=("chat",), **more):
    return connect(f"ws://{HOST}{path}", host="127.0.0.1", port=port, subprotocols=subprotocols, max_size=4 << 20, ping_interval=None, **more)


async def client(port):
    async with to(port, "/echo", subprotocols=["other", "chat"]) as connection:
        assert connection.subprotocol == "chat", connection.subprotocol
        await connection.send("grüezi")
        assert await connection.recv() == "grüezi"
        large = os.urandom(1 << 20)
        await connection.send(large)
        assert await connection.recv() == large
        for number in range(200):
            await connection.send(str(number))
        assert [await connection.recv() for _ in range(200)] == [str(number) for number in range(200)]
        # Longer than the gateway's idle time-out altogether, never silent for as long.
        for _ in range(6):
            await asyncio.sleep(0.4)
            await asyncio.wait_for(await connection.ping(), 5)
    async with to(port, "/close") as connection:
        try:
            await connection.recv()
            raise AssertionError("still open")
        except websockets.ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "by the target"), closed
    spoofed = {"X-Amzn-Oidc-Identity": "spoofed", "X-Forwarded-For": "spoofed"}
    async with to(port, "/headers", additional_headers=spoofed) as connection:
        headers = await connection.recv()
        assert "spoofed" not in headers and "x-forwarded-for: 127.0.0.1" in headers, headers
    async with to(port, "/silent") as connection:
        try:
            await asyncio.wait_for(connection.recv(), 10)
            raise AssertionError("a message out of nothing")
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd is None, "silence is cut, not closed"


class Http2:
    """One HTTP/2 connection."""

    def __init__(self, port):
        import h2.config
        import h2.connection

        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.connection.initiate_connection()
        self.events = []
        self.flush()
        self.until("RemoteSettingsChanged")

    def flush(self):
        self.socket.sendall(self.connection.data_to_send())

    def until(self, kind, stream=None):
        while True:
            for event in self.events:
                if type(event).__name__ == kind and stream in (None, getattr(event, "stream_id", None)):
                    self.events.remove(event)
                    return event
            data = self.socket.recv(65536)
            assert data, f"closed before {kind}"
            self.events += self.connection.receive_data(data)
            self.flush()


def http2(port):
    from h2.settings import SettingCodes
    from wsproto.connection import Connection, ConnectionType
    from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

    client = Http2(port)
    assert client.connection.remote_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1, "RFC 8441 section 3"

    def opened(path):
        stream = client.connection.get_next_available_stream_id()
        client.connection.send_headers(stream, [
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", path),
            (":authority", HOST), ("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat"),
        ])
        client.flush()
        answer = dict(client.until("ResponseReceived", stream).headers)
        assert answer[b":status"] == b"200" and answer[b"sec-websocket-protocol"] == b"chat", answer
        return stream

    def send(stream, data):
        client.connection.send_data(stream, data)
        client.flush()

    def receive(stream, websocket):
        while True:
            data = client.until("DataReceived", stream)
            client.connection.acknowledge_received_data(data.flow_controlled_length, stream)
            client.flush()
            websocket.receive_data(data.data)
            for event in websocket.events():
                return event

    stream, websocket = opened("/echo"), Connection(ConnectionType.CLIENT)
    send(stream, websocket.send(TextMessage("grüezi")))
    assert receive(stream, websocket).data == "grüezi"
    # A second one beside it on the same connection.
    beside, other = opened("/echo"), Connection(ConnectionType.CLIENT)
    send(beside, other.send(BytesMessage(b"\x00\xff" * 4000)))
    message = b""
    while len(message) < 8000:
        message += bytes(receive(beside, other).data)
    assert message == b"\x00\xff" * 4000
    send(stream, websocket.send(CloseConnection(1000, "done")))
    closed = receive(stream, websocket)
    assert (closed.code, closed.reason) == (1000, "done"), closed
    stream, websocket = opened("/close"), Connection(ConnectionType.CLIENT)
    assert receive(stream, websocket).code == 4001
    # Longer than the gateway keeps a connection that is idle, and one that it has told to close.
    for _ in range(8):
        time.sleep(0.4)
        send(beside, other.send(Ping()))
        assert isinstance(receive(beside, other), Pong)


if __name__ == "__main__":
    mode = sys.argv[1]
    if mode == "server":
        asyncio.run(server())
    elif mode == "client":
        asyncio.run(client(int(sys.argv[2])))
    else:
        http2(int(sys.argv[2]))
