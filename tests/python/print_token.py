"""Prints a workload access token and an access token, each on a line, for the canary test."""
import os

import boto3

from consent import consent

RETURN_URL = "http://localhost:9/callback"
control = boto3.client("bedrock-agentcore-control")
data = boto3.client("bedrock-agentcore")
control.create_workload_identity(name="canary-agent", allowedResourceOauth2ReturnUrls=[RETURN_URL])
wat = data.get_workload_access_token_for_user_id(workloadName="canary-agent", userId="u")["workloadAccessToken"]
request = dict(workloadIdentityToken=wat, resourceCredentialProviderName=os.environ["COUNTERSIGN_PROVIDER"],
               scopes=["issues:read"], oauth2Flow="USER_FEDERATION", resourceOauth2ReturnUrl=RETURN_URL)
pending = data.get_resource_oauth2_token(**request)
handle, _ = consent(pending["authorizationUrl"], RETURN_URL)
data.complete_resource_token_auth(sessionUri=handle, userIdentifier={"userId": "u"})
print(wat)
print(data.get_resource_oauth2_token(**request, sessionUri=pending["sessionUri"])["accessToken"])
