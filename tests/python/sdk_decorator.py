"""A function under the `bedrock-agentcore` SDK's own `requires_access_token`, unchanged.

The SDK makes its local workload identity without return URLs, so one is made first and named in its local file. A
scripted person consents while the SDK polls.
"""
import asyncio
import json
import os
import threading

import boto3

RETURN_URL = "http://localhost:9/callback"
control = boto3.client("bedrock-agentcore-control")
data = boto3.client("bedrock-agentcore")
control.create_workload_identity(name="sdk-agent", allowedResourceOauth2ReturnUrls=[RETURN_URL])
with open(".agentcore.json", "w") as file:
    json.dump({"workload_identity_name": "sdk-agent", "user_id": "sdk-user"}, file)

from bedrock_agentcore.identity.auth import requires_access_token, requires_api_key  # noqa: E402  (reads its endpoints at import)

from consent import consent  # noqa: E402


def person(url):
    handle, _ = consent(url, RETURN_URL)
    data.complete_resource_token_auth(sessionUri=handle, userIdentifier={"userId": "sdk-user"})


@requires_access_token(
    provider_name=os.environ["COUNTERSIGN_PROVIDER"],
    scopes=["issues:read"],
    auth_flow="USER_FEDERATION",
    callback_url=RETURN_URL,
    force_authentication=True,
    on_auth_url=lambda url: threading.Thread(target=person, args=(url,)).start(),
)
async def agent(*, access_token):
    assert access_token
    return "done"


control.create_api_key_credential_provider(name="sdk-key", apiKey="sk-sdk")


@requires_api_key(provider_name="sdk-key", into="key")
async def with_key(*, key):
    assert key == "sk-sdk"


asyncio.run(with_key())
print(asyncio.run(agent()))
