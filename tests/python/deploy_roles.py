"""deploy/aws/roles.yaml, created and deleted by moto in both modes: what the roles may do, and what none may."""

import ast
import fnmatch
import sys
import unittest
from pathlib import Path

import boto3
from moto import mock_aws

TEMPLATE = Path(__file__).parents[2] / "deploy/aws/roles.yaml"
REGION, ACCOUNT = "eu-west-1", "123456789012"
PARAMETERS = {
    "WorkloadName": "my-agent",
    "ProviderName": "github",
    "ClusterName": "countersign",
    "ConversationBucketArn": "arn:aws:s3:::conversations",
    "AnchorBucketArn": "arn:aws:s3:::anchors",
    "VaultKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555",
    "GatewayKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/21111111-2222-3333-4444-555555555555",
    "AgentKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/41111111-2222-3333-4444-555555555555",
    "DataKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/31111111-2222-3333-4444-555555555555",
    "InferenceProfileArn": f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/eu.anthropic.claude-haiku-4-5",
    "FoundationModelId": "anthropic.claude-haiku-4-5",
    "SecretArnPrefix": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:countersign/",
}
ASK = ["GetWorkloadAccessToken", "GetWorkloadAccessTokenForUserId", "GetWorkloadAccessTokenForJWT",
       "GetResourceOauth2Token", "GetResourceApiKey"]
COMPLETE = ["CompleteResourceTokenAuth"]


def listed(value):
    return value if isinstance(value, list) else [value]


def statements(iam, role):
    """Everything that the role's own policies say."""
    found = []
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        # moto gives what a template had inline as Python writes it, not as JSON.
        document = ast.literal_eval(document) if isinstance(document, str) else document
        found += listed(document["Statement"])
    return found


def may(said, action):
    """Whether one of the statements allows the action on something."""
    return any(s["Effect"] == "Allow" and ("NotAction" in s or any(
        fnmatch.fnmatchcase(action.lower(), a.lower()) for a in listed(s["Action"]))) for s in said)


class Roles(unittest.TestCase):
    def setUp(self):
        self.aws = mock_aws()
        self.aws.start()
        self.addCleanup(self.aws.stop)
        self.cloudformation = boto3.client("cloudformation", REGION)
        self.iam = boto3.client("iam", REGION)

    def create(self, mode):
        given = PARAMETERS | {"IdentityMode": mode}
        self.cloudformation.create_stack(
            StackName="roles", TemplateBody=TEMPLATE.read_text(), Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()])
        resources = self.cloudformation.describe_stack_resources(StackName="roles")["StackResources"]
        # moto lists what a condition left out as an empty entry.
        self.assertTrue(resources)
        return {r["LogicalResourceId"]: self.statements(r["PhysicalResourceId"]) for r in resources
                if r.get("ResourceType") == "AWS::IAM::Role"}

    def statements(self, role):
        self.assertFalse(self.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"])
        return statements(self.iam, role)

    may = staticmethod(may)

    def test_no_role_both_asks_and_completes(self):
        for mode in ["self-hosted", "agentcore"]:
            with self.subTest(mode):
                for name, statements in self.create(mode).items():
                    asks = any(self.may(statements, f"bedrock-agentcore:{a}") for a in ASK)
                    completes = any(self.may(statements, f"bedrock-agentcore:{a}") for a in COMPLETE)
                    self.assertFalse(asks and completes, name)
                    expected = mode == "agentcore"
                    self.assertEqual(asks, expected and name == "AgentRole", name)
                    self.assertEqual(completes, expected and name == "BindingRole", name)
                self.cloudformation.delete_stack(StackName="roles")
                self.assertFalse(self.iam.list_roles()["Roles"])

    def test_each_key_has_one_role(self):
        roles = self.create("self-hosted")
        for key, owner in [("VaultKeyArn", "IdentityRole"), ("GatewayKeyArn", "GatewayRole"), ("DataKeyArn", "AgentRole"), ("AgentKeyArn", "AgentRole")]:
            decrypts = [n for n, statements in roles.items() for s in statements
                        if self.may([s], "kms:Decrypt") and listed(s["Resource"]) == [PARAMETERS[key]]]
            self.assertEqual(decrypts, [owner], key)
        self.assertEqual({r for statements in roles.values() for s in statements if self.may([s], "kms:Decrypt")
                          for r in listed(s["Resource"])}, {PARAMETERS[k] for k in ["VaultKeyArn", "GatewayKeyArn", "DataKeyArn", "AgentKeyArn"]})
        self.cloudformation.delete_stack(StackName="roles")
        self.assertNotIn("IdentityRole", self.create("agentcore"))

    def test_each_trail_is_anchored_by_its_owner_and_deleted_by_nobody(self):
        found = {(name, action, resource) for name, statements in self.create("self-hosted").items() for s in statements
                 for action in listed(s["Action"]) for resource in listed(s["Resource"]) if "anchors" in str(resource)}
        self.assertEqual(found, {(f"{role.capitalize()}Role", action, f"arn:aws:s3:::anchors/{role}/*")
                                 for role in ["identity", "gateway"] for action in ["s3:PutObject", "s3:GetObject"]})

    def test_the_agent_asks_for_its_own_workload_and_users_only(self):
        [ask] = [s for s in self.create("agentcore")["AgentRole"]
                 if "ForUserId" in str(s["Action"])]
        self.assertEqual(ask["Condition"], {"StringLike": {"bedrock-agentcore:userid": "idp:*"}})
        self.assertEqual(len(ask["Resource"]), 2)
        self.assertTrue(all("*" not in r for r in ask["Resource"]))

    def test_nothing_has_a_wildcard_but_the_registry_login(self):
        for name, statements in self.create("agentcore").items():
            for s in statements:
                self.assertNotIn("*", "".join(listed(s["Action"])), name)
                if "*" in listed(s["Resource"]):
                    self.assertEqual(s["Action"], "ecr:GetAuthorizationToken")

    def test_only_tasks_of_this_account_take_a_role(self):
        self.create("self-hosted")
        for role in self.iam.list_roles()["Roles"]:
            [trust] = role["AssumeRolePolicyDocument"]["Statement"]
            self.assertEqual(trust["Principal"], {"Service": "ecs-tasks.amazonaws.com"})
            self.assertEqual(trust["Condition"]["StringEquals"], {"aws:SourceAccount": ACCOUNT})


if __name__ == "__main__":
    sys.exit(not unittest.main(exit=False).result.wasSuccessful())
