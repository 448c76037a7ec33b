"""Certificates by ACME, from a server that other people wrote: orders, restart, renewal, refusal. `BINARY` is
countersign. Needs ports 80 and 443 and names of its own, so it is run in namespaces of its own, as root:
`unshare --net --mount python acme_orders.py BINARY`.
"""
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

NAMES = ["www.acme-test.example", "second.acme-test.example"]
ACME = "acme.acme-test.example"
HERE = os.path.dirname(os.path.abspath(__file__))

CONFIG = """
[keys]
gateway = "{directory}/gateway.key"
[operations]
listen = "127.0.0.1:8409"
[gateway]
account = "000000000000"
region = "us-east-1"
[gateway.database]
url = "sqlite:{directory}/gateway.sqlite"
[gateway.authenticate_oidc]
issuer = "https://login.example.com"
client_id = "countersign"
client_secret = "unused"
[gateway.claims_header]
signer = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/countersign/1"
[gateway.user_token]
issuer = "http://localhost:8402/default"
[gateway.acme]
directory_url = "https://{acme}:14000/directory"
terms_of_service_agreed = true
contact = ["mailto:ops@acme-test.example"]
trust_root = "{directory}/ca.pem"
storage = "{directory}/{challenge}"
challenge = "{challenge}"
[gateway.listeners.app]
listen = "127.0.0.1:8400"
origin = "https://app.example.com"
rules = []
[gateway.listeners.account]
listen = "127.0.0.1:8407"
origin = "https://account.example.com"
rules = []
[gateway.listeners.keys]
listen = "127.0.0.1:8402"
hosts = ["localhost"]
[gateway.listeners.plain]
listen = "127.0.0.1:80"
origin = "http://{names[0]}"
rules = []
default_actions = [{{ type = "redirect", protocol = "HTTPS", port = "443", status_code = 301 }}]
[gateway.listeners.mine]
listen = "127.0.0.1:443"
origin = "https://{names[0]}"
hosts = ["{names[1]}"]
rules = []
default_actions = [{{ type = "fixed-response", status_code = 200, message_body = "mine" }}]
tls = {{ acme = true }}
[gateway.target_groups]
"""


class Gateway:
    def __init__(self, binary, directory, challenge):
        self.log = os.path.join(directory, f"log-{challenge}")
        config = os.path.join(directory, "countersign.toml")
        with open(config, "w") as out:
            out.write(CONFIG.format(directory=directory, challenge=challenge, names=NAMES, acme=ACME))
        with open(self.log, "a") as log:
            self.process = subprocess.Popen([binary, "serve", "gateway", "--config", config], stdout=log, stderr=log)

    def said(self):
        with open(self.log) as log:
            return log.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0


def serial(directory, name):
    """The serial number of a certificate that verifies for the name, by a connection that works."""
    context = ssl.create_default_context(cafile=os.path.join(directory, "ca.pem"))
    with socket.create_connection(("127.0.0.1", 443), 5) as plain:
        with context.wrap_socket(plain, server_hostname=name) as stream:
            stream.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while data := stream.recv(4096):
                answer += data
            assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"mine"), answer
            return stream.getpeercert()["serialNumber"]


def until(seconds, what, holds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if (found := holds()) is not None:
                return found
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError(what)


def write(directory, file, text):
    with open(os.path.join(directory, file), "w") as out:
        out.write(text)


def orders(binary, directory, challenge):
    write(directory, "lifetime", "86400")
    gateway = Gateway(binary, directory, challenge)
    try:
        first = until(40, "no certificate", lambda: serial(directory, NAMES[0]))
        assert serial(directory, NAMES[1]) == first, "one certificate for both names"
        storage = os.path.join(directory, challenge)
        assert os.stat(storage).st_mode & 0o777 == 0o700
        files = os.listdir(storage)
        assert len(files) == 2 and all(os.stat(os.path.join(storage, file)).st_mode & 0o777 == 0o600 for file in files)
        gateway.stop()
        # What is stored is shown at once, and nothing is ordered.
        write(directory, "refuse", "")
        gateway = Gateway(binary, directory, challenge)
        assert until(20, "not shown again", lambda: serial(directory, NAMES[0])) == first
        assert "no certificate by ACME" not in gateway.said()
    finally:
        if os.path.exists(os.path.join(directory, "refuse")):
            os.unlink(os.path.join(directory, "refuse"))
        gateway.stop()


def renewal(binary, directory):
    challenge = "tls-alpn-01"
    shutil.rmtree(os.path.join(directory, challenge))
    write(directory, "lifetime", "45")
    gateway = Gateway(binary, directory, challenge)
    try:
        first = until(40, "no certificate", lambda: serial(directory, NAMES[0]))
        shown = set()

        def renewed():
            # Never a moment without a certificate that holds.
            shown.add(serial(directory, NAMES[0]))
            return True if len(shown) == 2 else None

        until(50, f"not renewed:\n{gateway.said()}", renewed)
        assert first in shown
        # A refusal takes nothing away from what still holds.
        write(directory, "refuse", "")
        second = serial(directory, NAMES[0])
        until(50, "not refused", lambda: "no certificate by ACME" in gateway.said() or None)
        assert serial(directory, NAMES[0]) == second
    finally:
        gateway.stop()


def main(binary):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    directory = tempfile.mkdtemp()
    write(directory, "hosts", f"127.0.0.1 localhost {ACME} {' '.join(NAMES)}\n")
    subprocess.run(["mount", "--bind", os.path.join(directory, "hosts"), "/etc/hosts"], check=True)
    write(directory, "lifetime", "86400")
    with open(os.path.join(directory, "acme.log"), "w") as log:
        server = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "acme_server.py"), directory, ACME, "14000"], stdout=log, stderr=log
        )
    try:
        until(20, "no ACME server", lambda: socket.create_connection((ACME, 14000), 1).close() or True)
        orders(binary, directory, "tls-alpn-01")
        orders(binary, directory, "http-01")
        renewal(binary, directory)
    except BaseException:
        for file in ("acme.log", "log-tls-alpn-01", "log-http-01"):
            if os.path.exists(path := os.path.join(directory, file)):
                print(f"== {file}\n{open(path).read()[-4000:]}", file=sys.stderr)
        raise
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(directory)


if __name__ == "__main__":
    main(sys.argv[1])
