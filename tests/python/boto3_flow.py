"""The API flow by plain boto3: no endpoint argument anywhere, the environment alone points here."""
import datetime
import os
import sys

import boto3
from botocore.exceptions import ClientError

from consent import consent

RETURN_URL = "http://localhost:9/callback"
control = boto3.client("bedrock-agentcore-control")
data = boto3.client("bedrock-agentcore")


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response
        return error.response
    raise AssertionError(f"{code} expected")


made = control.create_workload_identity(name="boto-agent", allowedResourceOauth2ReturnUrls=[RETURN_URL])
assert made["workloadIdentityArn"].endswith("workload-identity/boto-agent"), made
got = control.get_workload_identity(name="boto-agent")
assert isinstance(got["createdTime"], datetime.datetime), got
names = [item["name"] for page in control.get_paginator("list_workload_identities").paginate(PaginationConfig={"PageSize": 1}) for item in page["workloadIdentities"]]
assert "boto-agent" in names and len(names) == len(set(names)), names

provider = os.environ["COUNTERSIGN_PROVIDER"]
wat = data.get_workload_access_token_for_user_id(workloadName="boto-agent", userId="user-7")["workloadAccessToken"]
request = dict(
    workloadIdentityToken=wat,
    resourceCredentialProviderName=provider,
    scopes=["issues:read"],
    oauth2Flow="USER_FEDERATION",
    resourceOauth2ReturnUrl=RETURN_URL,
    customState="from-boto",
)
pending = data.get_resource_oauth2_token(**request)
assert "accessToken" not in pending and pending["sessionStatus"] == "IN_PROGRESS", pending
assert pending["sessionUri"].startswith("urn:ietf:params:oauth:request_uri:"), pending
again = data.get_resource_oauth2_token(**request)
assert again["sessionUri"] == pending["sessionUri"], "an equal request gets the live session back"

handle, state = consent(pending["authorizationUrl"], RETURN_URL)
assert state == "from-boto", state
assert handle != pending["sessionUri"], "the completion handle is fresh"

refused("AccessDeniedException", data.complete_resource_token_auth,
        sessionUri=pending["sessionUri"], userIdentifier={"userId": "user-7"})
poll = data.get_resource_oauth2_token(**request, sessionUri=pending["sessionUri"])
assert "accessToken" not in poll, "nothing before completion"
data.complete_resource_token_auth(sessionUri=handle, userIdentifier={"userId": "user-7"})
data.complete_resource_token_auth(sessionUri=handle, userIdentifier={"userId": "user-7"})
token = data.get_resource_oauth2_token(**request, sessionUri=pending["sessionUri"])["accessToken"]
assert token
assert data.get_resource_oauth2_token(**request)["accessToken"], "the second request needs no consent"

# A different person finds nothing, and cannot complete.
other = data.get_workload_access_token_for_user_id(workloadName="boto-agent", userId="user-8")["workloadAccessToken"]
assert "accessToken" not in data.get_resource_oauth2_token(**{**request, "workloadIdentityToken": other})

# Errors as the reference names them.
answer = refused("ValidationException", data.get_resource_oauth2_token, **{**request, "resourceOauth2ReturnUrl": "https://evil.example/"})
answer = refused("ValidationException", control.create_workload_identity, name="has a space")
assert answer["reason"] == "FieldValidationFailed" and answer["fieldList"][0]["name"] == "name", answer
refused("ResourceNotFoundException", control.get_workload_identity, name="nobody")
refused("ResourceNotFoundException", data.get_resource_oauth2_token, **{**request, "resourceCredentialProviderName": "nobody"})
stranger = boto3.client("bedrock-agentcore", aws_access_key_id="AKIAAAAAAAAAAAAAAAAA", aws_secret_access_key="x")
refused("UnrecognizedClientException", stranger.get_workload_access_token, workloadName="boto-agent")
forged = boto3.client("bedrock-agentcore", aws_secret_access_key="x", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"])
refused("InvalidSignatureException", forged.get_workload_access_token, workloadName="boto-agent")

# The trust lines: the agent's key cannot complete, the binding's key cannot get tokens.
agent = boto3.client("bedrock-agentcore", aws_access_key_id=os.environ["COUNTERSIGN_AGENT_ACCESS_KEY_ID"], aws_secret_access_key=os.environ["COUNTERSIGN_AGENT_SECRET_ACCESS_KEY"])
binding = boto3.client("bedrock-agentcore", aws_access_key_id=os.environ["COUNTERSIGN_BINDING_ACCESS_KEY_ID"], aws_secret_access_key=os.environ["COUNTERSIGN_BINDING_SECRET_ACCESS_KEY"])
refused("AccessDeniedException", agent.complete_resource_token_auth, sessionUri=handle, userIdentifier={"userId": "user-7"})
refused("AccessDeniedException", binding.get_workload_access_token_for_user_id, workloadName="boto-agent", userId="user-7")
refused("AccessDeniedException", binding.get_resource_oauth2_token, **request)

control.delete_workload_identity(name="boto-agent")
refused("ResourceNotFoundException", control.get_workload_identity, name="boto-agent")
print("done")
sys.stdout.flush()
