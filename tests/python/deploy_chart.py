"""The Helm chart, rendered by Helm's own library, its manifests held against Kubernetes' schemas, its configurations
against the binary (variable COUNTERSIGN), and its network policies against who may call whom."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

import kubernetes_validate
import yaml
from helm_python import HelmError
from helm_python.chart import Chart, lint

CHART = Path(__file__).parents[2] / "deploy/helm/countersign"
OPERATIONS = Path(__file__).parents[2] / "docs/operations.md"
VALUES = {
    "image": {"repository": "registry.example.com/countersign"},
    "appUrl": "https://app.example.com",
    "accountUrl": "https://account.example.com",
    "login": {"issuer": "https://login.example.com", "clientId": "countersign", "existingSecret": "login"},
    "identity": {"database": {"existingSecret": "identity-database"}, "tls": {"existingSecret": "identity-tls"},
                 "rootKey": {"existingSecret": "identity-root-key"}, "initialAdmin": {"existingSecret": "admin"},
                 "serviceAccountIssuer": "https://kubernetes.default.svc"},
    "gateway": {"database": {"existingSecret": "gateway-database"}, "tls": {"existingSecret": "gateway-tls"},
                "rootKey": {"existingSecret": "gateway-root-key"}},
    "binding": {"tls": {"existingSecret": "binding-tls"}, "credentials": {"existingSecret": "binding-key"}},
    "agent": {"tls": {"existingSecret": "agent-tls"}, "credentials": {"existingSecret": "agent-key"}},
}
ROLES = ["identity", "gateway", "binding", "agent"]


def with_value(path, value):
    changed = yaml.safe_load(yaml.safe_dump(VALUES))
    *parents, last = path.split(".")
    place = changed
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return changed


SHARED = {"bucket": "b", "region": "eu-west-1", "keyArn": "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"}


def texts(values=VALUES):
    return Chart.load(CHART).render(values, name="test", namespace="agents")


def rendered(values=VALUES):
    manifests = [m for name, text in texts(values).items() if not name.endswith(".txt") for m in yaml.safe_load_all(text) if m]
    return {(m["kind"], m["metadata"]["name"].removeprefix("test-countersign-")): m for m in manifests}


class ChartTest(unittest.TestCase):
    def test_lint(self):
        found = lint(CHART, VALUES, strict=True)
        self.assertFalse([m for m in found.get("messages", []) if "icon is recommended" not in str(m)], found)

    def test_every_manifest_is_of_its_schema(self):
        for (kind, name), manifest in rendered().items():
            with self.subTest(f"{kind}/{name}"):
                kubernetes_validate.validate(manifest, "1.31", strict=True)

    def test_pods_are_hardened(self):
        for role in ROLES:
            deployment = rendered()["Deployment", role]
            pod = deployment["spec"]["template"]["spec"]
            [container] = pod["containers"]
            # Conversations of an agent are in its own pod unless they are given a place.
            self.assertEqual(deployment["spec"]["replicas"], 1 if role == "agent" else 2)
            self.assertTrue(pod["securityContext"]["runAsNonRoot"])
            self.assertFalse(pod["automountServiceAccountToken"])
            security = container["securityContext"]
            self.assertTrue(security["readOnlyRootFilesystem"])
            self.assertFalse(security["allowPrivilegeEscalation"])
            self.assertEqual(security["capabilities"], {"drop": ["ALL"]})
            for probe in ["startupProbe", "readinessProbe", "livenessProbe"]:
                self.assertEqual(container[probe]["exec"]["command"][:2], ["/usr/bin/countersign", "health"])
            self.assertIn(("PodDisruptionBudget", role), rendered())

    def test_secrets_are_references_and_each_role_has_its_own(self):
        named = {}
        for role in ROLES:
            manifest = yaml.safe_dump(rendered()["Deployment", role]["spec"]["template"]["spec"])
            named[role] = {name for name in ["identity-database", "gateway-database", "identity-root-key",
                                             "gateway-root-key", "login", "admin", "agent-key", "binding-key"]
                           if f"name: {name}\n" in manifest or f"secretName: {name}\n" in manifest}
        self.assertEqual(named, {
            "identity": {"identity-database", "identity-root-key", "admin"},
            "gateway": {"gateway-database", "gateway-root-key", "login"},
            "binding": {"binding-key"},
            "agent": {"agent-key"},
        })

    def test_who_may_call_whom(self):
        calls = set()
        for (kind, name), policy in rendered().items():
            if kind != "NetworkPolicy":
                continue
            self.assertEqual(policy["spec"]["policyTypes"], ["Ingress", "Egress"])
            for rule in policy["spec"]["ingress"]:
                sources = [s["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
                           for s in rule.get("from", []) if "podSelector" in s] or ["anybody"]
                calls |= {(source, name, port["port"]) for source in sources for port in rule["ports"]}
        self.assertEqual(calls, {
            ("anybody", "gateway", 8400), ("anybody", "gateway", 8407),
            ("gateway", "agent", 8405), ("gateway", "binding", 8406), ("gateway", "identity", 8408),
            ("agent", "identity", 8401), ("binding", "identity", 8401),
            ("agent", "gateway", 8402), ("binding", "gateway", 8402), ("identity", "gateway", 8402),
        })

    def test_the_keys_are_there_before_the_gateway_is_ready(self):
        """It is ready once the identity service has answered it, which reads these keys first."""
        services = {name: m["spec"] for (kind, name), m in rendered().items() if kind == "Service"}
        early = {name for name, spec in services.items() if spec.get("publishNotReadyAddresses")}
        self.assertEqual(early, {"gateway"})
        self.assertEqual([p["port"] for p in services["gateway"]["ports"]], [8402])
        self.assertEqual({p["targetPort"] for name in ["app", "account"] for p in services[name]["ports"]}, {"app", "account"})

    def test_what_may_be_called_may_call_and_the_other_way_round(self):
        def side(direction, key):
            found = set()
            for (kind, name), policy in rendered().items():
                if kind == "NetworkPolicy":
                    for rule in policy["spec"][direction]:
                        for peer in rule.get(key, []):
                            if "podSelector" in peer:
                                other = peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
                                pair = (other, name) if direction == "ingress" else (name, other)
                                found |= {(*pair, port["port"]) for port in rule["ports"]}
            return found
        self.assertEqual(side("ingress", "from"), side("egress", "to"))

    def test_what_is_missing_or_contradicts_is_said(self):
        for path, value, said in [
            ("appUrl", "", "appUrl"),
            ("appUrl", "http://app.example.com", "appUrl"),
            ("appUrl", "https://account.example.com:444", "different hosts"),
            ("identity.database.existingSecret", "", "existingSecret"),
            ("gateway.rootKey", {}, "rootKey"),
            ("binding.credentials", {"existingSecret": ""}, "existingSecret"),
            ("identity.rootKey", {"kms": "alias/vault"}, "kms"),
            ("account", "1234", "account"),
            ("agent.replicas", 0, "replicas"),
            ("agent.replicas", 2, "agent.conversations.s3 or agent.conversations.existingClaim"),
            ("agent.conversations", {"s3": {"bucket": "b"}}, "region and keyArn"),
            ("image.digest", "latest", "digest"),
        ]:
            with self.subTest(path), self.assertRaises(HelmError) as refused:
                rendered(with_value(path, value))
            self.assertIn(said, str(refused.exception), path)

    def test_replicas_of_an_agent_share_its_conversations(self):
        values = with_value("agent.replicas", 3)
        for place in [{"existingClaim": "claim"}, {"s3": SHARED}]:
            values["agent"]["conversations"] = place
            self.assertEqual(rendered(values)["Deployment", "agent"]["spec"]["replicas"], 3)
        configuration = tomllib.loads(rendered(values)["ConfigMap", "agent"]["data"]["countersign.toml"])
        self.assertEqual(configuration["agent"]["conversations"], {"s3": {"bucket": "b", "region": "eu-west-1"}})
        self.assertEqual(configuration["keys"]["agent"], {"kms": {"key_arn": SHARED["keyArn"]}})

    def test_the_console_gets_groups(self):
        configuration = tomllib.loads(rendered()["ConfigMap", "gateway"]["data"]["countersign.toml"])
        given = {name: group.get("user_token_groups", False) for name, group in configuration["gateway"]["target_groups"].items()}
        self.assertEqual(given, {"identity": True, "binding": False, "agent": False})

    def test_a_root_key_in_a_secret_is_taken(self):
        """Made as the page says, and mounted as Kubernetes does with the mode and fsGroup of the chart: root's, 0440."""
        pod = rendered()["Deployment", "identity"]["spec"]["template"]["spec"]
        [volume] = [v for v in pod["volumes"] if v["name"] == "root-key"]
        user, group = pod["securityContext"]["runAsUser"], pod["securityContext"]["fsGroup"]
        [line] = re.findall(r"<(\(printf 'countersign-root-key-1 .*\))\n", (CHART / "README.md").read_text())
        [again] = re.findall(r"(printf 'countersign-root-key-1 .*) > identity.key\)\n", OPERATIONS.read_text())
        self.assertEqual(line, f"({again})")
        with tempfile.TemporaryDirectory() as directory:
            Path(directory).chmod(0o755)
            key, file = Path(directory, "identity.key"), Path(directory, "countersign.toml")
            key.write_bytes(subprocess.run(["bash", "-c", again], check=True, capture_output=True).stdout)
            file.write_text(f'[keys]\nidentity = "{key}"\n[identity]\naccount = "000000000000"\n'
                            'listen_api = "localhost:1"\napi_hosts = ["a"]\nlisten_front_channel = "localhost:2"\nfront_channel_url = "https://a"\n'
                            f'[identity.database]\nurl = "sqlite:{directory}/no.sqlite"\n')
            as_root = os.getuid() == 0
            key.chmod(volume["secret"]["defaultMode"] if as_root else 0o600)
            who = {"user": user, "group": group, "extra_groups": [group]} if as_root else {}
            if as_root:
                os.chown(key, 0, group)
            # The other user may not enter the directory that it was built in.
            binary = shutil.copy(os.environ["COUNTERSIGN"], directory)
            doctor = [binary, "doctor", "--config", file]
            ran = subprocess.run(doctor, capture_output=True, text=True, **who)
            self.assertIn("no backup of", ran.stdout + ran.stderr)
            self.assertNotRegex(ran.stdout + ran.stderr, "read by others|not a countersign key file|cannot")
            if as_root:
                key.chmod(0o444)
                ran = subprocess.run(doctor, capture_output=True, text=True, **who)
                self.assertIn("read by others", ran.stdout + ran.stderr)

    def test_the_notes_say_how_principals_are_made(self):
        """With every variable that the command line needs, and the Secrets that the pods wait for."""
        [notes] = [text for name, text in texts().items() if name.endswith("NOTES.txt")]
        for part in ["AWS_ACCESS_KEY_ID=$(of admin access-key-id)", "AWS_SECRET_ACCESS_KEY=$(of admin secret-access-key)",
                     "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE_CONTROL=https://test-countersign-identity.agents.svc:8401",
                     "create secret generic agent-key ", "create secret generic binding-key "]:
            self.assertIn(part, notes)
        commands = "\n".join(line for line in notes.splitlines() if line.startswith("  "))
        commands = commands[commands.index("  kubectl"):]
        subprocess.run(["bash", "-n"], input=commands, text=True, check=True)

    def test_without_an_agent(self):
        manifests = rendered(with_value("agent", {"enabled": False}))
        self.assertNotIn(("Deployment", "agent"), manifests)
        self.assertNotIn("8405", manifests["ConfigMap", "gateway"]["data"]["countersign.toml"])

    def test_a_changed_configuration_starts_new_pods(self):
        def mark(values):
            return rendered(values)["Deployment", "gateway"]["spec"]["template"]["metadata"]["annotations"]
        self.assertEqual(mark(VALUES), mark(VALUES))
        self.assertNotEqual(mark(VALUES), mark(with_value("login.clientId", "another")))

    def test_the_binary_takes_the_configurations(self):
        for values in [VALUES, with_value("gateway.proxyProtocolFrom", ["10.0.0.0/16"]),
                       with_value("metricsFrom", ["10.0.0.0/16"]), with_value("agent.conversations", {"s3": SHARED})]:
            for role in ROLES:
                check(self, role, rendered(values)["ConfigMap", role]["data"]["countersign.toml"])


def check(test, role, text):
    """`countersign config check` with certificates where the pod would have them."""
    with tempfile.TemporaryDirectory() as directory:
        key, certificate = Path(directory, "tls.key"), Path(directory, "tls.crt")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=test", "-addext", "subjectAltName=DNS:app.example.com", "-keyout", key,
                        "-out", certificate], check=True, capture_output=True)
        Path(directory, "ca.crt").write_bytes(certificate.read_bytes())
        file = Path(directory, "countersign.toml")
        file.write_text(text.replace("/etc/countersign/tls", directory))
        variables = {"DATABASE_URL": f"postgres://{role}:secret@db.example.com/countersign", "LOGIN_CLIENT_SECRET": "s",
                     "INITIAL_ADMIN_ACCESS_KEY_ID": "AKIAAAAAAAAAAAAAAAAA", "INITIAL_ADMIN_SECRET_ACCESS_KEY": "s" * 40,
                     "ACCESS_KEY_ID": "AKIAAAAAAAAAAAAAAAAA", "SECRET_ACCESS_KEY": "s" * 40}
        ran = subprocess.run([os.environ["COUNTERSIGN"], "config", "check", "--config", file], env=variables,
                             capture_output=True, text=True)
        test.assertEqual(ran.returncode, 0, f"{role}: {ran.stderr}\n{text}")


if __name__ == "__main__":
    sys.exit(not unittest.main(exit=False).result.wasSuccessful())
