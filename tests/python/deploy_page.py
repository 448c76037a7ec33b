"""docs/deploy-aws.md, followed literally: its `sh` blocks, one after the other in one bash, with the AWS CLI against moto;
those of CloudShell in a directory and an environment of their own. What a person types is given on standard input; nothing
else is added."""

import logging
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import boto3
import requests
from moto.server import ThreadedMotoServer

import stacks

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/deploy-aws.md").read_text()
# (whether it is for CloudShell, its text)
BLOCKS = [(bool(where), text) for where, text in re.findall(r"```sh( cloudshell)?\n(.*?)```", PAGE, re.S)]
# The binary that the page takes to CloudShell, where there is no identity service to speak with here (the namespace test has
# both): it notes how it is called, and answers with an access key.
BINARY = """#!/bin/sh
echo "$AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY $AWS_ENDPOINT_URL_BEDROCK_AGENTCORE_CONTROL $*" >> calls
case "$1 $2" in
  *" get") exit 1 ;;
  policy*) cat >/dev/null ;;
  access-key*) printf '{"accessKey": {"accessKeyId": "AKIA-%s", "secretAccessKey": "secret-of-%s"}}' "$3" "$3" ;;
esac
"""
# moto creates stacks at once, and knows no other rules than these.
TYPED = "client-secret\ngithub-client-id\ngithub-client-secret\n"


# The same with a memory: a file for each thing that exists.
REMEMBERING = """#!/bin/sh
case "$1 $2" in
  *" get") [ -e "made-$1-$3" ] ;;
  "access-key list") if [ -e "made-access-key-$3" ]; then printf '{"accessKeys": [{}]}'; else printf '{"accessKeys": []}'; fi ;;
  *) [ "$1" != policy ] || cat >/dev/null; echo "$*" >> calls; touch "made-$1-$3"
     printf '{"accessKey": {"accessKeyId": "AKIA", "secretAccessKey": "secret"}}' ;;
esac
"""


class Bootstrap(unittest.TestCase):
    """deploy/bootstrap, ended at any of its steps, goes on there; once done it changes nothing and writes no file."""

    STEPS = ["workload-my-agent", "principal-my-agent", "policy-my-agent", "access-key-my-agent", "principal-binding",
             "policy-binding", "access-key-binding"]

    def run_in(self, directory):
        Path(directory, "countersign").write_text(REMEMBERING)
        Path(directory, "countersign").chmod(0o755)
        subprocess.run([ROOT / "deploy/bootstrap", "--workload", "my-agent", "--return-url", "https://account.example.com/b",
                        "--agent-env", "agent.env", "--binding-env", "binding.env", "--", "./countersign"],
                       cwd=directory, check=True, capture_output=True)
        calls = Path(directory, "calls")
        made = [" ".join(line.split()[:3]).replace(" create ", "-") for line in calls.read_text().splitlines()] if calls.exists() else []
        return made, {path.name for path in Path(directory).glob("*.env")}

    def test_it_goes_on_where_it_ended(self):
        for done in range(len(self.STEPS) + 1):
            with self.subTest(done), tempfile.TemporaryDirectory() as directory:
                for step in self.STEPS[:done]:
                    Path(directory, f"made-{step}").touch()
                made, files = self.run_in(directory)
                self.assertEqual(made, self.STEPS[done:])
                self.assertEqual(files, {name for name, step in [("agent.env", 4), ("binding.env", 7)] if done < step})


class Page(unittest.TestCase):
    def setUp(self):
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.server = ThreadedMotoServer(port=0, verbose=False)
        self.server.start()
        self.addCleanup(self.server.stop)
        host, port = self.server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        requests.post(f"{self.endpoint}/moto-api/reset", timeout=30)
        os.environ["AWS_ENDPOINT_URL"] = self.endpoint
        self.addCleanup(os.environ.pop, "AWS_ENDPOINT_URL")
        stacks.forget()
        # What step 1 asks for.
        self.client("route53").create_hosted_zone(Name="example.com", CallerReference="1")

    def client(self, name):
        return boto3.client(name, stacks.REGION, endpoint_url=self.endpoint)

    def follow(self, form, look):
        """Every block; `look` is called before the last one, which takes everything away."""
        blocks = [self.in_cloudshell(text, number) if cloudshell and form != "agentcore-native" else "" if cloudshell else
                  text.replace("export FORM=behind-alb ", f"export FORM={form} ")
                  for number, (cloudshell, text) in enumerate(BLOCKS)]
        self.assertTrue(any(f"FORM={form} " in b for b in blocks))
        blocks.insert(-1, "touch looking; while [ -e looking ]; do sleep 0.1; done")
        with tempfile.TemporaryDirectory() as directory:
            for name in ["deploy", "docs"]:
                Path(directory, name).symlink_to(ROOT / name)
            for name in ["target/dist", "cloudshell"]:
                Path(directory, name).mkdir(parents=True)
            Path(directory, "target/dist/countersign").write_text(BINARY)
            environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": directory}
            log = Path(directory, "log")
            with log.open("w") as out:
                ran = subprocess.Popen(["bash", "-euo", "pipefail", "-c", "\n".join(blocks)], cwd=directory, text=True,
                                       env=environment, stdin=subprocess.PIPE, stdout=out, stderr=out)
                ran.stdin.write(TYPED)
                ran.stdin.close()
                while ran.poll() is None and not Path(directory, "looking").exists():
                    time.sleep(0.1)
                try:
                    if ran.poll() is None:
                        look(Path(directory, "cloudshell"))
                finally:
                    Path(directory, "looking").unlink(missing_ok=True)
                    ran.wait()
            self.assertEqual(ran.returncode, 0, log.read_text()[-5000:])

    def in_cloudshell(self, text, number):
        """The block in another bash, which has the console's credentials and region and nothing of the first."""
        return f"""(cd cloudshell && env -i PATH="$PATH" HOME="$PWD" AWS_REGION={stacks.REGION} AWS_DEFAULT_REGION={stacks.REGION} \\
  AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_ENDPOINT_URL="$AWS_ENDPOINT_URL" bash -euo pipefail <<'BLOCK-{number}'
{text}BLOCK-{number}
)"""

    def bootstrapped(self, cloudshell):
        """Every call was the initial administrator's, at the API; the keys that came of it are the tasks' secrets."""
        manager = self.client("secretsmanager")
        value = lambda name: manager.get_secret_value(SecretId=f"countersign/{name}")["SecretString"]
        calls = [line.split(" ", 3) for line in (cloudshell / "calls").read_text().splitlines()]
        caller = [value("initial-admin-id"), value("initial-admin-secret-key"), "https://countersign-api.example.com"]
        self.assertEqual([call[:3] for call in calls], [caller] * len(calls))
        self.assertIn("workload create my-agent --return-url https://account.example.com/oauth2/session-binding",
                      [call[3] for call in calls])
        for role, principal in [("agent", "my-agent"), ("binding", "binding")]:
            self.assertEqual((value(f"{role}-id"), value(f"{role}-secret-key")), (f"AKIA-{principal}", f"secret-of-{principal}"))
        self.assertFalse(list(cloudshell.glob("*.env")))

    def another_load_balancer(self):
        """Of somebody else, with a name that begins as ours. Answers its ARN."""
        ec2, elb = self.client("ec2"), self.client("elbv2")
        subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"] if s["DefaultForAz"]][:2]
        arn = elb.create_load_balancer(Name="countersign2", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
        elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[{"Key": "deletion_protection.enabled", "Value": "true"}])
        return arn

    def comes_up_and_goes(self, form, roles):
        other = self.another_load_balancer()

        def look(cloudshell):
            if form != "agentcore-native":
                self.bootstrapped(cloudshell)
            [stack] = [s for s in self.client("cloudformation").describe_stacks()["Stacks"] if s["StackName"] == "countersign"]
            self.assertIn(stack["StackStatus"], ["CREATE_COMPLETE", "UPDATE_COMPLETE"])
            given = {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]}
            self.assertEqual(given["Tasks"], "2")
            found = self.client("ecs").describe_services(cluster="countersign", services=[
                f"countersign-{r}" for r in ["identity", "gateway", "agent", "binding"]])["services"]
            self.assertEqual({s["serviceName"] for s in found}, {f"countersign-{r}" for r in roles})
            self.secrets_are_made()

        self.follow(form, look)
        left = [s for s in self.client("cloudformation").describe_stacks()["Stacks"] if s["StackName"] == "countersign"]
        self.assertFalse(left)
        self.assertFalse([b for b in self.client("s3").list_buckets()["Buckets"] if "templates" in b["Name"]])
        self.assertFalse(self.client("sns").list_topics()["Topics"])
        protected = self.client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=other)["Attributes"]
        self.assertIn({"Key": "deletion_protection.enabled", "Value": "true"}, protected)
        self.assertFalse([c for c in self.client("rds").describe_db_clusters()["DBClusters"] if c["DeletionProtection"]])

    def secrets_are_made(self):
        """Every secret that a task names is made by the page: the certificate in a block of another kind."""
        names = {s["Name"] for s in self.client("secretsmanager").list_secrets()["SecretList"]}
        wanted = {secret["ValueFrom"].split(":secret:")[1] for task in stacks.tasks().values()
                  for secret in task["ContainerDefinitions"][0]["Secrets"] if ":secret:" in secret["ValueFrom"]}
        other = set(re.findall(r"secret ([a-z-]+) ", " ".join(re.findall(r"```console\n(.*?)```", PAGE, re.S))))
        other = {f"countersign/{name}" for name in other}
        for name in wanted:
            self.assertTrue(name in names | other or name.startswith("countersign/oidc-"), f"{name}: {names} {other}")

    def test_behind_alb(self):
        self.comes_up_and_goes("behind-alb", ["identity", "agent", "binding"])

    def test_gateway(self):
        self.comes_up_and_goes("gateway", ["identity", "gateway", "agent", "binding"])

    def test_agentcore_native(self):
        self.comes_up_and_goes("agentcore-native", ["agent", "binding"])

    def test_every_parameter_of_the_page_is_one_of_the_templates(self):
        text = "\n".join(text for _, text in BLOCKS)
        for form in ["behind-alb", "gateway", "agentcore-native"]:
            template = (stacks.DEPLOY / f"{form}.yaml").read_text()
            block = template[template.index("Parameters:"):template.index("\nRules:")]
            required = [line.split(":")[0].strip() for line in block.splitlines()[1:] if line.startswith("  ") and
                        "Default:" not in line]
            for name in required:
                self.assertIn(f'"{name}=', text, f"{form}: the page does not give {name}")


if __name__ == "__main__":
    sys.exit(not unittest.main(exit=False).result.wasSuccessful())
