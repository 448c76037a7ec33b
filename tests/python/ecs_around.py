"""What stands around the tasks: certificates, load balancers (HAProxy), PostgreSQL, the login provider (npm
oidc-provider), GitHub (its simulator), the endpoints of AWS (moto)."""

import csv
import datetime
import ipaddress
import json
import os
import socket
import subprocess
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """The one that everybody here believes, and what it has signed."""

    def __init__(self, work):
        self.work = work
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Countersign test authority")])
        certificate = self._certificate(self.name, self.key.public_key(), [
            (x509.BasicConstraints(ca=True, path_length=0), True)])
        self.file = work / "authority.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _certificate(self, subject, key, extensions):
        now = datetime.datetime.now(datetime.timezone.utc)
        made = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key)
                .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
                .not_valid_after(now + datetime.timedelta(days=2)))
        for extension, critical in extensions:
            made = made.add_extension(extension, critical)
        return made.sign(self.key, hashes.SHA256())

    def issue(self, *hosts):
        """A certificate for hosts, with its key: (certificate, key) as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address(h)) if h[0].isdigit() else x509.DNSName(h) for h in hosts]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        certificate = self._certificate(subject, key.public_key(), [
            (x509.SubjectAlternativeName(names), False), (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), False)])
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                    serialization.NoEncryption())
        return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()

    def bundle(self, name, *hosts):
        """The same in one file, as HAProxy reads it."""
        file = self.work / f"{name}.pem"
        file.write_text("".join(self.issue(*hosts)))
        file.chmod(0o600)
        return file


DEFAULTS = """
global
  maxconn 2000
defaults
  timeout connect 3s
  timeout check 5s
  timeout client 120s
  timeout server 120s
  retries 2
  option redispatch 1
  default-server inter 1s fall 3 rise 1
"""


class Around:
    """Processes that are ended at the end."""

    def __init__(self, work):
        self.work, self.processes = work, []

    def start(self, name, command, ready=None, **more):
        log = open(self.work / f"{name}.log", "w")
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **more)
        self.processes.append(process)
        until = time.monotonic() + 60
        while ready and ready not in (self.work / f"{name}.log").read_text():
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"{name}: {(self.work / f'{name}.log').read_text()}")
            time.sleep(0.1)
        return process

    def haproxy(self, name, inside, text):
        file = self.work / f"{name}.cfg"
        file.write_text(f"global\n  stats socket {self.work / name}.sock\n{DEFAULTS}{text}")
        return self.start(name, [*inside, "haproxy", "-db", "-f", str(file)])

    def targets(self, name):
        """What the load balancer `name` makes of its targets: state by target group and target."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(self.work / f"{name}.sock"))
            asking.sendall(b"show stat\n")
            table = asking.makefile().read().removeprefix("# ")
        return {f"{row['pxname']}/{row['svname']}": row["status"] for row in csv.DictReader(table.splitlines())
                if row["svname"] not in ("FRONTEND", "BACKEND")}

    def wait_healthy(self, name, seconds=60):
        """Until all its targets are healthy: what a deployment on ECS waits for before it is called stable."""
        until = time.monotonic() + seconds
        while set(states := self.targets(name).values()) - {"UP"}:
            if time.monotonic() > until:
                raise AssertionError(f"{name}: {self.targets(name)}")
            time.sleep(0.1)
        assert states, f"{name} has no targets"

    def close(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def pass_through(name, address, port, targets):
    """A Network Load Balancer: TCP to healthy targets, with PROXY protocol, in health checks too ("Proxy protocol" in the
    User Guide for Network Load Balancers)."""
    servers = "\n".join(f"  server t{i} {t}:{port} send-proxy-v2 check check-send-proxy port 8409" for i, t in enumerate(targets))
    return f"""
listen {name}
  mode tcp
  bind {address}:443
  option httpchk GET /readyz
  http-check send hdr Host {name}
{servers}
"""


def by_host(address, certificate, hosts):
    """An Application Load Balancer that ends TLS and speaks it to targets, without checking them. `hosts`: (target group,
    targets) by host."""
    rules = "\n".join(f"  use_backend b{i} if {{ hdr(host) -i {host} }}" for i, host in enumerate(hosts))
    backends = ""
    for i, (group, targets) in enumerate(hosts.values()):
        servers = "\n".join(f"  server t{j} {t}:{group['Port']} ssl verify none check port {group['HealthCheckPort']} no-check-ssl"
                            for j, t in enumerate(targets))
        backends += f"\nbackend b{i}\n  mode http\n  retry-on conn-failure\n" \
                    f"  option httpchk GET {group['HealthCheckPath']}\n  http-check send hdr Host targets\n{servers}\n"
    return f"""
frontend f
  mode http
  bind {address}:443 ssl crt {certificate}
{rules}
  default_backend none
backend none
  mode http
  http-request return status 404
{backends}
"""


def postgres(around, work, inside, address, authority, passwords):
    """A server that takes TLS alone, with a role and a schema for each of `passwords`."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    data = work / "postgres"
    data.mkdir(mode=0o700)
    certificate, key = authority.issue("database.example.internal")
    (data.parent / "postgres.crt").write_text(certificate)
    key_file = data.parent / "postgres.key"
    key_file.write_text(key)
    for path in [data, key_file]:
        subprocess.run(["chown", "postgres", path], check=True)
    key_file.chmod(0o600)
    as_user = ["runuser", "-u", "postgres", "--"]
    quiet = {"check": True, "capture_output": True, "cwd": "/"}
    subprocess.run([*as_user, binaries / "initdb", "-D", data / "data", "-U", "postgres", "--auth=trust", "--no-sync",
                    "--encoding=UTF8", "--locale=C.UTF-8"], **quiet)
    (data / "data/pg_hba.conf").write_text("local all postgres trust\nhostssl all all 0.0.0.0/0 scram-sha-256\n")
    command = [*inside, *as_user, str(binaries / "postgres"), "-D", str(data / "data"), "-c", f"listen_addresses={address}",
               "-c", f"unix_socket_directories={data}", "-c", "ssl=on", "-c", f"ssl_cert_file={data.parent / 'postgres.crt'}",
               "-c", f"ssl_key_file={key_file}", "-c", "fsync=off"]
    process = around.start("postgres", command, ready="ready to accept connections", cwd="/")
    statements = "".join(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'; CREATE SCHEMA {role} AUTHORIZATION {role};"
                         for role, password in passwords.items())
    psql = [*as_user, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-h", data, "-U", "postgres"]
    if not (data / "made").exists():
        subprocess.run([*psql, "-c", "CREATE DATABASE countersign"], **quiet)
        subprocess.run([*psql, "-d", "countersign", "-c", statements + "REVOKE ALL ON SCHEMA public FROM PUBLIC;"], **quiet)
    return process, command


CREDENTIALS = """
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"AccessKeyId": "ASIA" + "A" * 16, "SecretAccessKey": "secret", "Token": self.path,
                           "Expiration": "2099-01-01T00:00:00Z", "RoleArn": self.path}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("169.254.170.2", 80), Handler).serve_forever()
"""


def oidc_provider(around, inside, modules, clients, issuer):
    """The npm package, behind a proxy that ends TLS."""
    return around.start("login-provider", [*inside, "node", str(Path(__file__).parents[1] / "node/provider.mjs"), modules, "3000",
                                    json.dumps(clients)], ready="ready", env=os.environ | {"ISSUER": issuer})


def ends_tls(address, certificate, target, more=""):
    """TLS before a server of this namespace."""
    return f"""
listen l
  mode http
  bind {address}:443 ssl crt {certificate}
  http-request set-header X-Forwarded-Proto https
  {more}
  server s {target}
"""


GITHUB = """http-request set-path /github.com%[path] if { hdr(host) github.com } { path_beg /login/oauth/ }
  http-request set-path /api.github.com%[path] if { hdr(host) api.github.com }
  http-request set-header Origin http://127.0.0.1:8410 if { hdr(origin) -m found }
  http-request set-header Host 127.0.0.1:8410"""


# What tasks ask for names, in the place of the VPC's resolver: every address, in another order each time.
DNS = """
import json, random, socket, sys
names = json.loads(open(sys.argv[1]).read())
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("169.254.169.253", 53))
while True:
    asked, sender = server.recvfrom(512)
    end, labels = 12, []
    while asked[end]:
        labels.append(asked[end + 1:end + 1 + asked[end]].decode())
        end += asked[end] + 1
    question, kind = asked[12:end + 5], asked[end + 2]
    addresses = names.get(".".join(labels).lower())
    found = random.sample(addresses, len(addresses)) if addresses and kind == 1 else []
    head = asked[:2] + bytes([0x81, 0x80 if addresses else 0x83]) + bytes([0, 1, 0, len(found), 0, 0, 0, 0])
    answers = b"".join(b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x0a\\0\\4" + socket.inet_aton(a) for a in found)
    server.sendto(head + question + answers, sender)
"""
