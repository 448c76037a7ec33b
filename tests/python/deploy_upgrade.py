"""An installation that an earlier version made (tests/fixtures/installation-*.tar.gz), opened by this one; and one that a
newer version made, which this one leaves alone.

Usage: deploy_upgrade.py              the test; variable COUNTERSIGN is the binary
       deploy_upgrade.py make FILE    makes such an installation with that binary: once for each release
"""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
from pathlib import Path

import boto3
import requests

import consent

BINARY = os.environ["COUNTERSIGN"]
FIXTURES = sorted((Path(__file__).parents[1] / "fixtures").glob("installation-*.tar.gz"))
SIMULATOR = "http://127.0.0.1:8410"
RETURN_URL = "https://account.example.com/oauth2/session-binding"
ADMIN = ("AKIAINITIALADMIN0001", "initial-admin-secret-0123456789abcdef")
PERSON = "person-1"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Installation:
    """The identity service on a directory."""

    def __init__(self, directory, front=None):
        self.directory = Path(directory)
        self.api, self.front, self.operations = free_port(), front or free_port(), free_port()
        self.config = self.directory / "countersign.toml"
        self.config.write_text(f"""
[keys]
identity = "{self.directory}/identity.key"
[operations]
listen = "127.0.0.1:{self.operations}"
[identity]
account = "123456789012"
region = "eu-west-1"
listen_api = "127.0.0.1:{self.api}"
listen_front_channel = "127.0.0.1:{self.front}"
api_hosts = ["127.0.0.1:{self.api}"]
# What the callbacks of providers begin with stays when hosts or ports change.
front_channel_url = "http://127.0.0.1:18408"
front_channel_hosts = ["127.0.0.1:18408", "127.0.0.1:{self.front}"]
checkpoint_file = "{self.directory}/audit-checkpoints"
vendor_endpoints = {{ GithubOauth2 = "{SIMULATOR}" }}
[identity.initial_admin]
access_key_id = "{ADMIN[0]}"
secret_access_key = "{ADMIN[1]}"
[identity.database]
url = "sqlite:{self.directory}/identity.sqlite"
""")

    def run(self, *arguments):
        return subprocess.run([BINARY, *arguments, "--config", self.config], capture_output=True, text=True, timeout=120)

    def __enter__(self):
        self.log = open(self.directory / "log", "w")
        self.process = subprocess.Popen([BINARY, "serve", "identity", "--config", self.config], stdout=self.log, stderr=self.log)
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if requests.get(f"http://127.0.0.1:{self.operations}/readyz", timeout=5).status_code == 200:
                    return self
            except requests.RequestException:
                time.sleep(0.1)
        raise AssertionError((self.directory / "log").read_text())

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(40) == 0, (self.directory / "log").read_text()
        self.log.close()

    def client(self, service):
        return boto3.client(service, "eu-west-1", endpoint_url=f"http://127.0.0.1:{self.api}", aws_access_key_id=ADMIN[0],
                            aws_secret_access_key=ADMIN[1])

    def token(self, **more):
        data = self.client("bedrock-agentcore")
        wat = data.get_workload_access_token_for_user_id(workloadName="my-agent", userId=PERSON)["workloadAccessToken"]
        return data.get_resource_oauth2_token(
            workloadIdentityToken=wat, resourceCredentialProviderName="github", scopes=["read:user"],
            oauth2Flow="USER_FEDERATION", resourceOauth2ReturnUrl=RETURN_URL, **more)


def make(file):
    with tempfile.TemporaryDirectory() as directory:
        with Installation(directory, 18408) as made:
            control = made.client("bedrock-agentcore-control")
            control.create_workload_identity(name="my-agent", allowedResourceOauth2ReturnUrls=[RETURN_URL])
            callback = control.create_oauth2_credential_provider(
                name="github", credentialProviderVendor="GithubOauth2", oauth2ProviderConfigInput={
                    "githubOauth2ProviderConfig": {"clientId": "simulated-client", "clientSecret": "simulated-secret"}},
            )["callbackUrl"]
            control.create_api_key_credential_provider(name="weather", apiKey="sk-upgrade")
            simulator = subprocess.Popen([BINARY, "simulate", "github", "--redirect-uri", callback], stdout=subprocess.PIPE)
            simulator.stdout.readline()
            try:
                handle, _ = consent.consent(made.token()["authorizationUrl"], RETURN_URL)
                made.client("bedrock-agentcore").complete_resource_token_auth(
                    sessionUri=handle, userIdentifier={"userId": PERSON})
                token = made.token()["accessToken"]
            finally:
                simulator.terminate()
                simulator.wait()
        (made.directory / "token").write_text(token)
        with tarfile.open(file, "w:gz") as archive:
            for name in ["identity.sqlite", "identity.key", "audit-checkpoints", "token"]:
                archive.add(made.directory / name, name)


class Upgrade(unittest.TestCase):
    def installation(self, fixture):
        directory = Path(tempfile.mkdtemp(prefix="countersign-upgrade-"))
        self.addCleanup(shutil.rmtree, directory)
        with tarfile.open(fixture) as archive:
            archive.extractall(directory, filter="data")
        return Installation(directory)

    def test_what_an_earlier_version_made_is_opened(self):
        self.assertTrue(FIXTURES)
        for fixture in FIXTURES:
            with self.subTest(fixture.name):
                installation = self.installation(fixture)
                with installation as running:
                    self.assertEqual(running.token()["accessToken"], (running.directory / "token").read_text(),
                                     "the grant, without asking the person again")
                    control = running.client("bedrock-agentcore-control")
                    provider = control.get_oauth2_credential_provider(name="github")
                    self.assertIn("/identities/oauth2/callback/", provider["callbackUrl"])
                    data = running.client("bedrock-agentcore")
                    wat = data.get_workload_access_token(workloadName="my-agent")["workloadAccessToken"]
                    key = data.get_resource_api_key(workloadIdentityToken=wat, resourceCredentialProviderName="weather")
                    self.assertEqual(key["apiKey"], "sk-upgrade")
                doctor = installation.run("doctor", "--deep")
                self.assertNotIn("sealed value", doctor.stdout + doctor.stderr)
                verified = installation.run("audit", "verify")
                self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_what_a_newer_version_made_is_left_alone(self):
        """As after a downgrade: the database has steps that this binary does not know."""
        installation = self.installation(FIXTURES[-1])
        with installation:
            pass
        database = installation.directory / "identity.sqlite"
        with sqlite3.connect(database) as connection:
            [known] = connection.execute("SELECT max(version) FROM migration WHERE owner = 'identity'").fetchone()
            connection.execute("INSERT INTO migration VALUES ('identity', ?, 'of a newer version', 'x', 0)", [known + 1])
        before = dump(database)
        refused = installation.run("serve", "identity")
        self.assertEqual(refused.returncode, 1, refused.stderr)
        self.assertIn(f"the schema of identity is at version {known + 1}, this binary knows {known}", refused.stderr)
        self.assertIn("use the newer binary, or restore a backup", refused.stderr)
        self.assertEqual(dump(database), before, "nothing is written")


def dump(database):
    """Everything in it but who had the lease of migrations last."""
    with sqlite3.connect(database) as connection:
        return [line for line in connection.iterdump() if 'INSERT INTO "lease"' not in line]


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        make(sys.argv[2])
    else:
        sys.exit(not unittest.main(exit=False).result.wasSuccessful())
