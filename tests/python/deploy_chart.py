"""The Helm chart, rendered by Helm's own library, its manifests held against Kubernetes' schemas, its configurations
against the binary (variable COUNTERSIGN), and its network policies against who may call whom."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import kubernetes_validate
import yaml
from helm_python import HelmError
from helm_python.chart import Chart, lint

CHART = Path(__file__).parents[2] / "deploy/helm/countersign"
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


def rendered(values=VALUES):
    texts = Chart.load(CHART).render(values, name="test", namespace="agents")
    manifests = [m for name, text in texts.items() if not name.endswith(".txt") for m in yaml.safe_load_all(text) if m]
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
            self.assertEqual(deployment["spec"]["replicas"], 2)
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
            ("image.digest", "latest", "digest"),
        ]:
            with self.subTest(path), self.assertRaises(HelmError) as refused:
                rendered(with_value(path, value))
            self.assertIn(said, str(refused.exception), path)

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
                       with_value("metricsFrom", ["10.0.0.0/16"])]:
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
