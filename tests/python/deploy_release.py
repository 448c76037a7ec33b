"""A release as deploy/release/build makes it, with a binary that is built already (variable COUNTERSIGN), read by parts that
other people made: the bill of materials by CycloneDX's own schema, the provenance by securesystemslib, signatures by
openssl. And Compose and Containerfile, by their own checkers."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from compose_spec import PyCompose
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

ROOT = Path(__file__).parents[2]
BINARY = os.environ["COUNTERSIGN"]
# The image has a test of its own, and takes the longest.
WITHOUT = "image" if shutil.which("cargo-deb") else "image,deb"


def release(directory, key):
    ran = subprocess.run([ROOT / "deploy/release/build", "--key", key, "--builder", "https://builder.example.com", "--binary",
                          BINARY, "--output", directory, "--without", WITHOUT], capture_output=True, text=True,
                         env=os.environ | {"COUNTERSIGN_DEB_OPTIONS": "--fast"})
    assert ran.returncode == 0, ran.stderr
    return {path.name: path for path in Path(directory).iterdir()}


class Release(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = Path(tempfile.mkdtemp(prefix="countersign-release-"))
        cls.addClassCleanup(shutil.rmtree, cls.work)
        cls.key = cls.work / "key.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", cls.key], check=True, capture_output=True)
        # What `deploy/compose/prepare` makes in a clone; git does not show it.
        secrets = ROOT / "deploy/compose/secrets"
        if not secrets.exists():
            secrets.mkdir()
            cls.addClassCleanup(shutil.rmtree, secrets)
            (secrets / "canary.key").write_text("secret")
        cls.made = release(cls.work / "one", cls.key)

    def named(self, part):
        [path] = [path for name, path in self.made.items() if part in name]
        return path

    def test_nothing_is_packed_that_is_not_in_the_repository(self):
        listed = subprocess.run(["tar", "-tzf", self.named("countersign-deploy-")], check=True, capture_output=True, text=True)
        kept = subprocess.run(["git", "ls-files", "deploy"], cwd=ROOT, check=True, capture_output=True, text=True)
        self.assertIn("deploy/compose/compose.yaml", listed.stdout.split())
        self.assertLessEqual(set(listed.stdout.split()), set(kept.stdout.split()))

    def test_a_directory_that_holds_something_is_not_emptied(self):
        taken = self.work / "taken"
        taken.mkdir()
        (taken / "mine").write_text("mine")
        with self.assertRaisesRegex(AssertionError, "is not empty"):
            release(taken, self.key)
        self.assertTrue((taken / "mine").exists())

    def test_the_same_sources_give_the_same_files(self):
        again = release(self.work / "two", self.key)
        self.assertEqual({n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in self.made.items()},
                         {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in again.items()})

    def test_sums_and_signature_are_those_that_it_says(self):
        here = self.work / "one"
        verify = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "release-key.pub", "-in", "SHA256SUMS",
                  "-sigfile", "SHA256SUMS.sig"]
        subprocess.run(verify, cwd=here, check=True, capture_output=True)
        subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=here, check=True)
        listed = {line.split()[1] for line in (here / "SHA256SUMS").read_text().splitlines()}
        about = {"SHA256SUMS", "SHA256SUMS.sig", "release-key.pub", self.named("intoto").name}
        self.assertEqual(listed | about, set(self.made))
        sums = (here / "SHA256SUMS").read_text()
        forged = self.work / "forged"
        forged.write_text(sums.replace(sums[0], "0" if sums[0] != "0" else "1", 1))
        verify[verify.index("SHA256SUMS")] = str(forged)
        self.assertNotEqual(subprocess.run(verify, cwd=here, capture_output=True).returncode, 0)

    def test_the_bill_of_materials_is_whole(self):
        text = self.named("cdx.json").read_text()
        self.assertIsNone(JsonStrictValidator(SchemaVersion.V1_6).validate_str(text))
        bill = json.loads(text)
        found = {c["purl"] for c in bill["components"]}
        locked = {f"pkg:cargo/{p['name']}@{p['version']}" for p in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
        self.assertLessEqual({p for p in found if p.startswith("pkg:cargo/")}, locked)
        names = {c["name"] for c in bill["components"]}
        self.assertLessEqual({"aws-lc-sys", "rustls", "sqlx-core", "tokio", "aws-sdk-kms", "libc6"}, names)
        # What only tests and development use is not in it.
        self.assertFalse({"countersign-playground", "wiremock", "proptest", "thirtyfour"} & names)
        for component in bill["components"]:
            if component["purl"].startswith("pkg:cargo/") and not component["name"].startswith("countersign"):
                self.assertTrue(component["licenses"] and component["hashes"], component["name"])
        known = {c["bom-ref"] for c in bill["components"]} | {"countersign"}
        for dependency in bill["dependencies"]:
            self.assertLessEqual({dependency["ref"], *dependency["dependsOn"]}, known)

    def test_the_provenance_is_about_these_files_and_signed(self):
        envelope = json.loads(self.named("intoto").read_text())
        public = (self.work / "one/release-key.pub").read_text()
        key = SSlibKey(envelope["signatures"][0]["keyid"], "ed25519", "ed25519", {"public": raw(public)})
        Envelope.from_dict(envelope).verify([key], 1)
        changed = envelope | {"payloadType": "application/json"}
        with self.assertRaises(Exception):
            Envelope.from_dict(changed).verify([key], 1)
        import base64
        statement = json.loads(base64.b64decode(envelope["payload"]))
        self.assertEqual(statement["_type"], "https://in-toto.io/Statement/v1")
        self.assertEqual(statement["predicateType"], "https://slsa.dev/provenance/v1")
        for subject in statement["subject"]:
            file = self.work / "one" / subject["name"]
            self.assertEqual(hashlib.sha256(file.read_bytes()).hexdigest(), subject["digest"]["sha256"])
        definition = statement["predicate"]["buildDefinition"]
        revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
        self.assertEqual(definition["externalParameters"]["revision"], revision)

    def test_a_key_of_another_kind_is_refused(self):
        other = self.work / "other.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", other], check=True, capture_output=True)
        ran = subprocess.run([ROOT / "deploy/release/build", "--key", other, "--builder", "x", "--binary", BINARY],
                             capture_output=True, text=True)
        self.assertEqual(ran.returncode, 1)
        self.assertIn("not an Ed25519 private key", ran.stderr)


def raw(pem):
    """An Ed25519 public key as hexadecimal text."""
    from cryptography.hazmat.primitives import serialization
    key = serialization.load_pem_public_key(pem.encode())
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()


class Elsewhere(unittest.TestCase):
    """What is not run here, for want of a daemon."""

    compose = ROOT / "deploy/compose/compose.yaml"

    def test_compose_is_what_the_specification_allows(self):
        # Merge keys and octal numbers are of YAML 1.1, as Compose reads them.
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", self.compose.read_text())
        text = re.sub(r"\$\{\w+:\?[^}]*\}", "1000", text)
        PyCompose.from_json(json.dumps(yaml.safe_load(text))).validate()

    def test_compose_gives_each_role_its_own_and_no_more(self):
        file = yaml.safe_load(self.compose.read_text())
        services = file["services"]
        networks = {name: set(service["networks"]) for name, service in services.items()}
        self.assertFalse(networks["agent"] & networks["binding"])
        self.assertFalse(networks["agent"] & networks["database"])
        self.assertFalse(networks["binding"] & networks["database"])
        for asking, asked in [("gateway", "agent"), ("gateway", "binding"), ("gateway", "identity"), ("agent", "identity"),
                              ("binding", "identity"), ("identity", "database"), ("gateway", "database")]:
            self.assertTrue(networks[asking] & networks[asked] - {"outside"}, f"{asking} asks {asked}")
        for name, service in services.items():
            if name != "database":
                self.assertTrue(service["read_only"] and service["cap_drop"] == ["ALL"], name)
                self.assertEqual(service["user"], "65532:65532")
        for kind in ["secrets", "configs", "networks", "volumes"]:
            used = set()
            for service in services.values():
                for entry in service.get(kind, []):
                    source = entry["source"] if isinstance(entry, dict) else entry.split(":")[0]
                    if not source.startswith("."):
                        used.add(source)
            self.assertLessEqual(used, set(file[kind]), kind)

    def prepared(self):
        """deploy/compose after `prepare`, as files that everybody comes to: mounts do not ask for the directory above."""
        directory = Path(tempfile.mkdtemp(prefix="countersign-compose-"))
        self.addCleanup(shutil.rmtree, directory)
        directory.chmod(0o755)
        copy = directory / "compose"
        shutil.copytree(ROOT / "deploy/compose", copy, ignore=shutil.ignore_patterns("secrets", ".env"))
        subprocess.run([copy / "prepare", "https://login.example.com", "client", "secret"], check=True, capture_output=True)
        again = subprocess.run([copy / "prepare", "a", "b", "c"], capture_output=True, text=True)
        self.assertEqual(again.returncode, 1)
        self.assertIn("cannot be made again", again.stderr)
        self.assertEqual((copy / "secrets").stat().st_mode & 0o777, 0o700)
        (copy / "secrets").chmod(0o755)
        return copy

    def test_prepared_files_are_for_the_containers_alone(self):
        """They are mounted with the modes that they have: uid and mode in compose.yaml are ignored by Docker."""
        copy = self.prepared()
        group = int((copy / ".env").read_text().split("=")[1])
        file = yaml.safe_load(self.compose.read_text())
        for name, service in file["services"].items():
            for secret in service["secrets"]:
                self.assertIsInstance(secret, str, "what Docker ignores is not written")
                status = (copy / file["secrets"][secret]["file"]).stat()
                private = secret.endswith(("-key", "-password"))
                self.assertEqual(status.st_mode & 0o777, 0o440 if private else 0o444, secret)
                self.assertEqual(status.st_gid, group)
            if name != "database":
                self.assertEqual(service["group_add"], ["${COUNTERSIGN_GROUP:?run prepare first}"], name)
        for path in (copy / "secrets").iterdir():
            if path.suffix == ".env" or path.name.startswith("ca."):
                self.assertEqual(path.stat().st_mode & 0o777, 0o600, path.name)

    def test_prepared_configurations_are_taken_by_the_binary(self):
        copy = self.prepared()
        # As the containers' user where that is possible here, in the group that .env names and in no other.
        group = 4321
        who = {"user": 65532, "group": 65532, "extra_groups": [group]} if os.getuid() == 0 else {}
        if who:
            for path in (copy / "secrets").iterdir():
                os.chown(path, -1, group)
        # Others may not enter the directory that it was built in.
        binary = shutil.copy(BINARY, copy / "countersign")
        keys = {"ACCESS_KEY_ID": "AKIAAAAAAAAAAAAAAAAA", "SECRET_ACCESS_KEY": "s" * 40}
        for role in ["identity", "gateway", "binding", "agent"]:
            variables = dict(line.split("=", 1) for line in (copy / f"secrets/{role}.env").read_text().split())
            text = (copy / f"{role}.toml").read_text()
            for name, file in [("certificate", "pem"), ("key", "key")]:
                text = text.replace(f"/run/secrets/{role}-{name}", str(copy / f"secrets/{role}.{file}"))
            text = text.replace("/run/secrets/authority", str(copy / "secrets/authority.pem"))
            (copy / f"{role}.toml").write_text(text)
            check = {"args": [binary, "config", "check", "--config", copy / f"{role}.toml"], "env": keys | variables,
                     "capture_output": True, "text": True}
            ran = subprocess.run(**check, **who)
            self.assertEqual(ran.returncode, 0, f"{role}: {ran.stderr}")
            if who:
                ran = subprocess.run(**check, **who | {"extra_groups": []})
                self.assertNotEqual(ran.returncode, 0, f"{role}: anybody reads its private key")

    def test_the_configurations_route_as_those_of_aws(self):
        """The console is behind a login, and gets the groups that its roles are made of."""
        gateway = tomllib.loads((ROOT / "deploy/compose/gateway.toml").read_text())["gateway"]
        self.assertTrue(gateway["target_groups"]["identity"]["user_token_groups"])
        rules = {path: [a["type"] for a in rule["actions"]] for rule in gateway["listeners"]["account"]["rules"]
                 for path in rule["conditions"]["path_pattern"]}
        for path in ["/console", "/console/*", "/connections", "/connections/*"]:
            self.assertEqual(rules[path], ["authenticate-oidc", "forward"], path)
        self.assertEqual(rules["/identities/*"], ["fixed-response"])

    def test_the_containerfile_has_no_finding(self):
        hadolint = Path(sys.executable).parent / "hadolint"
        subprocess.run([hadolint, "--no-color", ROOT / "deploy/image/Containerfile"], check=True)

    def test_the_schema_of_the_configuration_is_a_schema_and_takes_the_default(self):
        import jsonschema
        schema = json.loads(subprocess.run([BINARY, "config", "schema"], check=True, capture_output=True).stdout)
        jsonschema.Draft202012Validator.check_schema(schema)
        default = subprocess.run([BINARY, "config", "default"], check=True, capture_output=True, text=True).stdout
        jsonschema.validate(tomllib.loads(default), schema)
        with self.assertRaises(jsonschema.ValidationError):
            jsonschema.validate({"identity": {"account": 1}}, schema)


if __name__ == "__main__":
    sys.exit(not unittest.main(exit=False).result.wasSuccessful())
