"""An agent in Python behind Countersign's gateway: FastAPI, the `bedrock-agentcore` SDK unchanged, and any model that
speaks OpenAI's protocol.

It asks the identity service for a token each time a tool needs one, and keeps none. Who the person is, it takes from the
gateway's header alone; the identity service verifies that header, so a request without a true one gets no further.
"""

import asyncio
import contextvars
import json
import os
from urllib.parse import parse_qs, urlsplit

import httpx
from bedrock_agentcore.identity.auth import requires_access_token
from bedrock_agentcore.runtime import BedrockAgentCoreContext
from bedrock_agentcore.services.identity import IdentityClient, TokenPoller
from botocore.exceptions import ClientError
from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import FileResponse, StreamingResponse
from openai import AsyncOpenAI, OpenAIError
from pydantic import BaseModel, Field

WORKLOAD = os.environ.get("COUNTERSIGN_WORKLOAD", "dev-agent")
PROVIDER = os.environ.get("COUNTERSIGN_PROVIDER", "ledgerline")
SCOPES = ["issues:read"]
APP_URL = os.environ["COUNTERSIGN_APP_URL"]
ACCOUNT_URL = os.environ["COUNTERSIGN_ACCOUNT_URL"]
RETURN_URL = ACCOUNT_URL + "/oauth2/session-binding"
LEDGERLINE = os.environ.get("LEDGERLINE_URL", "http://127.0.0.1:8404")
MODEL = os.environ.get("MODEL", "gpt-4o-mini")
MOST_STEPS = 8

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "list_issues",
            "description": "The person's own issues in Ledgerline, a small issue tracker.",
            "parameters": {
                "type": "object",
                "properties": {"state": {"type": "string", "enum": ["open", "closed"]}},
                "required": ["state"],
            },
        },
    }
]

app = FastAPI()
model = AsyncOpenAI()  # OPENAI_BASE_URL and OPENAI_API_KEY
identity = IdentityClient(os.environ["AWS_REGION"])
# Where the events of the request under way go: the SDK's decorator knows of no request.
events: contextvars.ContextVar[asyncio.Queue] = contextvars.ContextVar("events")
# The authorization session that the person has been sent to.
session: contextvars.ContextVar[str] = contextvars.ContextVar("session")


class Invocation(BaseModel):
    message: str = Field(min_length=1, max_length=16_000)


def tell(event: str, **data) -> None:
    events.get().put_nowait(f"event: {event}\ndata: {json.dumps(data)}\n\n")


class NotConnected(Exception):
    """There will be no token: the person said no, or did not answer in time."""


def send_to_consent(url: str) -> None:
    """The link goes from the identity service to the page, never through the model; and it leads to our own pages only."""
    if not url.startswith(ACCOUNT_URL + "/"):
        raise NotConnected
    session.set(parse_qs(urlsplit(url).query)["request_uri"][0])
    tell("consent", provider=PROVIDER, scopes=SCOPES, url=url)


class UntilDecided(TokenPoller):
    """Asks for the token until the person has decided. The SDK's own knows a yes only; after a no it asks on for minutes."""

    async def poll_for_token(self) -> str:
        async with asyncio.timeout(600):
            while True:
                await asyncio.sleep(1)
                answer = await asyncio.to_thread(
                    identity.dp_client.get_resource_oauth2_token,
                    resourceCredentialProviderName=PROVIDER,
                    scopes=SCOPES,
                    oauth2Flow="USER_FEDERATION",
                    resourceOauth2ReturnUrl=RETURN_URL,
                    workloadIdentityToken=BedrockAgentCoreContext.get_workload_access_token(),
                    sessionUri=session.get(),
                )
                if token := answer.get("accessToken"):
                    return token
                # Another session: what the person gave was taken back before it was fetched.
                if answer.get("sessionStatus") == "FAILED" or answer.get("sessionUri", session.get()) != session.get():
                    raise NotConnected


@requires_access_token(
    provider_name=PROVIDER,
    scopes=SCOPES,
    auth_flow="USER_FEDERATION",
    callback_url=RETURN_URL,
    on_auth_url=send_to_consent,
    token_poller=UntilDecided(),
)
async def list_issues(state: str, *, access_token: str) -> list[dict]:
    async with httpx.AsyncClient(timeout=10) as ledgerline:
        answer = await ledgerline.get(
            f"{LEDGERLINE}/api/issues",
            params={"state": state},
            headers={"authorization": f"Bearer {access_token}"},
        )
    answer.raise_for_status()
    return [{name: issue[name] for name in ("key", "title", "state")} for issue in answer.json()["issues"]]


async def call(name: str, arguments: str) -> str:
    """A tool's result for the model; what goes wrong is a result, too."""
    try:
        if name != "list_issues":
            return json.dumps({"error": "there is no such tool"})
        return json.dumps(await list_issues(json.loads(arguments)["state"]))
    except (ValueError, KeyError, TypeError):
        return json.dumps({"error": "the arguments are not as described"})
    except (NotConnected, TimeoutError):
        return json.dumps({"error": "consent_declined", "message": "The person did not agree. Say so, and do not try again."})
    except (httpx.HTTPError, ClientError) as error:
        return json.dumps({"error": f"not done: {type(error).__name__}"})


async def answer(message: str) -> None:
    messages = [{"role": "user", "content": message}]
    for _ in range(MOST_STEPS):
        reply = (await model.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)).choices[0].message
        if not reply.tool_calls:
            return tell("message", text=reply.content or "")
        messages.append(reply.model_dump(exclude_none=True))
        for wanted in reply.tool_calls:
            tell("tool", name=wanted.function.name, state="started")
            content = await call(wanted.function.name, wanted.function.arguments)
            messages.append({"role": "tool", "tool_call_id": wanted.id, "content": content})
    tell("error", message="The model took too many steps, so the agent stopped.")


async def turn(message: str, token: str) -> None:
    # Both are this task's own: two people at once do not meet.
    BedrockAgentCoreContext.set_workload_access_token(token)
    try:
        await answer(message)
    except OpenAIError:
        tell("error", message="The model gave no usable answer.")
    finally:
        tell("done")
        events.get().put_nowait(None)


@app.post("/invocations")
async def invocations(invocation: Invocation, x_countersign_user_token: str = Header(), origin: str = Header("")):
    # The person's session comes with every request of their browser, also one that another page of the same site makes.
    if origin != APP_URL:
        raise HTTPException(403, "not asked by this agent's own page")
    try:
        wat = await asyncio.to_thread(
            identity.get_workload_access_token, WORKLOAD, user_token=x_countersign_user_token
        )
    except ClientError as error:
        raise HTTPException(401, "the person cannot be recognised") from error
    queue: asyncio.Queue = asyncio.Queue()
    events.set(queue)
    task = asyncio.create_task(turn(invocation.message, wat["workloadAccessToken"]))

    async def stream():
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            task.cancel()

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.get("/ping")
def ping():
    return "ok"


@app.get("/")
def page():
    return FileResponse(os.path.join(os.path.dirname(__file__), "page.html"))
