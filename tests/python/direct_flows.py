"""The flows without a browser, through boto3 and the `bedrock-agentcore` SDK's own decorator, with npm oidc-provider as
the authorization server.

Usage: direct_flows.py ISSUER
"""
import asyncio
import base64
import hashlib
import sys
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import boto3
import botocore.exceptions
import requests
from bedrock_agentcore.identity.auth import requires_access_token
from bedrock_agentcore.runtime import BedrockAgentCoreContext

import consent as person

ISSUER = sys.argv[1]
DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"
RETURN_URL = "http://localhost:9/callback"
PORTAL = "http://localhost:9/portal"
WORKLOAD = "direct-agent"
KEY = "arn:aws:kms:us-east-1:000000000000:key/{}1111111-2222-3333-4444-555555555555"
control = boto3.client("bedrock-agentcore-control")
data = boto3.client("bedrock-agentcore")


def provider(name, **members):
    control.create_oauth2_credential_provider(
        name=name, credentialProviderVendor="CustomOauth2",
        oauth2ProviderConfigInput={"customOauth2ProviderConfig": {
            "oauthDiscovery": {"discoveryUrl": DISCOVERY}, "clientId": name, **members}})


def signs(name, key, algorithm, **members):
    provider(name, clientAuthenticationMethod="PRIVATE_KEY_JWT", privateKeyJwtConfig={
        "privateKeySource": {"kmsKeySource": {"kmsKeyArn": KEY.format(key)}}, "signingAlgorithm": algorithm}, **members)


def person_token():
    """An ID token about Carol, who logs in at oidc-provider for the client `portal`."""
    verifier = "v" * 43
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    url = f"{ISSUER}/auth?" + urlencode({
        "client_id": "portal", "redirect_uri": PORTAL, "response_type": "code", "scope": "openid", "nonce": "n",
        "code_challenge": challenge, "code_challenge_method": "S256", "state": "s"})
    code = parse_qs(urlsplit(person.answer(url, PORTAL, "carol")).query)["code"][0]
    answer = requests.post(f"{ISSUER}/token", auth=("portal", "secret"), timeout=10, data={
        "grant_type": "authorization_code", "code": code, "redirect_uri": PORTAL, "code_verifier": verifier})
    return answer.json()["id_token"]


def decorated(name, flow, **more):
    @requires_access_token(provider_name=name, scopes=["api:read"], auth_flow=flow, **more)
    async def agent(*, access_token):
        return access_token

    return asyncio.run(agent())


control.create_workload_identity(name=WORKLOAD, allowedResourceOauth2ReturnUrls=[RETURN_URL])
metadata = requests.get(DISCOVERY, timeout=10).json()
assert "pushed_authorization_request_endpoint" in metadata, "metadata of a server of this decade"

provider("basic", clientSecret="a secret: of the client %+&")
provider("post", clientSecret="secret", clientAuthenticationMethod="CLIENT_SECRET_POST")
signs("rs256", 1, "RS256")
signs("ps256", 1, "PS256")
signs("es256", 2, "ES256")

alone = data.get_workload_access_token(workloadName=WORKLOAD)["workloadAccessToken"]
BedrockAgentCoreContext.set_workload_access_token(alone)
for name in ["basic", "post", "rs256", "ps256", "es256"]:
    token = decorated(name, "M2M")
    assert token and token == decorated(name, "M2M"), f"{name}: kept until it expires"
    answer = data.get_resource_oauth2_token(
        workloadIdentityToken=alone, resourceCredentialProviderName=name, scopes=["api:read"], oauth2Flow="M2M")
    assert answer["accessToken"] == token, name
provider("nobody", clientSecret="secret")
try:
    data.get_resource_oauth2_token(
        workloadIdentityToken=alone, resourceCredentialProviderName="nobody", scopes=[], oauth2Flow="M2M")
    raise AssertionError("a client that the provider does not know")
except botocore.exceptions.ClientError as error:
    assert error.response["Error"]["Code"] == "ValidationException", error
    assert "invalid_client" in str(error), error

exchange = {"grantType": "TOKEN_EXCHANGE"}
provider("exchange", clientSecret="secret", onBehalfOfTokenExchangeConfig=exchange)
signs("acting", 2, "ES256", onBehalfOfTokenExchangeConfig={
    **exchange, "tokenExchangeGrantTypeConfig": {"actorTokenContent": "M2M", "actorTokenScopes": ["api:read"]}})
provider("assertion", clientSecret="secret", onBehalfOfTokenExchangeConfig={"grantType": "JWT_AUTHORIZATION_GRANT"})
carol = data.get_workload_access_token_for_jwt(workloadName=WORKLOAD, userToken=person_token())["workloadAccessToken"]
BedrockAgentCoreContext.set_workload_access_token(carol)
for name, expected in [
    ("exchange", "carol-by-exchange"), ("acting", "carol-by-acting-acting"), ("assertion", "carol-by-assertion"),
]:
    assert decorated(name, "ON_BEHALF_OF_TOKEN_EXCHANGE") == expected, name

links = []
try:
    decorated("basic", "USER_FEDERATION", callback_url=RETURN_URL, on_auth_url=links.append,
              token_poller=type("Once", (), {"poll_for_token": lambda self: asyncio.sleep(0, "polled")})())
finally:
    assert links and "/identities/oauth2/authorize?request_uri=" in links[0], links
print("done")
