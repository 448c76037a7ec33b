"""One call of boto3 for the provider `github` of a simulated vendor.

Usage: simulated_vendor.py ask              prints the access token, or the URL at which it is consented to
       simulated_vendor.py complete HANDLE  what a session binding page does
"""
import os
import sys

import boto3

USER = "simulated-user"
data = boto3.client("bedrock-agentcore")

if sys.argv[1] == "complete":
    data.complete_resource_token_auth(sessionUri=sys.argv[2], userIdentifier={"userId": USER})
else:
    wat = data.get_workload_access_token_for_user_id(
        workloadName=os.environ["COUNTERSIGN_WORKLOAD"], userId=USER)["workloadAccessToken"]
    answer = data.get_resource_oauth2_token(
        workloadIdentityToken=wat, resourceCredentialProviderName="github", scopes=["repo", "read:user"],
        oauth2Flow="USER_FEDERATION",
        resourceOauth2ReturnUrl=os.environ["COUNTERSIGN_ACCOUNT_URL"] + "/oauth2/session-binding")
    print(answer.get("accessToken") or answer["authorizationUrl"])
