"""Many clients at once: `PORT PID TOTAL AT_ONCE`. Opens AT_ONCE connections to the server PID on PORT, leaves them in
every state a client can leave them in, checks that others are answered meanwhile, closes them, and begins again until
TOTAL have come and gone. Prints JSON: the server's resident bytes before, at the most, and after each round.
"""
import json
import os
import resource
import selectors
import socket
import struct
import sys
import time
import urllib.request

REQUEST = b"GET /many HTTP/1.1\r\nHost: localhost\r\n\r\n"
BEGINNINGS = [b"", b"GET /", b"GET /many HTTP/1.1\r\nHost: loc", REQUEST, REQUEST, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"]


def resident(pid):
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def ask(port):
    started = time.monotonic()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/many", headers={"Host": "localhost"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200, answer.status
    return time.monotonic() - started


def open_all(port, count):
    connections = []
    for number in range(count):
        connection = socket.socket()
        # Closed without a trace: the ports of one client would not last.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.bind((f"127.0.{1 + number // 5000}.1", 0))
        connection.settimeout(20)
        connection.connect(("127.0.0.1", port))
        connection.sendall(BEGINNINGS[number % len(BEGINNINGS)])
        connections.append(connection)
    return connections


def main(port, pid, total, at_once):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    assert hard > at_once + 50, f"{hard} file descriptors"
    ask(port)
    before, most, after, slowest = resident(pid), 0, [], 0
    for _ in range(total // at_once):
        connections = open_all(port, at_once)
        slowest = max([slowest] + [ask(port) for _ in range(20)])
        most = max(most, resident(pid))
        # Those that asked have been answered.
        for connection in connections[3::len(BEGINNINGS)][:200]:
            answer = connection.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200"), answer
        for connection in connections:
            connection.close()
        deadline = time.monotonic() + 20
        while len(os.listdir(f"/proc/{pid}/fd")) > 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        left = len(os.listdir(f"/proc/{pid}/fd"))
        assert left <= 200, f"{left} descriptors are still open"
        ask(port)
        after.append(resident(pid))
    print(json.dumps({"before": before, "most": most, "after": after, "slowest_s": round(slowest, 3)}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]))
