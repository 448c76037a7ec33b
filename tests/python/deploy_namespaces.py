"""The gateway form of deploy/aws in network namespaces: configurations, task definitions and security groups are those of
the templates, as moto made them; the tasks run from the image, without rights, in pairs; load balancers, database, login
provider, GitHub and AWS's endpoints stand around them at addresses of their own.

Needs root, network namespaces, nftables, buildah's image localhost/countersign (tests/deploy_image.sh), HAProxy,
PostgreSQL and Node. Variables: COUNTERSIGN, the binary; COUNTERSIGN_TEST_NODE_MODULES. Exit: 77 where it cannot run."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import boto3
from moto import mock_aws
from moto.server import ThreadedMotoServer

import ecs_around
import ecs_network
import stacks
from ecs_tasks import Image, Tasks, errors

ROOT = Path(__file__).parents[2]
BINARY = os.environ.get("COUNTERSIGN", "")
ROLES = {"identity": 21, "gateway": 20, "agent": 22, "binding": 23}
PAIRS = {role: [f"10.20.3.{last}", f"10.20.4.{last}"] for role, last in ROLES.items()}
APP, ACCOUNT = "10.20.0.10", "10.20.1.10"
INTERNAL, DATABASE, AWS, OPERATOR = "10.20.3.10", "10.20.3.30", "10.20.3.40", "10.20.3.60"
LOGIN, GITHUB, BROWSER = "20.190.1.10", "140.82.121.3", "81.2.69.142"
MEMBERS = {
    "The load balancers that pass TLS through to the gateway": [APP, ACCOUNT],
    "The load balancer of the identity API and of the keys of user tokens": [INTERNAL],
    "The gateway": PAIRS["gateway"], "The identity service": PAIRS["identity"], "The agent": PAIRS["agent"],
    "The session binding service": PAIRS["binding"], "The database": [DATABASE], "Operators": [OPERATOR],
    "Interface endpoints of AWS, for the tasks of this VPC": [AWS],
}
ANCHORS = f"countersign-audit-anchors-{stacks.ACCOUNT}-{stacks.REGION}"
NAMES = {
    "app.example.com": [APP], "account.example.com": [ACCOUNT], "countersign-api.example.com": [INTERNAL],
    "countersign-keys.example.com": [INTERNAL], "database.example.internal": [DATABASE], "login.example.net": [LOGIN],
    "github.com": [GITHUB], "api.github.com": [GITHUB], "kms.eu-west-1.amazonaws.com": [AWS], "s3.eu-west-1.amazonaws.com": [AWS],
    f"{ANCHORS}.s3.eu-west-1.amazonaws.com": [AWS],
    # A name of another zone that leads here: the mistake of a wrong prefix.
    "app.example.org": [APP],
    **{f"{role}.countersign.internal": PAIRS[role] for role in ["identity", "agent", "binding"]},
}
CALLBACK = "https://account.example.com/oauth2/idpresponse"
ISSUER = "https://login.example.net"
PASSWORDS = {"identity": "identity-password", "gateway": "gateway-password"}
ADMIN = {"AWS_ACCESS_KEY_ID": "AKIAINITIALADMIN0001", "AWS_SECRET_ACCESS_KEY": "initial-admin-secret-0123456789abcdef",
         "AWS_REGION": stacks.REGION, "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE_CONTROL": "https://countersign-api.example.com"}


def database_url(role):
    return (f"postgres://{role}:{PASSWORDS[role]}@database.example.internal:5432/countersign"
            "?sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt")


class Deployment(unittest.TestCase):
    """Set up once; the tests are in the order of their names, which the bad inputs at the end need."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.work = Path(tempfile.mkdtemp(prefix="countersign-ecs-"))
        cls.work.chmod(0o755)
        cls.addClassCleanup(lambda: shutil.rmtree(cls.work, ignore_errors=True))
        cls.around = ecs_around.Around(cls.work)
        cls.addClassCleanup(cls.around.close)
        cls.network = ecs_network.Network(f"cs{os.getpid()}")
        cls.addClassCleanup(cls.network.close)
        cls.create_stacks()
        cls.places()
        cls.files()
        version = re.search(r'^\[workspace.package\]\nversion = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M).group(1)
        image = Image(version)
        cls.addClassCleanup(image.close)
        cls.tasks = Tasks(cls.work, image, cls.work / "hosts", cls.work / "authorities.pem")
        cls.addClassCleanup(cls.tasks.close)
        cls.stand_around()
        cls.start_tasks()

    @classmethod
    def create_stacks(cls):
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        cls.aws = mock_aws()
        cls.aws.start()
        cls.addClassCleanup(cls.aws.stop)
        cls.client, _ = stacks.create("gateway", {"OidcIssuer": ISSUER, "IdentityTasks": "2"})
        cls.definitions = stacks.tasks()
        cls.parameters = {f"/countersign/countersign/{role}": stacks.configuration(cls.client["ssm"], role) for role in ROLES}
        socket = cls.work / "moto.sock"
        server = ThreadedMotoServer(ip_address=f"unix://{socket}", port=0, verbose=False)
        server.start()
        cls.addClassCleanup(server.stop)
        cls.moto = socket

    @classmethod
    def places(cls):
        for role, addresses in PAIRS.items():
            for number, address in enumerate(addresses, 1):
                cls.network.place(f"{role}{number}", address)
        for name, addresses in [("public", [APP, ACCOUNT]), ("internal", [INTERNAL]), ("database", [DATABASE]), ("aws", [AWS]),
                                ("operator", [OPERATOR]), ("login", [LOGIN]), ("github", [GITHUB]), ("browser", [BROWSER])]:
            cls.network.place(name, *addresses)
        ec2 = cls.client["ec2"]
        cls.network.security_groups(MEMBERS, stacks.ingress(ec2), stacks.egress(ec2))

    @classmethod
    def files(cls):
        cls.authority = ecs_around.Authority(cls.work)
        (cls.work / "authorities.pem").write_text(cls.authority.file.read_text())
        lines = ["127.0.0.1 localhost", "::1 localhost"]
        lines += [f"{address} {name}" for name, addresses in NAMES.items() for address in addresses]
        (cls.work / "hosts").write_text("\n".join(lines) + "\n")
        for name in ["hosts", "authorities.pem"]:
            (cls.work / name).chmod(0o644)
        made = cls.work / "certificates"
        ecs_network.run(str(ROOT / "deploy/aws/certificates"), "countersign", str(made))
        chain, key = cls.authority.issue("app.example.com", "account.example.com")
        cls.secrets = {
            "countersign/identity-database": database_url("identity"), "countersign/gateway-database": database_url("gateway"),
            "countersign/initial-admin-id": ADMIN["AWS_ACCESS_KEY_ID"],
            "countersign/initial-admin-secret-key": ADMIN["AWS_SECRET_ACCESS_KEY"],
            "countersign/oidc-AbCdEf": "oidc-secret", "countersign/certificate": chain, "countersign/private-key": key,
            "countersign/authority": (made / "authority.pem").read_text(),
            **{f"countersign/{role}-certificate": (made / f"{role}.pem").read_text() for role in ["identity", "agent", "binding"]},
            **{f"countersign/{role}-private-key": (made / f"{role}.key").read_text() for role in ["identity", "agent", "binding"]},
        }

    @classmethod
    def stand_around(cls):
        around, enter, bundle = cls.around, cls.network.enter, cls.authority.bundle
        around.start("credentials", ["ip", "netns", "exec", cls.network.router, sys.executable, "-c", ecs_around.CREDENTIALS])
        (cls.work / "names.json").write_text(json.dumps(NAMES))
        around.start("dns", ["ip", "netns", "exec", cls.network.router, sys.executable, "-c", ecs_around.DNS,
                             str(cls.work / "names.json")])
        around.haproxy("public", enter("public"), ecs_around.pass_through("app", APP, 8400, PAIRS["gateway"])
                       + ecs_around.pass_through("account", ACCOUNT, 8407, PAIRS["gateway"]))
        groups = {g["Port"]: g for g in cls.client["elbv2"].describe_target_groups()["TargetGroups"]}
        certificate = bundle("internal", "countersign-api.example.com", "countersign-keys.example.com")
        around.haproxy("internal", enter("internal"), ecs_around.by_host(INTERNAL, certificate, {
            "countersign-api.example.com": (groups[8401], PAIRS["identity"]),
            "countersign-keys.example.com": (groups[8402], PAIRS["gateway"])}))
        around.haproxy("aws", enter("aws"), ecs_around.ends_tls(AWS, bundle(
            "aws", "kms.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com", f"{ANCHORS}.s3.eu-west-1.amazonaws.com"), cls.moto))
        around.haproxy("login", enter("login"), ecs_around.ends_tls(LOGIN, bundle("login", "login.example.net"), "127.0.0.1:3000"))
        around.haproxy("github", enter("github"), ecs_around.ends_tls(
            GITHUB, bundle("github", "github.com", "api.github.com"), "127.0.0.1:8410", ecs_around.GITHUB))
        cls.login_provider(CALLBACK)
        cls.database, cls.database_command = ecs_around.postgres(
            around, cls.work, enter("database"), DATABASE, cls.authority, PASSWORDS)

    @classmethod
    def login_provider(cls, callback):
        client = {"client_id": "countersign", "client_secret": "oidc-secret", "redirect_uris": [callback],
                  "post_logout_redirect_uris": ["https://account.example.com/logged-out"]}
        cls.login = ecs_around.oidc_provider(cls.around, cls.network.enter("login"),
                                             os.environ["COUNTERSIGN_TEST_NODE_MODULES"], [client], ISSUER)

    @classmethod
    def start(cls, role, number, name=None):
        place = f"{role}{number}"
        more = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": f"/v2/credentials/{role}", "AWS_REGION": stacks.REGION}
        cls.tasks.start(name or place, cls.network.enter(place), cls.definitions[role], cls.secrets, cls.parameters, more)

    @classmethod
    def start_pair(cls, role):
        for number in [1, 2]:
            cls.start(role, number)
        cls.wait_ready(role, 1, 2)

    @classmethod
    def wait_ready(cls, role, *numbers):
        """Until these tasks say so, and what balances their load has seen it, which takes a health check more."""
        for number in numbers:
            cls.tasks.wait_ready(f"{role}{number}", cls.network.enter(f"{role}{number}"))
        if role == "gateway":
            for balancer in ["public", "internal"]:
                cls.around.wait_healthy(balancer)

    @classmethod
    def operator(cls, *command, more=()):
        ran = cls.tasks.outside(cls.network.enter("operator"), *command, env=ADMIN | dict(more))
        assert ran.returncode == 0, f"{command}: {ran.stderr}\n{ran.stdout}"
        return ran.stdout

    @classmethod
    def start_tasks(cls):
        cls.start_pair("identity")
        cls.eventually(lambda: cls.operator(BINARY, "workload", "list"))
        cls.operator(str(ROOT / "deploy/bootstrap"), "--workload", "my-agent", "--return-url",
                     "https://account.example.com/oauth2/session-binding", "--agent-env", str(cls.work / "agent.env"),
                     "--binding-env", str(cls.work / "binding.env"), "--", BINARY)
        for role in ["agent", "binding"]:
            pairs = dict(line.split("=", 1) for line in (cls.work / f"{role}.env").read_text().split())
            cls.secrets[f"countersign/{role}-id"] = pairs["ACCESS_KEY_ID"]
            cls.secrets[f"countersign/{role}-secret-key"] = pairs["SECRET_ACCESS_KEY"]
        created = json.loads(cls.operator(BINARY, "provider", "create", "github", "--vendor", "github", "--client-id",
                                          "simulated-client", "--client-secret", "env:SECRET", "--output", "json",
                                          more={"SECRET": "simulated-secret"}))
        cls.around.start("simulator", [*cls.network.enter("github"), BINARY, "simulate", "github", "--redirect-uri",
                                       created["callbackUrl"]], ready="ready")
        for role in ["gateway", "binding", "agent"]:
            cls.start_pair(role)

    @staticmethod
    def eventually(attempt, seconds=30):
        until = time.monotonic() + seconds
        while True:
            try:
                return attempt()
            except AssertionError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.3)

    def person(self, user, *rest, wait=True):
        command = [sys.executable, str(Path(__file__).parent / "ecs_person.py"), "https://app.example.com",
                   str(self.work / "authorities.pem"), str(self.work / f"{user}.cookies"), user, *rest]
        ran = self.tasks.outside(self.network.enter("browser"), *command)
        self.assertEqual(ran.returncode, 0, f"{ran.stderr}\n{ran.stdout}\n{self.said()}")
        return json.loads(ran.stdout)

    def said(self):
        """What the tasks have to say for themselves."""
        return "\n".join(f"{name}: {errors(self.tasks.log(name))}" for name in self.tasks.running)

    def reaches(self, source, address, port):
        """Whether a connection comes about."""
        program = f"import socket; socket.create_connection(('{address}', {port}), 2)"
        return subprocess.run([*self.network.enter(source), sys.executable, "-c", program], capture_output=True).returncode == 0

    def check(self, *arguments):
        ran = self.tasks.outside(self.network.enter("browser"), BINARY, "deploy", "check", *arguments)
        return ran.returncode, ran.stdout + ran.stderr

    # -- it works

    def test_0_the_first_gateways_know_who_is_stopped(self):
        """Nobody else serves the keys by which the identity service knows them."""
        for number in [1, 2]:
            self.assertNotIn("the stop list cannot be read yet", self.tasks.log(f"gateway{number}"))

    def test_1_the_whole_flow_passes(self):
        first = self.person("alice", "who am I on GitHub?")
        self.assertEqual(first["events"], ["consent", "connected"], first)
        self.assertIn("On GitHub you are alice", first["answer"])
        for host in ["login.example.net", "github.com", "account.example.com"]:
            self.assertTrue(any(host in page for page in first["seen"]), first["seen"])
        second = self.person("alice", "who am I on GitHub?")
        self.assertEqual(second["events"], [], second)
        self.assertIn("On GitHub you are alice", second["answer"])
        bucket = f"countersign-conversations-{stacks.ACCOUNT}-{stacks.REGION}"
        kept = self.client["s3"].list_objects_v2(Bucket=bucket).get("Contents", [])
        self.assertGreaterEqual(len(kept), 2, "conversations are in the bucket")
        for entry in kept:
            self.assertNotIn(b"GitHub", self.client["s3"].get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())

    def test_2_both_trails_are_anchored_outside_the_database(self):
        s3, kept = self.client["s3"], self.work / "anchors"

        def anchored():
            keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=ANCHORS).get("Contents", [])]
            self.assertEqual({key.split("/")[0] for key in keys}, {"identity", "gateway"})
            return keys
        for key in self.eventually(anchored):
            (kept / key).parent.mkdir(parents=True, exist_ok=True)
            (kept / key).write_bytes(s3.get_object(Bucket=ANCHORS, Key=key)["Body"].read())
        self.assertIn("anchored to checkpoint", self.operator(BINARY, "audit", "verify", "--against", str(kept / "identity")))
        # Those of another trail are no evidence for this one.
        with self.assertRaises(AssertionError):
            self.operator(BINARY, "audit", "verify", "--against", str(kept / "gateway"))

    def test_2_the_smoke_list_finds_nothing(self):
        outputs = self.work / "outputs.json"
        described = self.client["cloudformation"].describe_stacks(StackName="countersign")["Stacks"]
        outputs.write_text(json.dumps({"Stacks": [{"Outputs": described[0]["Outputs"]}]}))
        tasks = [f"--task={addresses[0]}:{port}" for role, port in [("gateway", 8400), ("agent", 8405), ("binding", 8406),
                                                                  ("identity", 8401)] for addresses in [PAIRS[role]]]
        status, said = self.check("--outputs", str(outputs), *tasks)
        self.assertEqual(status, 0, said)
        self.assertNotIn("WRONG", said)

    def test_3_nobody_reaches_what_is_not_theirs(self):
        ports = {"gateway": [8400, 8407, 8402, 8409], "agent": [8405, 8409], "binding": [8406, 8409],
                 "identity": [8401, 8408, 8409]}
        allowed = {("gateway1", "agent", 8405), ("gateway1", "binding", 8406), ("gateway1", "identity", 8408),
                   ("public", "gateway", 8400), ("public", "gateway", 8407), ("public", "gateway", 8409),
                   ("internal", "gateway", 8402), ("internal", "gateway", 8409), ("internal", "identity", 8401),
                   ("internal", "identity", 8409)}
        found = set()
        from concurrent.futures import ThreadPoolExecutor
        asked = [(source, role, port) for source in ["gateway1", "agent1", "binding1", "identity1", "public", "internal", "browser",
                                                     "operator", "login"]
                 for role, wanted in ports.items() if not source.startswith(role) for port in wanted]
        with ThreadPoolExecutor(16) as pool:
            answers = pool.map(lambda a: self.reaches(a[0], PAIRS[a[1]][1], a[2]), asked)
            found = {a for a, reached in zip(asked, answers) if reached}
        self.assertEqual(found, allowed)
        self.assertFalse(self.reaches("agent1", DATABASE, 5432))
        self.assertFalse(self.reaches("binding1", DATABASE, 5432))
        self.assertFalse(self.reaches("gateway1", INTERNAL, 443), "the gateway has no business with the identity API")
        self.assertTrue(self.reaches("identity1", DATABASE, 5432))
        self.assertTrue(self.reaches("operator", INTERNAL, 443))

    def test_4_any_replica_may_die(self):
        self.person("bob", "help")
        for role in ["agent", "gateway"]:
            with self.subTest(role):
                watching = self.watch(15)
                time.sleep(3)
                self.tasks.kill(f"{role}1")
                answered = self.watched(watching)
                self.assertEqual(answered["lost"], [], f"{role}: {answered}")
                self.assertGreater(answered["asked"], 20)
                self.start(role, 1)
                self.wait_ready(role, 1)
        # Those that carry a consent: one of each pair is away for a whole one.
        for role, user in [("identity", "carol"), ("binding", "dora")]:
            with self.subTest(role):
                self.tasks.kill(f"{role}1")
                answered = self.person(user, "help")
                self.assertIn("offline model", answered["answer"], answered)
                self.start(role, 1)
                self.wait_ready(role, 1)

    def watch(self, seconds):
        command = [sys.executable, str(Path(__file__).parent / "ecs_person.py"), "https://app.example.com",
                   str(self.work / "authorities.pem"), str(self.work / "bob.cookies"), "bob", "--watch", str(seconds)]
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor(1)
        return pool.submit(self.tasks.outside, self.network.enter("browser"), *command)

    def watched(self, watching):
        ran = watching.result()
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return json.loads(ran.stdout)

    def test_5_a_task_that_is_stopped_drains(self):
        for role in ROLES:
            self.assertEqual(self.tasks.stop(f"{role}2"), 0, self.tasks.log(f"{role}2"))
            self.start(role, 2)
        for role in ROLES:
            self.wait_ready(role, 2)

    def test_6_tasks_have_no_rights(self):
        for name, process in self.tasks.running.items():
            status = Path(f"/proc/{process.pid}/status").read_text()
            self.assertRegex(status, r"Uid:\s+65532\s+65532\s+65532\s+65532", name)
            self.assertRegex(status, r"CapEff:\s+0000000000000000", name)
            mounts = Path(f"/proc/{process.pid}/mounts").read_text()
            root = [line for line in mounts.splitlines() if line.split()[1] == "/"][-1]
            self.assertIn("ro", root.split()[3].split(","), name)

    # -- what goes wrong, and what an operator reads

    def test_7_a_callback_that_the_login_provider_does_not_know(self):
        self.login.terminate()
        self.login.wait()
        self.login_provider("https://account.example.com/callback")
        status, said = self.check("--app-url", "https://app.example.com", "--account-url", "https://account.example.com")
        self.login.terminate()
        self.login.wait()
        self.login_provider(CALLBACK)
        self.assertEqual(status, 1, said)
        self.assertIn("the login provider refuses the request", said)
        self.assertIn(CALLBACK, said)

    def test_7_a_wrong_zone_or_prefix(self):
        status, said = self.check("--app-url", "https://app.exmaple.com", "--account-url", "https://account.example.com")
        self.assertEqual(status, 1)
        self.assertIn("app.exmaple.com has no address", said)
        status, said = self.check("--app-url", "https://app.example.org", "--account-url", "https://account.example.com")
        self.assertEqual(status, 1)
        self.assertIn("the certificate is not for app.example.org", said)

    def test_8_no_way_to_the_login_provider(self):
        self.network.refuse(PAIRS["gateway"], LOGIN, 443)
        try:
            # New tasks, which have not spoken with it yet.
            for number in [1, 2]:
                self.tasks.stop(f"gateway{number}")
            for number in [1, 2]:
                self.start("gateway", number)
            self.eventually(lambda: self.assertTrue(self.reaches("public", PAIRS["gateway"][0], 8400)))
            time.sleep(2)
            status, said = self.check("--app-url", "https://app.example.com", "--account-url", "https://account.example.com")
        finally:
            self.network.allow_again()
        self.assertEqual(status, 1, said)
        self.assertRegex(said, "reach the provider on 443")
        self.assertIn("login.example.net", errors(self.tasks.log("gateway1") + self.tasks.log("gateway2")))
        self.wait_ready("gateway", 1, 2)

    def test_9_a_key_that_may_not_be_used(self):
        kms = boto3.client("kms", stacks.REGION)
        arn = re.search(r'key_arn = "(.*)"', self.parameters["/countersign/countersign/identity"]).group(1)
        before = kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"]
        denied = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": ["kms:DescribeKey", "kms:Decrypt", "kms:Encrypt"],
             "Resource": "*"}]}
        kms.put_key_policy(KeyId=arn, PolicyName="default", Policy=json.dumps(denied))
        self.tasks.stop("identity2")
        try:
            self.start("identity", 2, "denied")
            self.assertEqual(self.tasks.ended("denied"), 1)
        finally:
            self.start("identity", 2)
            from moto.kms.models import kms_backends
            kms_backends[stacks.ACCOUNT][stacks.REGION].keys[arn.split("/")[-1]].policy = before
        said = errors(self.tasks.log("denied"))
        self.assertIn(arn, said)
        self.assertIn("AccessDeniedException", said)
        self.assertIn("needs kms:DescribeKey, kms:Encrypt and kms:Decrypt", said)
        self.assertNotIn("SdkBody", said, "the whole answer is not for operators")

    def test_9_a_database_that_is_down(self):
        self.tasks.stop("identity2")
        # Fast shutdown: clients are sent away.
        os.kill(int((self.work / "postgres/data/postmaster.pid").read_text().split()[0]), signal.SIGINT)
        self.database.wait()
        try:
            self.start("identity", 2, "alone")
            self.assertEqual(self.tasks.ended("alone"), 1)
        finally:
            type(self).database = self.around.start("postgres-again", self.database_command, ready="ready to accept", cwd="/")
        said = errors(self.tasks.log("alone"))
        self.assertIn("database.example.internal:5432", said)
        self.assertNotIn(PASSWORDS["identity"], said)
        self.start("identity", 2)
        # Those that ran go on by themselves.
        self.eventually(lambda: self.operator(BINARY, "workload", "list"), 60)
        answered = self.person("alice", "who am I on GitHub?")
        self.assertIn("On GitHub you are alice", answered["answer"])


if __name__ == "__main__":
    why = ecs_network.possible() if os.getuid() == 0 else "not root"
    if why:
        print(f"deploy_namespaces: {why}")
        sys.exit(77)
    sys.exit(not unittest.main(exit=False).result.wasSuccessful())
