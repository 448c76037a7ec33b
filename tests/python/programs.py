"""The AWS CLI and the starter toolkit's `agentcore identity`, unchanged: create, get, list, update, delete.

Usage: programs.py aws | toolkit
"""
import json
import os
import pathlib
import subprocess
import sys

BIN = pathlib.Path(sys.executable).parent
RETURN_URL = "http://localhost:9/callback"


def run(program, *arguments, fails=None):
    environment = {**os.environ, "AGENTCORE_SUPPRESS_RECOMMENDATION": "1", "COLUMNS": "400", "AWS_PAGER": ""}
    done = subprocess.run([BIN / program, *arguments], capture_output=True, text=True, env=environment)
    if fails:
        assert done.returncode != 0 and fails in done.stderr, (arguments, done)
        return None
    assert done.returncode == 0, (arguments, done)
    return done.stdout


def aws():
    def control(operation, *arguments, **more):
        answer = run("aws", "bedrock-agentcore-control", operation, *arguments, **more)
        return json.loads(answer) if answer and answer.strip() else {}

    def life(kind, listed, name, create, update):
        made = control(f"create-{kind}", "--name", name, *create)
        assert made["name"] == name, made
        control(f"create-{kind}", "--name", name, *create, fails="already exists")
        got = control(f"get-{kind}", "--name", name)
        assert got["name"] == name and got["createdTime"], got
        plural = kind.removesuffix("y") + "ies" if kind.endswith("y") else kind + "s"
        names = [item["name"] for item in control(f"list-{plural}")[listed]]
        assert name in names, names
        assert control(f"update-{kind}", "--name", name, *update)["name"] == name
        return made

    workload = life("workload-identity", "workloadIdentities", "cli-agent",
                    # As JSON: version 1 of the AWS CLI fetches an argument that is a URL.
                    ["--allowed-resource-oauth2-return-urls", json.dumps([RETURN_URL]), "--tags", "env=dev"],
                    ["--allowed-resource-oauth2-return-urls", json.dumps([RETURN_URL, "https://app.example.com/back"])])
    slack = ["--credential-provider-vendor", "SlackOauth2", "--oauth2-provider-config-input",
             json.dumps({"slackOauth2ProviderConfig": {"clientId": "cid", "clientSecret": "csec"}})]
    life("oauth2-credential-provider", "credentialProviders", "cli-slack", slack, slack)
    life("api-key-credential-provider", "credentialProviders", "cli-key", ["--api-key", "sk-1"], ["--api-key", "sk-2"])
    arn = workload["workloadIdentityArn"]
    control("tag-resource", "--resource-arn", arn, "--tags", "team=a b")
    control("untag-resource", "--resource-arn", arn, "--tag-keys", "env")
    assert control("list-tags-for-resource", "--resource-arn", arn)["tags"] == {"team": "a b"}
    assert control("get-token-vault")["tokenVaultId"] == "default"
    service_key = json.dumps({"keyType": "ServiceManagedKey"})
    assert control("set-token-vault-cmk", "--kms-configuration", service_key)["tokenVaultId"] == "default"
    control("list-payment-credential-providers", fails="not offered")
    wat = json.loads(run("aws", "bedrock-agentcore", "get-workload-access-token", "--workload-name", "cli-agent"))
    run("aws", "bedrock-agentcore", "get-workload-access-token-for-user-id", "--workload-name", "cli-agent", "--user-id", "user-1")
    run("aws", "bedrock-agentcore", "get-workload-access-token-for-jwt", "--workload-name", "cli-agent",
        "--user-token", "aaa.bbb.ccc", fails="UnauthorizedException")
    key = json.loads(run("aws", "bedrock-agentcore", "get-resource-api-key",
                         "--workload-identity-token", wat["workloadAccessToken"],
                         "--resource-credential-provider-name", "cli-key"))
    assert key["apiKey"] == "sk-2", "the newest key"
    for kind, name in (("workload-identity", "cli-agent"), ("oauth2-credential-provider", "cli-slack"),
                       ("api-key-credential-provider", "cli-key")):
        control(f"delete-{kind}", "--name", name)
        control(f"get-{kind}", "--name", name, fails="ResourceNotFoundException")


def toolkit():
    def identity(*arguments):
        return run("agentcore", "identity", *arguments)

    shown = identity("create-workload-identity", "--name", "tk-agent", "--return-urls", RETURN_URL)
    assert "workload-identity/tk-agent" in shown, shown
    shown = identity("update-workload-identity", "--name", "tk-agent", "--add-return-urls", "https://app.example.com/back")
    assert "https://app.example.com/back" in shown, shown
    import boto3
    control = boto3.client("bedrock-agentcore-control")
    urls = control.get_workload_identity(name="tk-agent")["allowedResourceOauth2ReturnUrls"]
    assert set(urls) == {RETURN_URL, "https://app.example.com/back"}, urls
    for kind in ("github", "google", "salesforce"):
        shown = identity("create-credential-provider", "--name", f"tk-{kind}", "--type", kind,
                         "--client-id", "cid", "--client-secret", "csec")
        made = control.get_oauth2_credential_provider(name=f"tk-{kind}")
        assert made["credentialProviderVendor"].lower() == f"{kind}oauth2", made
        assert made["callbackUrl"] in shown, (made["callbackUrl"], shown)


{"aws": aws, "toolkit": toolkit}[sys.argv[1]]()
print("done")
