"""Registers npm oidc-provider as a CustomOauth2 provider through boto3, and uses it.

Usage: custom_provider.py register NAME DISCOVERY_URL CLIENT_ID CLIENT_SECRET    prints the callback URL
       custom_provider.py flow NAME                                              does it all, its person without a screen
       custom_provider.py start NAME RETURN_URL                                  prints the authorization URL
       custom_provider.py complete NAME RETURN_URL HANDLE SESSION_URI            prints whom the token speaks for
`start` and `complete` print JSON.
"""
import json
import sys

import boto3
import requests

from consent import consent

WORKLOAD = "custom-agent"
USER = "u"
control = boto3.client("bedrock-agentcore-control")
data = boto3.client("bedrock-agentcore")


def register(name, discovery, client_id, client_secret):
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


def token(name, return_url, **more):
    wat = data.get_workload_access_token_for_user_id(workloadName=WORKLOAD, userId=USER)["workloadAccessToken"]
    return data.get_resource_oauth2_token(
        workloadIdentityToken=wat, resourceCredentialProviderName=name, scopes=["openid", "profile"],
        oauth2Flow="USER_FEDERATION", resourceOauth2ReturnUrl=return_url, **more)


def begin(name, return_url):
    control.create_workload_identity(name=WORKLOAD, allowedResourceOauth2ReturnUrls=[return_url])
    pending = token(name, return_url)
    assert "accessToken" not in pending, pending
    return {member: pending[member] for member in ("authorizationUrl", "sessionUri")}


def flow(name):
    return_url = "http://localhost:9/callback"
    pending = begin(name, return_url)
    handle, _ = consent(pending["authorizationUrl"], return_url, user="carol")
    data.complete_resource_token_auth(sessionUri=handle, userIdentifier={"userId": USER})
    assert token(name, return_url, sessionUri=pending["sessionUri"])["accessToken"]
    print("done")


def start(name, return_url):
    print(json.dumps(begin(name, return_url)))


def complete(name, return_url, handle, session_uri):
    data.complete_resource_token_auth(sessionUri=handle, userIdentifier={"userId": USER})
    polled = token(name, return_url, sessionUri=session_uri)["accessToken"]
    assert polled == token(name, return_url)["accessToken"], "the vault serves what the poll gave"
    provider = control.get_oauth2_credential_provider(name=name)
    configured = provider["oauth2ProviderConfigOutput"]["customOauth2ProviderConfig"]["oauthDiscovery"]
    discovered = requests.get(configured["discoveryUrl"], timeout=10).json()
    answer = requests.get(discovered["userinfo_endpoint"], headers={"authorization": f"Bearer {polled}"}, timeout=10)
    print(json.dumps({"userinfo": answer.json()}))


{"register": register, "flow": flow, "start": start, "complete": complete}[sys.argv[1]](*sys.argv[2:])
