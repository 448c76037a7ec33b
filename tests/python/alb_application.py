"""A FastAPI application written for an Application Load Balancer.

`verified` is the code of AWS's documentation ("Authenticate users using an Application Load Balancer", section "User
claims encoding and signature verification"), with the key host as the one thing that is configured. Usage:
alb_application.py PORT ALB_ARN KEY_HOST
"""

import base64
import json
import sys

import jwt
import requests
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import RedirectResponse

port, expected_alb_arn, key_host = sys.argv[1:]
app = FastAPI()


def verified(headers):
    # Step 1: Validate the signer
    encoded_jwt = headers["x-amzn-oidc-data"]
    jwt_headers = encoded_jwt.split(".")[0]
    decoded_jwt_headers = base64.b64decode(jwt_headers)
    decoded_jwt_headers = decoded_jwt_headers.decode("utf-8")
    decoded_json = json.loads(decoded_jwt_headers)
    received_alb_arn = decoded_json["signer"]
    assert expected_alb_arn == received_alb_arn, "Invalid Signer"

    # Step 2: Get the key id from JWT headers (the kid field)
    kid = decoded_json["kid"]

    # Step 3: Get the public key from regional endpoint
    url = key_host + "/" + kid
    req = requests.get(url, timeout=5)
    pub_key = req.text

    # Step 4: Get the payload
    return jwt.decode(encoded_jwt, pub_key, algorithms=["ES256"])


@app.get("/me")
def me(request: Request):
    try:
        payload = verified(request.headers)
    except (KeyError, ValueError, AssertionError, jwt.PyJWTError) as error:
        raise HTTPException(status_code=401, detail=type(error).__name__) from error
    return {
        "claims": payload,
        "identity": request.headers["x-amzn-oidc-identity"],
        "token": request.headers["x-amzn-oidc-data"],
        "accesstoken": request.headers["x-amzn-oidc-accesstoken"],
        "query": str(request.url.query),
    }


@app.get("/logout")
def logout():
    """As the same page of the documentation says: expire all the cookies."""
    response = RedirectResponse("/bye", status_code=302)
    for shard in range(4):
        response.set_cookie(f"AWSELBAuthSessionCookie-{shard}", "", max_age=-1, path="/")
    return response


@app.get("/bye")
def bye():
    return "logged out"


uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
