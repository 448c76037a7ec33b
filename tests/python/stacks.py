"""The templates of deploy/aws in moto, with every nested piece: what moto has not is made by name, and what it drops is
recorded as the template said it. For deploy_stacks.py and deploy_namespaces.py."""

import json
import re
from pathlib import Path

import boto3
from moto.cloudformation import parsing
from moto.cloudformation.models import Stack
from moto.core.common_models import CloudFormationModel
from moto.elbv2.models import FakeLoadBalancer, FakeTargetGroup
from moto.kms.models import kms_backends

DEPLOY = Path(__file__).parents[2] / "deploy/aws"
REGION, ACCOUNT = "eu-west-1", "123456789012"
BUCKET = "templates"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:countersign/oidc-AbCdEf"
CLIENTS = ["cloudformation", "s3", "ec2", "elbv2", "ecs", "ssm", "iam", "route53", "sns", "kms", "logs", "cloudwatch",
           "servicediscovery"]


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
    said = []

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
        NotOfMoto.said.append((cloudformation_json["Type"], without_none(cloudformation_json.get("Properties", {}))))
        if cloudformation_json["Type"] == "AWS::CertificateManager::Certificate":
            # A listener is made with one that exists.
            host = cloudformation_json["Properties"]["DomainName"]
            return cls(boto3.client("acm", REGION).request_certificate(DomainName=host)["CertificateArn"])
        return cls(resource_name)

    @classmethod
    def of(cls, kind):
        """What the templates said of resources of this type."""
        return [properties for said, properties in cls.said if said == kind]

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


class Cluster(NotOfMoto):
    """A cluster of Aurora, which moto has, though not from templates."""

    __module__ = "moto.none.models"

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **kwargs):
        given = cloudformation_json["Properties"]
        boto3.client("rds", REGION).create_db_cluster(
            DBClusterIdentifier=resource_name.lower(), Engine=given["Engine"], DatabaseName=given["DatabaseName"],
            MasterUsername=given["MasterUsername"], MasterUserPassword="moto-has-no-other", DeletionProtection=given["DeletionProtection"])
        return cls(resource_name.lower())


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
ListenerRule = recorded("AWS::ElasticLoadBalancingV2::ListenerRule")
Bucket = recorded("AWS::S3::Bucket")
RECORDED = [TaskDefinition, SecurityGroup, Service, ListenerRule, Bucket]
of_moto = parsing.resource_class_from_type
# moto has instances of other engines than Aurora's.
INSTEAD = {"AWS::RDS::DBInstance": NotOfMoto, "AWS::RDS::DBCluster": Cluster, "AWS::ElasticLoadBalancingV2::Listener": Listener,
           "AWS::ECS::TaskDefinition": TaskDefinition, "AWS::EC2::SecurityGroup": SecurityGroup,
           "AWS::ECS::Service": Service, "AWS::ElasticLoadBalancingV2::ListenerRule": ListenerRule,
           "AWS::S3::Bucket": Bucket}
parsing.resource_class_from_type = lambda kind: INSTEAD.get(kind) or of_moto(kind) or NotOfMoto
Stack.get_cfn_attribute = output_of_nested


def attribute_with_dots(value, resources, moto=parsing.clean_json):
    """`!GetAtt NESTED.Outputs.NAME`, which moto splits at each dot."""
    if isinstance(value, dict) and len(value.get("Fn::GetAtt", [])) > 2:
        name, *attribute = value["Fn::GetAtt"]
        value = {"Fn::GetAtt": [name, ".".join(attribute)]}
    return moto(value, resources)


parsing.clean_json = attribute_with_dots


def attribute_of_balancer(balancer, name, moto=FakeLoadBalancer.get_cfn_attribute):
    """With the ones that moto lists and does not have."""
    missing = {"CanonicalHostedZoneID": "ZHURV8PSTC4K8", "LoadBalancerFullName": balancer.arn.split("loadbalancer/")[1]}
    return missing.get(name) or moto(balancer, name)


FakeLoadBalancer.get_cfn_attribute = attribute_of_balancer
FakeTargetGroup.has_cfn_attr = classmethod(lambda cls, attr: attr == "TargetGroupFullName")
FakeTargetGroup.get_cfn_attribute = lambda group, name: group.arn.split(":")[-1]


def forget():
    """What was recorded before."""
    for record in [Listener.tcp, NotOfMoto.said, *(kind.said for kind in RECORDED)]:
        record.clear()


def create(form, more=()):
    """Creates a form with everything it needs, in a moto that is mocked already. Answers its clients, its parameters and
    the outputs of its stack."""
    clients = {name: boto3.client(name, REGION) for name in CLIENTS}
    s3 = clients["s3"]
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    for piece in DEPLOY.glob("*.yaml"):
        s3.put_object(Bucket=BUCKET, Key=piece.name, Body=piece.read_text())
    zone = clients["route53"].create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"]
    topic = clients["sns"].create_topic(Name="alarms")["TopicArn"]
    parameters = {
        "TemplateBase": f"https://{BUCKET}.s3.{REGION}.amazonaws.com", "Image": "registry/countersign:0.1.0", "Tasks": "2",
        "MaximumTasks": "30",
        "HostedZoneId": zone.split("/")[-1], "ZoneName": "example.com", "OidcIssuer": "https://login.example.net",
        "OidcClientId": "countersign", "OidcClientSecretArn": SECRET, "AlarmTopicArn": topic} | dict(more)
    forget()
    clients["cloudformation"].create_stack(
        StackName="countersign", TemplateBody=(DEPLOY / f"{form}.yaml").read_text(), Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()])
    # moto keeps the policy of a key as the template had it, and expects text.
    for key in kms_backends[ACCOUNT][REGION].keys.values():
        key.policy = json.dumps(key.policy)
    return clients, parameters


def group_names(ec2):
    """Security groups by id, as their templates describe them."""
    return {g["GroupId"]: g["Description"] for g in ec2.describe_security_groups()["SecurityGroups"]}


def ingress(ec2):
    """(from, to, port) of every rule between groups, and from networks."""
    names, found = group_names(ec2), set()
    for group in ec2.describe_security_groups()["SecurityGroups"]:
        for rule in group["IpPermissions"]:
            for source in rule["UserIdGroupPairs"]:
                found.add((names[source["GroupId"]], names[group["GroupId"]], rule["FromPort"]))
            for network in rule["IpRanges"]:
                found.add((network["CidrIp"], names[group["GroupId"]], rule["FromPort"]))
    return found


def egress(ec2):
    """(from, to, port) of every way out to a group, as the templates said it: moto has no such rules."""
    names = group_names(ec2)
    return {(names[rule["GroupId"]], names.get(rule.get("DestinationSecurityGroupId"), rule.get("CidrIp")), rule["FromPort"])
            for rule in NotOfMoto.of("AWS::EC2::SecurityGroupEgress")}


def matches(pattern, path):
    """A path pattern of a load balancer: * is any text, ? one character."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), path) is not None


def tasks():
    """Task definitions by role, as the templates said them."""
    return {t["Family"].removeprefix("countersign-"): t for t in TaskDefinition.said}


def configuration(ssm, role):
    """What a task of this role gets as its configuration."""
    return ssm.get_parameter(Name=f"/countersign/countersign/{role}")["Parameter"]["Value"]
