"""A workload that signs in with a token of its issuer, through boto3's own credential chain; and everybody who must not.

Usage: web_identity.py ISSUER AUDIENCE. `COUNTERSIGN` is the binary, `ADMIN` the variables of an admin, as JSON.
"""
import datetime
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

import boto3
import requests
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from jwcrypto import jwk, jwt

ISSUER, AUDIENCE = sys.argv[1:]
ENDPOINT = os.environ["AWS_ENDPOINT_URL_STS"]
ROLE = "arn:aws:iam::000000000000:role/"
key = jwk.JWK.generate(kty="RSA", size=2048, kid="one", use="sig", alg="RS256")
stranger = jwk.JWK.generate(kty="RSA", size=2048, kid="one")
fetched = []


class Keys(BaseHTTPRequestHandler):
    """OpenID Connect Discovery and the key set, as a Kubernetes API server has them."""

    def do_GET(self):
        fetched.append(self.path)
        documents = {
            "/.well-known/openid-configuration": {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"},
            "/keys": {"keys": [json.loads(key.export_public())]},
        }
        body = json.dumps(documents[self.path]).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def token(key=key, **claims):
    now = int(time.time())
    all = {"iss": ISSUER, "aud": [AUDIENCE], "sub": "repo:acme/nightly", "iat": now, "exp": now + 600}
    all.update(claims)
    made = jwt.JWT(header={"alg": "RS256", "kid": "one"}, claims={n: v for n, v in all.items() if v is not None})
    made.make_signed_token(key)
    return made.serialize()


def admin(*arguments):
    environment = {**json.loads(os.environ["ADMIN"]), "PATH": os.environ["PATH"]}
    ran = subprocess.run([os.environ["COUNTERSIGN"], *arguments], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def refused(code, call, **arguments):
    try:
        answer = call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, (arguments, error.response)
        assert error.response["ResponseMetadata"]["RequestId"], "every answer has its id"
        return error.response["Error"]["Message"]
    raise AssertionError(f"{arguments} was answered: {answer}")


def chain():
    """The default chain finds the token by the variables that EKS and CI systems set."""
    with open("token", "w") as file:
        file.write(token())
    os.environ.update(
        AWS_WEB_IDENTITY_TOKEN_FILE=os.path.abspath("token"), AWS_ROLE_ARN=f"{ROLE}batch", AWS_ROLE_SESSION_NAME="nightly-1")
    session = boto3.Session()
    me = session.client("sts").get_caller_identity()
    assert me["Arn"] == "arn:aws:sts::000000000000:assumed-role/batch/nightly-1", me
    assert me["Account"] == "000000000000" and me["UserId"].endswith(":nightly-1"), me
    control = session.client("bedrock-agentcore-control")
    assert control.get_workload_identity(name="nightly")["name"] == "nightly"
    message = refused("AccessDeniedException", control.create_workload_identity, name="another")
    assert "assumed-role/batch/nightly-1" in message, message
    return session.get_credentials().get_frozen_credentials()


def borrowed(frozen):
    """A session token is of one access key, is whole, and is nothing without its signature."""
    def control(access_key=frozen.access_key, secret=frozen.secret_key, session=frozen.token):
        client = boto3.client("bedrock-agentcore-control", aws_access_key_id=access_key, aws_secret_access_key=secret,
                              aws_session_token=session)
        return lambda **_: client.get_workload_identity(name="nightly")

    assert control()()["name"] == "nightly"
    refused("UnrecognizedClientException", control(access_key="ASIA" + "A" * 16))
    refused("InvalidSignatureException", control(secret="x" * 40))
    refused("UnrecognizedClientException", control(session=None))
    middle = len(frozen.token) // 2
    flipped = "A" if frozen.token[middle] != "A" else "B"
    refused("UnrecognizedClientException", control(session=frozen.token[:middle] + flipped + frozen.token[middle + 1:]))
    refused("UnrecognizedClientException", control(session="111111111111" + frozen.token[12:]))
    presigned = boto3.client("sts", aws_access_key_id=frozen.access_key, aws_secret_access_key=frozen.secret_key,
                             aws_session_token=frozen.token).generate_presigned_url("get_caller_identity", HttpMethod="GET")
    answer = requests.get(presigned, timeout=10)
    assert "assumed-role/batch/nightly-1" in answer.text, (presigned, answer.text)
    assert requests.get(presigned[:-1] + ("0" if presigned[-1] != "0" else "1"), timeout=10).status_code == 403


def nobody_else():
    sts = boto3.client("sts", config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}))

    def assume(code, role="batch", session="s-1", web_identity=None, **more):
        return refused(code, sts.assume_role_with_web_identity, RoleArn=ROLE + role, RoleSessionName=session,
                       WebIdentityToken=web_identity or token(), **more)

    unknown = assume("AccessDenied", role="nobody")
    assert unknown == assume("AccessDenied", role="untrusting") == assume("AccessDenied", role="other"), "told apart"
    assert unknown == assume("AccessDenied", web_identity=token(aud="another")), "told apart"
    assume("AccessDenied", web_identity=token(sub="repo:acme"))
    for wrong in [token(key=stranger), token(sub=None), token(exp=None), token(nbf=int(time.time()) + 600), "a.b.c",
                  token().rsplit(".", 1)[0] + "."]:
        assume("InvalidIdentityToken", web_identity=wrong)
    long = token(padding="x" * 12_500)
    assert 16_384 < len(long) < 20_000
    assert "at most 16384 bytes" in assume("ValidationError", web_identity=long)
    assume("ExpiredTokenException", web_identity=token(exp=int(time.time()) - 60))
    before = len(fetched)
    assume("InvalidIdentityToken", web_identity=token(iss="http://localhost:9/evil"))
    assert len(fetched) == before
    assume("ValidationError", DurationSeconds=7201)
    assume("ValidationError", role="ba/tch")
    assume("MalformedInput", Policy="{}")
    post = {"Version": "2011-06-15", "Action": "AssumeRoleWithWebIdentity", "RoleArn": f"{ROLE}batch",
            "RoleSessionName": "s-1", "WebIdentityToken": token()}
    assert requests.get(ENDPOINT, params=post, timeout=10).status_code == 405, "no token in a URL"
    assert requests.post(ENDPOINT, data=[*post.items(), ("RoleArn", f"{ROLE}other")], timeout=10).status_code == 400
    for changed in [{"Action": "GetSessionToken"}, {"Version": "2010-05-08"}, {"DurationSeconds": "899"},
                    {"DurationSeconds": "1e3"}, {"RoleSessionName": "x"}, {"RoleSessionName": "a b"}, {"RoleArn": ""}]:
        answer = requests.post(ENDPOINT, data={**post, **changed}, timeout=10)
        assert answer.status_code == 400, (changed, answer.text)
    got = sts.assume_role_with_web_identity(
        RoleArn=f"{ROLE}batch", RoleSessionName="s-2", WebIdentityToken=token(), DurationSeconds=900)
    left = got["Credentials"]["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    assert 880 < left.total_seconds() <= 900 and got["Audience"] == AUDIENCE and got["Provider"] == ISSUER, got
    assert got["SubjectFromWebIdentityToken"] == "repo:acme/nightly", got


def withdrawn(frozen):
    """What the role may, it may now: a stop, a narrower trust and its deletion reach sessions that are out already."""
    client = boto3.client("bedrock-agentcore-control", aws_access_key_id=frozen.access_key,
                          aws_secret_access_key=frozen.secret_key, aws_session_token=frozen.token)
    sts = boto3.client("sts", config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}))
    once = {"RoleArn": f"{ROLE}batch", "RoleSessionName": "s-3"}

    def after_a_second(code):
        time.sleep(1.2)
        refused(code, client.get_workload_identity, name="nightly")

    admin("principal", "stop", "batch", "--reason", "a test")
    after_a_second("AccessDeniedException")
    refused("AccessDenied", sts.assume_role_with_web_identity, WebIdentityToken=token(), **once)
    admin("principal", "start", "batch")
    time.sleep(1.2)
    assert client.get_workload_identity(name="nightly")["name"] == "nightly"
    with open("narrow.json", "w") as file:
        trusted = [{"issuer": ISSUER, "audience": AUDIENCE, "subject": "repo:acme/weekly"}]
        json.dump({"trusted": trusted, "maxSessionDuration": 3600}, file)
    admin("principal", "update", "batch", "--trust-policy", "narrow.json")
    after_a_second("UnrecognizedClientException")


server = HTTPServer(("localhost", urlsplit(ISSUER).port), Keys)
threading.Thread(target=server.serve_forever, daemon=True).start()
frozen = chain()
borrowed(frozen)
nobody_else()
withdrawn(frozen)
print("done")
