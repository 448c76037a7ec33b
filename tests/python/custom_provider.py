"""Registers npm oidc-provider as a CustomOauth2 provider through boto3.

Usage: custom_provider.py register NAME DISCOVERY_URL CLIENT_ID CLIENT_SECRET   prints the callback URL
       custom_provider.py flow NAME                                            consents and prints the account
"""
import os
import sys

import boto3

from consent import consent

RETURN_URL = "http://localhost:9/callback"
control = boto3.client("bedrock-agentcore-control")
data = boto3.client("bedrock-agentcore")

if sys.argv[1] == "register":
    name, discovery, client_id, client_secret = sys.argv[2:]
    made = control.create_oauth2_credential_provider(
        name=name,
        credentialProviderVendor="CustomOauth2",
        oauth2ProviderConfigInput={"customOauth2ProviderConfig": {
            "oauthDiscovery": {"discoveryUrl": discovery}, "clientId": client_id, "clientSecret": client_secret}},
    )
    assert made["clientSecretArn"]["secretArn"], made
    got = control.get_oauth2_credential_provider(name=name)
    assert client_secret not in str(got), "the secret never comes back"
    print(made["callbackUrl"])
else:
    name = sys.argv[2]
    control.create_workload_identity(name="custom-agent", allowedResourceOauth2ReturnUrls=[RETURN_URL])
    wat = data.get_workload_access_token_for_user_id(workloadName="custom-agent", userId="u")["workloadAccessToken"]
    request = dict(workloadIdentityToken=wat, resourceCredentialProviderName=name, scopes=["openid", "profile"],
                   oauth2Flow="USER_FEDERATION", resourceOauth2ReturnUrl=RETURN_URL)
    pending = data.get_resource_oauth2_token(**request)
    handle, _ = consent(pending["authorizationUrl"], RETURN_URL, user="carol")
    data.complete_resource_token_auth(sessionUri=handle, userIdentifier={"userId": "u"})
    assert data.get_resource_oauth2_token(**request, sessionUri=pending["sessionUri"])["accessToken"]
    assert data.get_resource_oauth2_token(**request)["accessToken"]
    print("done")
