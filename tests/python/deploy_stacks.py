"""The forms of deploy/aws, created by moto with every nested piece, inspected and deleted. The configurations that they
give to tasks are held against the binary (variable COUNTERSIGN)."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.cloudformation import parsing
from moto.cloudformation.models import Stack
from moto.core.common_models import CloudFormationModel

DEPLOY = Path(__file__).parents[2] / "deploy/aws"
REGION, ACCOUNT = "eu-west-1", "123456789012"
BUCKET = "templates"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:countersign/oidc-AbCdEf"
PORTS = {"agent": 8405, "binding": 8406, "identity-api": 8401, "front-channel": 8408}


def output_of_nested(stack, attribute):
    """`Fn::GetAtt NESTED.Outputs.NAME`, which moto's nested stacks do not have."""
    name = attribute.removeprefix("Outputs.")
    for output in filter(None, stack.output_map.values()):
        if output.key == name:
            return output.value
    raise KeyError(f"{stack.name} has no output {name}")


class NotOfMoto(CloudFormationModel):
    """A resource of a type that moto has not: made and deleted by name only, so that what refers to it can be made."""

    # moto lists its models by the second part of this.
    __module__ = "moto.none.models"

    def __init__(self, name):
        self.physical_resource_id = name
        self.name = name

    @staticmethod
    def cloudformation_name_type():
        return ""

    @staticmethod
    def cloudformation_type():
        return ""

    @classmethod
    def has_cfn_attr(cls, attr):
        return True

    def get_cfn_attribute(self, attribute):
        return f"{self.name}-{attribute}"

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **kwargs):
        if cloudformation_json["Type"] == "AWS::CertificateManager::Certificate":
            # A listener is made with one that exists.
            host = cloudformation_json["Properties"]["DomainName"]
            return cls(boto3.client("acm", REGION).request_certificate(DomainName=host)["CertificateArn"])
        return cls(resource_name)

    @classmethod
    def delete_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name):
        pass

    def delete(self, *_):
        pass


class Listener(NotOfMoto):
    """moto's listeners, and those of TCP, which it refuses."""

    __module__ = "moto.none.models"
    tcp = []

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **kwargs):
        if cloudformation_json["Properties"]["Protocol"] != "TCP":
            return of_moto("AWS::ElasticLoadBalancingV2::Listener").create_from_cloudformation_json(
                resource_name, cloudformation_json, account_id, region_name, **kwargs)
        cls.tcp.append(cloudformation_json["Properties"])
        return cls(resource_name)


def recorded(kind):
    """moto's resource, and beside it what the template said with everything resolved: moto drops some of it."""

    class Recorded(NotOfMoto):
        __module__ = "moto.none.models"
        said = []

        @classmethod
        def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **kwargs):
            cls.said.append(without_none(cloudformation_json["Properties"]))
            return of_moto(kind).create_from_cloudformation_json(
                resource_name, cloudformation_json, account_id, region_name, **kwargs)

    return Recorded


def without_none(value):
    """Without what `AWS::NoValue` left."""
    if isinstance(value, dict):
        return {k: without_none(v) for k, v in value.items() if v is not None}
    return [without_none(v) for v in value if v is not None] if isinstance(value, list) else value


TaskDefinition = recorded("AWS::ECS::TaskDefinition")
SecurityGroup = recorded("AWS::EC2::SecurityGroup")
Service = recorded("AWS::ECS::Service")
of_moto = parsing.resource_class_from_type
# moto has instances of other engines than Aurora's.
INSTEAD = {"AWS::RDS::DBInstance": NotOfMoto, "AWS::ElasticLoadBalancingV2::Listener": Listener,
           "AWS::ECS::TaskDefinition": TaskDefinition, "AWS::EC2::SecurityGroup": SecurityGroup,
           "AWS::ECS::Service": Service}
parsing.resource_class_from_type = lambda kind: INSTEAD.get(kind) or of_moto(kind) or NotOfMoto
Stack.get_cfn_attribute = output_of_nested


def template(name):
    """The template, with attributes of nested stacks in the long form: moto splits the short one at each dot."""
    return re.sub(r"!GetAtt (\w+)\.(Outputs\.\w+)", r'{"Fn::GetAtt": [\1, "\2"]}', (DEPLOY / f"{name}.yaml").read_text())


def certificate():
    with tempfile.TemporaryDirectory() as directory:
        key = Path(directory, "key")
        made = subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=t",
             "-addext", "subjectAltName=DNS:app.example.com,DNS:account.example.com", "-keyout", key],
            check=True, capture_output=True, text=True)
        return made.stdout, key.read_text()


class Form(unittest.TestCase):
    """One form, created once for all of its tests."""

    form = None
    more = {}

    @classmethod
    def setUpClass(cls):
        if cls.form is None:
            raise unittest.SkipTest("the forms are below")
        cls.aws = mock_aws()
        cls.aws.start()
        cls.addClassCleanup(cls.aws.stop)
        cls.client = {n: boto3.client(n, REGION) for n in
                      ["cloudformation", "s3", "ec2", "elbv2", "ecs", "ssm", "iam", "route53", "sns", "kms"]}
        s3 = cls.client["s3"]
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        for piece in DEPLOY.glob("*.yaml"):
            s3.put_object(Bucket=BUCKET, Key=piece.name, Body=template(piece.stem))
        zone = cls.client["route53"].create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"]
        topic = cls.client["sns"].create_topic(Name="alarms")["TopicArn"]
        cls.parameters = {
            "TemplateBase": f"https://{BUCKET}.s3.{REGION}.amazonaws.com", "Image": "registry/countersign:0.1.0",
            "Tasks": "2", "HostedZoneId": zone.split("/")[-1], "ZoneName": "example.com",
            "OidcIssuer": "https://login.example.com", "OidcClientId": "countersign", "OidcClientSecretArn": SECRET,
            "AlarmTopicArn": topic} | cls.more
        for record in [Listener.tcp, TaskDefinition.said, SecurityGroup.said, Service.said]:
            record.clear()
        cls.create(cls.parameters)
        cls.stacks = {s["StackName"]: s for s in cls.client["cloudformation"].describe_stacks()["Stacks"]}

    @classmethod
    def create(cls, parameters):
        cls.client["cloudformation"].create_stack(
            StackName="countersign", TemplateBody=template(cls.form),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()])

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

    def group_names(self):
        names = {}
        for group in self.client["ec2"].describe_security_groups()["SecurityGroups"]:
            names[group["GroupId"]] = group["Description"]
        return names

    def ingress(self):
        """(from, to, port) of every rule between groups, and from networks."""
        names, found = self.group_names(), set()
        for group in self.client["ec2"].describe_security_groups()["SecurityGroups"]:
            for rule in group["IpPermissions"]:
                for source in rule["UserIdGroupPairs"]:
                    found.add((names[source["GroupId"]], names[group["GroupId"]], rule["FromPort"]))
                for network in rule["IpRanges"]:
                    found.add((network["CidrIp"], names[group["GroupId"]], rule["FromPort"]))
        return found

    def tasks(self):
        return {t["Family"].removeprefix("countersign-"): t for t in TaskDefinition.said}

    def test_every_role_has_a_service(self):
        self.assertEqual(set(self.tasks()), self.roles)
        self.assertEqual({s["ServiceName"] for s in Service.said}, {f"countersign-{r}" for r in self.roles})

    def test_tasks_are_hardened_and_private(self):
        for name, task in self.tasks().items():
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

    def test_each_task_has_a_role_and_secrets_of_its_own(self):
        tasks = self.tasks()
        roles = [t["TaskRoleArn"] for t in tasks.values()]
        self.assertEqual(len(set(roles)), len(roles))
        given = {}
        for name, task in tasks.items():
            for secret in task["ContainerDefinitions"][0]["Secrets"]:
                given.setdefault(secret["ValueFrom"], set()).add(name)
        shared = {arn: names for arn, names in given.items() if len(names) > 1}
        self.assertEqual(shared, {})

    def test_nobody_reaches_the_binding_service_or_the_database_but_who_must(self):
        ingress = self.ingress()
        to = {t: {f for f, x, p in ingress if x == t and p not in (1,)} for _, t, _ in ingress}
        self.assertEqual(to["The session binding service"], {self.front})
        self.assertEqual(to["The agent"], {self.front})
        if "The database" in to:
            self.assertLessEqual(to["The database"], {"The identity service", "The gateway"})
            self.assertNotIn("0.0.0.0/0", to["The identity service"])
        self.assertNotIn(("The agent", "The session binding service", 8406), ingress)

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
                     "PRIVATE_KEY": key}
        for role in self.roles:
            text = self.client["ssm"].get_parameter(Name=f"/countersign/countersign/{role}")["Parameter"]["Value"]
            self.assertLess(len(text), 8192)
            self.assertNotRegex(text, r"\$\{")
            for reference in re.findall(r'"env:(\w+)"', text):
                container = self.tasks()[role]["ContainerDefinitions"][0]
                self.assertIn(reference, {s["Name"] for s in container["Secrets"]}, role)
            # moto makes ARNs of keys in its own account and never an id that is refused.
            ran = subprocess.run([os.environ["COUNTERSIGN"], "config", "check", "--config", "env:CONFIGURATION"],
                                 env=variables | {"CONFIGURATION": text}, capture_output=True, text=True)
            self.assertEqual(ran.returncode, 0, f"{role}: {ran.stderr}\n{text}")

    def test_hosts_lead_to_the_load_balancers(self):
        zone = self.parameters["HostedZoneId"]
        records = self.client["route53"].list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        aliases = {(r["Name"].rstrip("."), r["Type"]) for r in records if "AliasTarget" in r}
        for host in ["app.example.com", "account.example.com"]:
            self.assertLessEqual({(host, "A"), (host, "AAAA")}, aliases)

    def test_what_contradicts_has_an_assertion(self):
        import yaml

        class Loader(yaml.SafeLoader):
            pass
        Loader.add_multi_constructor("!", lambda l, s, n: (s, l.construct_scalar(n) if isinstance(n, yaml.ScalarNode) else
                                     l.construct_sequence(n, deep=True) if isinstance(n, yaml.SequenceNode)
                                     else l.construct_mapping(n, deep=True)))
        form = yaml.load((DEPLOY / f"{self.form}.yaml").read_text(), Loader)
        said = [a["AssertDescription"] for r in form["Rules"].values() for a in r["Assertions"]]
        self.assertTrue(any("must differ" in s for s in said) and any("need an Image" in s for s in said), said)
        for name, value, bad in [("ZoneName", "example.com", "example.com."), ("AppPrefix", "app", "app.example.com"),
                                 ("OidcIssuer", "https://login.example.com", "login.example.com"),
                                 ("OidcClientSecretArn", SECRET, "my-secret"), ("Name", "countersign", "Countersign"),
                                 ("TemplateBase", "https://b.s3.eu-west-1.amazonaws.com/x", "https://b/x/")]:
            parameter = form["Parameters"][name]
            pattern = re.compile(parameter["AllowedPattern"])
            self.assertTrue(pattern.fullmatch(value), name)
            self.assertFalse(pattern.fullmatch(bad), f"{name} {bad}")
            self.assertTrue(parameter["ConstraintDescription"], name)


class GatewayForm(Form):
    form = "gateway"
    roles = {"gateway", "identity", "binding", "agent"}
    front = "The gateway"

    def test_tls_passes_through_to_the_gateway(self):
        elb = self.client["elbv2"]
        public = {b["LoadBalancerArn"]: b["Type"] for b in elb.describe_load_balancers()["LoadBalancers"]
                  if b["Scheme"] == "internet-facing"}
        self.assertEqual(len(public), 2)
        self.assertEqual({str(listener["Port"]) for listener in Listener.tcp}, {"443"})
        self.assertEqual({listener["LoadBalancerArn"] for listener in Listener.tcp}, set(public))
        groups = {g["Port"]: g for g in elb.describe_target_groups()["TargetGroups"]}
        self.assertEqual(set(groups), {8400, 8407, 8401, 8402})
        for port in [8400, 8407]:
            self.assertEqual((groups[port]["Protocol"], groups[port]["HealthCheckPort"]), ("TCP", "8409"))



if __name__ == "__main__":
    sys.exit(not unittest.main(exit=False).result.wasSuccessful())
