"""The forms of deploy/aws, created by moto with every nested piece, inspected and deleted. The configurations that they
give to tasks are held against the binary (variable COUNTERSIGN)."""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

from moto import mock_aws

import stacks
from deploy_roles import ASK, COMPLETE, listed, may, statements
from stacks import DEPLOY, SECRET, Bucket, Listener, ListenerRule, SecurityGroup, Service


def certificate():
    with tempfile.TemporaryDirectory() as directory:
        key = Path(directory, "key")
        made = subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=t",
             "-addext", "subjectAltName=DNS:app.example.com,DNS:account.example.com", "-keyout", key],
            check=True, capture_output=True, text=True)
        return made.stdout, key.read_text()


def form_of(name):
    """A form's template, parsed; intrinsic functions as (name, value)."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass
    Loader.add_multi_constructor("!", lambda l, s, n: (s, l.construct_scalar(n) if isinstance(n, yaml.ScalarNode) else
                                 l.construct_sequence(n, deep=True) if isinstance(n, yaml.SequenceNode)
                                 else l.construct_mapping(n, deep=True)))
    return yaml.load((DEPLOY / f"{name}.yaml").read_text(), Loader)


PROFILE = f"arn:aws:bedrock:{stacks.REGION}:{stacks.ACCOUNT}:inference-profile/eu.anthropic.claude-haiku-4-5"


class Form(unittest.TestCase):
    """One form, created once for all of its tests."""

    form = None
    more = {}
    # (parameter, a good value, a bad one)
    patterns = [("ZoneName", "example.com", "example.com."), ("AppPrefix", "app", "app.example.com"),
                ("OidcIssuer", "https://login.example.com", "login.example.com"),
                ("OidcClientSecretArn", SECRET, "my-secret"), ("Name", "countersign", "Countersign"),
                ("InferenceProfileArn", PROFILE, "arn:aws:bedrock:eu-west-1::foundation-model/m"),
                ("ModelApiKeySecretArn", SECRET, "my-secret"), ("FoundationModelId", "anthropic.claude-haiku-4-5", "*"),
                ("TemplateBase", "https://b.s3.eu-west-1.amazonaws.com/x", "https://b/x/")]
    # What their assertions say.
    assertions = ["must differ", "need an Image", "needs InferenceProfileArn (bedrock:) or ModelApiKeySecretArn",
                  "InferenceProfileArn and FoundationModelId go together"]

    @classmethod
    def setUpClass(cls):
        if cls.form is None:
            raise unittest.SkipTest("the forms are below")
        cls.aws = mock_aws()
        cls.aws.start()
        cls.addClassCleanup(cls.aws.stop)
        cls.client, cls.parameters = stacks.create(cls.form, cls.more)
        cls.stacks = {s["StackName"]: s for s in cls.client["cloudformation"].describe_stacks()["Stacks"]}
        cls.outputs = {o["OutputKey"]: o["OutputValue"] for o in cls.stacks["countersign"]["Outputs"]}

    @classmethod
    def tearDownClass(cls):
        """Deleting leaves no service, load balancer or role behind."""
        cls.client["cloudformation"].delete_stack(StackName="countersign")
        for nested in cls.stacks:
            if nested != "countersign":
                cls.client["cloudformation"].delete_stack(StackName=nested)
        left = cls.client["cloudformation"].list_stacks(StackStatusFilter=["CREATE_COMPLETE"])["StackSummaries"]
        assert not left, left
        assert not cls.client["elbv2"].describe_load_balancers()["LoadBalancers"]
        assert not cls.client["iam"].list_roles()["Roles"]

    def test_every_role_has_a_service(self):
        self.assertEqual(set(stacks.tasks()), self.roles)
        self.assertEqual({s["ServiceName"] for s in Service.said}, {f"countersign-{r}" for r in self.roles})

    def test_what_expires_in_the_bucket_of_conversations_is_no_key(self):
        [bucket] = [b for b in Bucket.said if "-conversations-" in b["BucketName"]]
        rules = [r for r in bucket["LifecycleConfiguration"]["Rules"] if {"ExpirationInDays", "NoncurrentVersionExpiration"} & set(r)]

        def expires(key):
            return [r["Id"] for r in rules if key.startswith(r.get("Prefix", ""))]
        for digit in "0123456789abcdef":
            self.assertEqual(len(expires(digit * 64 + "/1.json")), 1)
        self.assertEqual(expires("keys/" + "0" * 64 + "/1.json"), [])

    def test_no_service_is_at_rest_with_more_tasks_than_under_load(self):
        self.assertEqual({int(s["MaxCapacity"]) for s in stacks.NotOfMoto.of("AWS::ApplicationAutoScaling::ScalableTarget")},
                         {30})

    def test_audit_trails_are_anchored_where_nobody_deletes(self):
        owners, name = self.roles & {"identity", "gateway"}, f"countersign-audit-anchors-{stacks.ACCOUNT}-{stacks.REGION}"
        made = [bucket for bucket in Bucket.said if bucket["BucketName"] == name]
        self.assertEqual(len(made), bool(owners))
        for bucket in made:
            self.assertTrue(bucket["ObjectLockEnabled"])
            retention = bucket["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
            self.assertEqual((retention["Mode"], int(retention["Days"])), ("GOVERNANCE", 400))
            self.assertEqual(self.outputs["AnchorBucket"], name)
        for role in owners:
            [anchor] = tomllib.loads(stacks.configuration(self.client["ssm"], role))[role]["evidence"]["anchors"]
            self.assertEqual(anchor["to"]["s3"], {"bucket": name, "prefix": f"{role}/", "region": stacks.REGION})

    def test_tasks_are_hardened_and_private(self):
        for name, task in stacks.tasks().items():
            [container] = task["ContainerDefinitions"]
            self.assertTrue(container["ReadonlyRootFilesystem"], name)
            self.assertEqual(container["User"], "65532:65532")
            self.assertEqual(container["LinuxParameters"]["Capabilities"], {"Drop": ["ALL"]})
            self.assertEqual(container["HealthCheck"]["Command"], ["CMD", "/usr/bin/countersign", "health"])
            self.assertEqual(task["NetworkMode"], "awsvpc")
            secrets = {s["Name"] for s in container["Secrets"]}
            self.assertFalse({e["Name"] for e in container["Environment"]} & secrets)
        for service in Service.said:
            network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
            self.assertEqual(network["AssignPublicIp"], "DISABLED", service["ServiceName"])
            self.assertTrue(service["DeploymentConfiguration"]["DeploymentCircuitBreaker"]["Rollback"])
            self.assertFalse(service["EnableExecuteCommand"], service["ServiceName"])

    def test_each_task_has_a_role_and_secrets_of_its_own(self):
        tasks = stacks.tasks()
        roles = [t["TaskRoleArn"] for t in tasks.values()]
        self.assertEqual(len(set(roles)), len(roles))
        given = {}
        for name, task in tasks.items():
            for secret in task["ContainerDefinitions"][0]["Secrets"]:
                given.setdefault(secret["ValueFrom"], set()).add(name)
        shared = {arn: names for arn, names in given.items() if len(names) > 1}
        self.assertEqual(shared, {})

    def test_a_secret_without_the_end_of_its_arn_does_not_look_whole(self):
        """A hyphen and six characters are taken for the end that Secrets Manager gives an ARN, and the secret is not found
        (AWS Secrets Manager API Reference, GetSecretValue, SecretId)."""
        partial = [s["ValueFrom"] for task in stacks.tasks().values() for s in task["ContainerDefinitions"][0]["Secrets"]
                   if ":secret:" in s["ValueFrom"] and s["ValueFrom"] != SECRET]
        for arn in partial:
            self.assertNotRegex(arn, "-[A-Za-z0-9]{6}$")

    def test_no_role_both_asks_and_completes_and_none_but_identity_opens_the_vault(self):
        """Every role of the form, its policies evaluated."""
        iam = self.client["iam"]
        for role in iam.list_roles()["Roles"]:
            said = statements(iam, role["RoleName"])
            asks = any(may(said, f"bedrock-agentcore:{action}") for action in ASK)
            completes = any(may(said, f"bedrock-agentcore:{action}") for action in COMPLETE)
            self.assertFalse(asks and completes, role["RoleName"])
            self.assertEqual(asks or completes, self.form == "agentcore-native" and any(
                text in role.get("Description", "") for text in ["The agent asks", "binding service completes"]), role)
            for statement in said:
                if may([statement], "kms:Decrypt"):
                    for key in listed(statement["Resource"]):
                        described = self.client["kms"].describe_key(KeyId=key)["KeyMetadata"]["Description"]
                        if "token vault" in described:
                            self.assertIn("Our identity service", role["Description"])
                self.assertFalse(may([statement], "secretsmanager:GetSecretValue") and "*" in listed(statement["Resource"]))

    def test_nobody_reaches_the_binding_service_or_the_database_but_who_must(self):
        ingress = stacks.ingress(self.client["ec2"])
        to = {t: {f for f, x, p in ingress if x == t} for _, t, _ in ingress}
        self.assertEqual(to["The session binding service"], {self.front})
        self.assertEqual(to["The agent"], {self.front})
        if "The database" in to:
            self.assertLessEqual(to["The database"], {"The identity service", "The gateway", "Operators"})
            self.assertNotIn("0.0.0.0/0", to["The identity service"])
        self.assertNotIn(("The agent", "The session binding service", 8406), ingress)

    def test_every_way_in_has_a_way_out_of_the_same_kind(self):
        """A rule of one side alone lets nothing through."""
        ec2 = self.client["ec2"]
        names = set(stacks.group_names(ec2).values())
        into = {rule for rule in stacks.ingress(ec2) if rule[0] in names}
        self.assertEqual(into, {rule for rule in stacks.egress(ec2) if rule[1] in names})

    def test_egress_of_a_group_is_not_left_open(self):
        """Without a rule of its own EC2 gives a new group one that allows everything."""
        for group in SecurityGroup.said:
            [rule] = group["SecurityGroupEgress"]
            self.assertEqual(rule["CidrIp"], "127.0.0.1/32", group)

    def test_the_binary_takes_the_configurations(self):
        chain, key = certificate()
        variables = {"DATABASE_URL": "postgres://x:y@db.example.com/countersign", "OIDC_CLIENT_SECRET": "s",
                     "INITIAL_ADMIN_ACCESS_KEY_ID": "AKIAAAAAAAAAAAAAAAAA", "INITIAL_ADMIN_SECRET_ACCESS_KEY": "s" * 40,
                     "ACCESS_KEY_ID": "AKIAAAAAAAAAAAAAAAAA", "SECRET_ACCESS_KEY": "s" * 40, "CERTIFICATE": chain,
                     "PRIVATE_KEY": key, "AUTHORITY": chain, "FORM_KEY": "f" * 40, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/1"}
        for role in self.roles:
            text = stacks.configuration(self.client["ssm"], role)
            self.assertLess(len(text), 8192)
            self.assertNotRegex(text, r"\$\{")
            # The storage of a task goes with it: nothing that matters may lie there.
            self.assertNotIn("/var/lib/", text)
            for reference in re.findall(r'"env:(\w+)"', text):
                container = stacks.tasks()[role]["ContainerDefinitions"][0]
                self.assertIn(reference, {s["Name"] for s in container["Secrets"]}, role)
            # moto makes ARNs of keys in its own account and never an id that is refused.
            ran = subprocess.run([os.environ["COUNTERSIGN"], "config", "check", "--config", "env:CONFIGURATION"],
                                 env=variables | {"CONFIGURATION": text}, capture_output=True, text=True)
            self.assertEqual(ran.returncode, 0, f"{role}: {ran.stderr}\n{text}")

    def test_an_unhealthy_target_is_told_of(self):
        """By the two dimensions that the metric has, in the namespace of the kind of load balancer."""
        elb = self.client["elbv2"]
        told = {}
        for alarm in stacks.NotOfMoto.of("AWS::CloudWatch::Alarm"):
            if alarm["MetricName"] == "UnHealthyHostCount":
                of = {d["Name"]: d["Value"] for d in alarm["Dimensions"]}
                self.assertEqual(alarm["AlarmActions"], [self.parameters["AlarmTopicArn"]])
                told[of.pop("TargetGroup")] = (of, alarm["Namespace"])
        # moto makes every load balancer an application one; those with listeners of TCP are not.
        network = {listener["LoadBalancerArn"].split("loadbalancer/")[1] for listener in Listener.tcp}
        groups = {g["TargetGroupArn"].split(":")[-1]: g for g in elb.describe_target_groups()["TargetGroups"]}
        self.assertEqual(set(told), set(groups))
        for group, (of, namespace) in told.items():
            self.assertEqual(list(of), ["LoadBalancer"])
            self.assertEqual(of["LoadBalancer"] in network, groups[group]["Protocol"] == "TCP")
            self.assertEqual(namespace, "AWS/NetworkELB" if of["LoadBalancer"] in network else "AWS/ApplicationELB")

    def test_hosts_lead_to_the_load_balancers(self):
        zone = self.parameters["HostedZoneId"]
        records = self.client["route53"].list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        aliases = {(r["Name"].rstrip("."), r["Type"]) for r in records if "AliasTarget" in r}
        for host in ["app.example.com", "account.example.com"]:
            self.assertLessEqual({(host, "A"), (host, "AAAA")}, aliases)

    def test_what_contradicts_has_an_assertion(self):
        form = form_of(self.form)
        said = [a["AssertDescription"] for r in form["Rules"].values() for a in r["Assertions"]]
        for part in self.assertions:
            self.assertTrue(any(part in s for s in said), f"{part}: {said}")
        for name, value, bad in self.patterns:
            parameter = form["Parameters"][name]
            pattern = re.compile(parameter["AllowedPattern"])
            self.assertTrue(pattern.fullmatch(value), name)
            self.assertFalse(pattern.fullmatch(bad), f"{name} {bad}")
            self.assertTrue(parameter["ConstraintDescription"], name)

    def test_every_parameter_is_explained(self):
        for name, parameter in form_of(self.form)["Parameters"].items():
            self.assertTrue(parameter.get("Description"), name)


class GatewayForm(Form):
    form = "gateway"
    more = {"IdentityTasks": "2"}
    assertions = [*Form.assertions, "need IdentityTasks"]
    roles = {"gateway", "identity", "binding", "agent"}
    front = "The gateway"

    def test_tls_passes_through_to_the_gateway(self):
        elb = self.client["elbv2"]
        public = {b["LoadBalancerArn"]: b["Type"] for b in elb.describe_load_balancers()["LoadBalancers"]
                  if b["Scheme"] == "internet-facing"}
        self.assertEqual(len(public), 2)
        self.assertEqual({str(listener["Port"]) for listener in Listener.tcp}, {"443"})
        for balancer in public:
            # It logs nothing of TCP, and asks a bucket for rights that this one does not give.
            attributes = elb.describe_load_balancer_attributes(LoadBalancerArn=balancer)["Attributes"]
            self.assertNotIn("true", [a["Value"] for a in attributes if a["Key"] == "access_logs.s3.enabled"])
        self.assertEqual({listener["LoadBalancerArn"] for listener in Listener.tcp}, set(public))
        groups = {g["Port"]: g for g in elb.describe_target_groups()["TargetGroups"]}
        self.assertEqual(set(groups), {8400, 8407, 8401, 8402})
        for port in [8400, 8407]:
            self.assertEqual((groups[port]["Protocol"], groups[port]["HealthCheckPort"]), ("TCP", "8409"))
        # The keys are there before the gateway is ready.
        self.assertEqual((groups[8402]["HealthCheckPort"], groups[8402]["HealthCheckPath"]), ("8409", "/healthz"))


class AlbForm(Form):
    """What both forms with an Application Load Balancer have."""

    more = {"OidcAuthorizationEndpoint": "https://login.example.net/auth",
            "OidcTokenEndpoint": "https://login.example.net/token", "OidcUserInfoEndpoint": "https://login.example.net/me"}
    front = "The load balancer that browsers reach"
    # Path to what ends there: (how people log in, target port); hosts by prefix. None: the default, 404.
    expected = {
        ("app", "/"): ("authenticate", 8405), ("app", "/assets/chat.js"): ("authenticate", 8405),
        ("app", "/invocations"): ("deny", 8405), ("app", "/conversations"): ("deny", 8405),
        ("app", "/conversations/1/events"): ("deny", 8405),
        ("account", "/oauth2/session-binding"): ("authenticate", 8406),
        ("account", "/oauth2/session-binding/start"): ("authenticate", 8406),
        ("account", "/"): None, ("account", "/invocations"): None,
        ("app", "/oauth2/session-binding"): None, ("app", "/identities/oauth2/authorize"): None,
        ("app", "/connections"): None, ("account", "/identities/stops"): None,
        ("account", "/identities/CompleteResourceTokenAuth"): None,
        **{(host, path): None for host in ["app", "account"] for path in ["/ping", "/healthz", "/readyz", "/metrics"]},
    }

    def setUp(self):
        elb = self.client["elbv2"]
        self.ports = {g["TargetGroupArn"]: g["Port"] for g in elb.describe_target_groups()["TargetGroups"]}
        [self.balancer] = [b for b in elb.describe_load_balancers()["LoadBalancers"] if b["Scheme"] == "internet-facing"]
        listeners = elb.describe_listeners(LoadBalancerArn=self.balancer["LoadBalancerArn"])["Listeners"]
        [self.https] = [listener for listener in listeners if listener["Port"] == 443]
        [self.http] = [listener for listener in listeners if listener["Port"] == 80]
        self.rules = [r for r in elb.describe_rules(ListenerArn=self.https["ListenerArn"])["Rules"] if not r["IsDefault"]]
        self.rules.sort(key=lambda rule: int(rule["Priority"]))

    def routed(self, host, path):
        """As a load balancer would: the first rule whose conditions all hold."""
        for rule in self.rules:
            conditions = {c["Field"]: c for c in rule["Conditions"]}
            hosts = conditions["host-header"]["HostHeaderConfig"]["Values"]
            paths = conditions["path-pattern"]["PathPatternConfig"]["Values"]
            if host in hosts and any(stacks.matches(pattern, path) for pattern in paths):
                login = [a["AuthenticateOidcConfig"]["OnUnauthenticatedRequest"] for a in rule["Actions"]
                         if a["Type"] == "authenticate-oidc"]
                [target] = [a["TargetGroupArn"] for a in rule["Actions"] if a["Type"] == "forward"]
                return login[0] if login else "open", self.ports[target]
        return None

    def test_each_path_ends_where_it_should(self):
        for (host, path), expected in self.expected.items():
            self.assertEqual(self.routed(f"{host}.example.com", path), expected, f"{host} {path}")
            self.assertIsNone(self.routed("other.example.com", path))
        [default] = self.https["DefaultActions"]
        self.assertEqual(default["FixedResponseConfig"]["StatusCode"], "404")
        self.assertEqual(self.http["DefaultActions"][0]["Type"], "redirect")

    def test_two_origins_have_two_sessions(self):
        cookies = {}
        for rule in self.rules:
            [host] = [c["HostHeaderConfig"]["Values"][0] for c in rule["Conditions"] if c["Field"] == "host-header"]
            for action in rule["Actions"]:
                if action["Type"] == "authenticate-oidc":
                    cookies.setdefault(host, set()).add(action["AuthenticateOidcConfig"]["SessionCookieName"])
        self.assertEqual(cookies, {"app.example.com": {"CountersignApp"}, "account.example.com": {"CountersignAccount"}})

    def test_rules_are_within_the_limits_of_a_load_balancer(self):
        """Five condition values a rule (Elastic Load Balancing, Quotas)."""
        for rule in ListenerRule.said:
            values = sum(len(v["Values"]) for c in rule["Conditions"] for k, v in c.items() if k.endswith("Config"))
            self.assertLessEqual(values, 5, rule["Conditions"])

    def test_the_login_is_the_one_given(self):
        for rule in self.rules:
            for action in rule["Actions"]:
                if action["Type"] == "authenticate-oidc":
                    config = action["AuthenticateOidcConfig"]
                    self.assertEqual(config["Issuer"], self.parameters["OidcIssuer"])
                    self.assertEqual(config["TokenEndpoint"], self.parameters["OidcTokenEndpoint"])
                    self.assertEqual(config["Scope"], "openid profile email")

    def test_what_people_write_to_the_agent_is_no_attack(self):
        [acl] = stacks.NotOfMoto.of("AWS::WAFv2::WebACL")
        rules = {rule["Name"]: rule["Statement"] for rule in acl["Rules"]}
        common = rules["common"]["ManagedRuleGroupStatement"]
        self.assertEqual(common["Name"], "AWSManagedRulesCommonRuleSet")
        match = common["ScopeDownStatement"]["NotStatement"]["Statement"]["ByteMatchStatement"]
        self.assertEqual((match["SearchString"], match["PositionalConstraint"], match["FieldToMatch"]),
                         ("/invocations", "EXACTLY", {"UriPath": {}}))
        self.assertNotIn("ScopeDownStatement", rules["known-bad-inputs"]["ManagedRuleGroupStatement"])

    def test_services_believe_this_load_balancer_alone(self):
        for role in self.roles:
            text = stacks.configuration(self.client["ssm"], role)
            self.assertIn(f'signers = ["{self.balancer["LoadBalancerArn"]}"]', text)
            self.assertNotIn("gateway_issuer", text)

    def test_tasks_are_reached_by_tls_and_asked_on_the_operations_port(self):
        for group in self.client["elbv2"].describe_target_groups()["TargetGroups"]:
            self.assertEqual((group["Protocol"], group["HealthCheckPort"], group["HealthCheckPath"]),
                             ("HTTPS", "8409", "/readyz"))


class BehindAlbForm(AlbForm):
    form = "behind-alb"
    more = AlbForm.more | {"IdentityTasks": "2"}
    assertions = [*Form.assertions, "need IdentityTasks"]
    roles = {"identity", "binding", "agent"}
    expected = AlbForm.expected | {
        ("account", "/identities/oauth2/authorize"): ("authenticate", 8408),
        ("account", "/identities/oauth2/authorize/login"): ("authenticate", 8408),
        # The provider sends the browser here; a login in between would lose code and state.
        ("account", "/identities/oauth2/callback/1"): ("open", 8408),
        ("account", "/connections"): ("authenticate", 8408), ("account", "/console/keys"): ("authenticate", 8408),
    }


class AgentCoreForm(AlbForm):
    form = "agentcore-native"
    roles = {"binding", "agent"}
    more = AlbForm.more | {"ProviderClientId": "github-client", "ProviderClientSecretArn": SECRET}
    assertions = [*Form.assertions, "ProviderClientId and ProviderClientSecretArn go together"]
    expected = AlbForm.expected | {("account", "/identities/oauth2/authorize"): None,
                                   ("account", "/identities/oauth2/callback/1"): None, ("account", "/connections"): None}

    def test_nothing_of_ours_keeps_tokens(self):
        """No database, no key of a vault, no secret of a caller: AgentCore has them, and the task's role is the caller."""
        self.assertFalse(self.client["kms"].list_aliases()["Aliases"] and [
            k for k in self.client["kms"].list_keys()["Keys"]
            if "token vault" in self.client["kms"].describe_key(KeyId=k["KeyId"])["KeyMetadata"]["Description"]])
        given = {role: [s["Name"] for s in task["ContainerDefinitions"][0]["Secrets"]] for role, task in stacks.tasks().items()}
        self.assertEqual(given, {"agent": ["COUNTERSIGN_CONFIGURATION"], "binding": ["COUNTERSIGN_CONFIGURATION", "FORM_KEY"]})

    def test_the_workload_may_return_to_the_binding_page_alone(self):
        [workload] = stacks.NotOfMoto.of("AWS::BedrockAgentCore::WorkloadIdentity")
        self.assertEqual(workload, {"Name": "my-agent", "AllowedResourceOauth2ReturnUrls": [
            "https://account.example.com/oauth2/session-binding"]})
        [provider] = stacks.NotOfMoto.of("AWS::BedrockAgentCore::OAuth2CredentialProvider")
        given = provider["Oauth2ProviderConfigInput"]["GithubOauth2ProviderConfig"]
        self.assertEqual(given["ClientId"], "github-client")


class Templates(unittest.TestCase):
    def test_what_a_failed_creation_made_is_not_in_the_way_of_the_next(self):
        """Names are fixed: what is kept with a stack that was deleted must go with one that never was."""
        kept = {}
        for path in DEPLOY.glob("*.yaml"):
            for name, resource in form_of(path.stem)["Resources"].items():
                kept.setdefault(resource.get("DeletionPolicy"), set()).add(name)
        self.assertNotIn("Retain", kept)
        self.assertLessEqual({"Conversations", "Anchors", "AccessLogs", "Registry", "VaultKey"}, kept["RetainExceptOnCreate"])


    def test_an_anchor_is_written_once(self):
        """A lock keeps the version that was first, and readers get the one that was last."""
        statements = {}
        for said in form_of("storage")["Resources"]["AnchorsPolicy"]["Properties"]["PolicyDocument"]["Statement"]:
            statements[said["Sid"]] = said
        once = statements["once"]
        self.assertEqual((once["Effect"], once["Principal"], once["Action"]), ("Deny", "*", "s3:PutObject"))
        self.assertEqual(once["Condition"], {"Null": {"s3:if-none-match": "true"}})


class Models(unittest.TestCase):
    """What a form gives an agent for its model: the key of a vendor, or the right to call a profile, or nothing."""

    def created(self, form, more):
        with mock_aws():
            client, _ = stacks.create(form.form, form.more | more)
            secrets = {s["Name"]: s["ValueFrom"] for s in stacks.tasks()["agent"]["ContainerDefinitions"][0]["Secrets"]}
            iam = client["iam"]
            rights = {role["RoleName"]: [s for s in statements(iam, role["RoleName"]) if may([s], "bedrock:InvokeModel")]
                      for role in iam.list_roles()["Roles"]}
            return secrets.get("MODEL_API_KEY"), {n: r for n, r in rights.items() if r}, tomllib.loads(
                stacks.configuration(client["ssm"], "agent"))["agent"]

    def test_each_has_what_it_needs_alone(self):
        for form in [BehindAlbForm, GatewayForm, AgentCoreForm]:
            with self.subTest(form.form):
                key, rights, configuration = self.created(form, {})
                self.assertEqual((key, rights, configuration.get("model_api_key")), (None, {}, None))
                secret = SECRET.replace("oidc", "model")
                key, rights, configuration = self.created(
                    form, {"Model": "anthropic:claude-haiku-4-5", "ModelApiKeySecretArn": secret})
                self.assertEqual((key, rights, configuration["model_api_key"]), (secret, {}, "env:MODEL_API_KEY"))
                key, rights, configuration = self.created(form, {
                    "Model": f"bedrock:{PROFILE}", "InferenceProfileArn": PROFILE, "FoundationModelId": "anthropic.claude-haiku-4-5"})
                self.assertEqual((key, configuration["model"]), (None, f"bedrock:{PROFILE}"))
                [(role, said)] = rights.items()
                self.assertIn("Agent", role)
                self.assertEqual([s["Resource"] == PROFILE or "Condition" in s for s in said], [True, True])


if __name__ == "__main__":
    sys.exit(not unittest.main(exit=False).result.wasSuccessful())
