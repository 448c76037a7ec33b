"""An issuer of access tokens for the gateway's tests, with the jwcrypto package. `NOW` is the gateway's time. The first
line of standard output is JSON: `port`, where the key set is, and `tokens` by name; a line on standard input replaces
the key, and the answer is a token of the new one.
"""
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from jwcrypto import jwk, jws, jwt

ISSUER = "https://issuer.example"


def main(now):
    key = jwk.JWK.generate(kty="RSA", size=2048, kid="one", use="sig", alg="RS256")
    other = jwk.JWK.generate(kty="RSA", size=2048, kid="one")
    elliptic = jwk.JWK.generate(kty="EC", crv="P-256", kid="ec")
    published = [key, elliptic]

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"keys": [json.loads(key.export_public()) for key in published]}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def token(key=key, header=None, **claims):
        all = {"iss": ISSUER, "exp": now + 300, "iat": now - 5, "sub": "program", "client_id": "batch", "scope": "read write"}
        all.update(claims)
        all = {name: value for name, value in all.items() if value is not None}
        made = jwt.JWT(header={"alg": "RS256", "kid": key["kid"], **(header or {})}, claims=all)
        made.make_signed_token(key)
        return made.serialize()

    def hmac_with_public_key():
        pem = key.export_to_pem()
        secret = jwk.JWK(kty="oct", k=jwk.base64url_encode(pem))
        signed = jws.JWS(json.dumps({"iss": ISSUER, "exp": now + 300, "client_id": "batch", "scope": "read"}))
        signed.add_signature(secret, None, json.dumps({"alg": "HS256", "kid": "one"}))
        return signed.serialize(compact=True)

    good = token()
    head, payload, signature = good.split(".")
    none = jwk.base64url_encode(json.dumps({"alg": "none", "kid": "one"}))
    tokens = {
        "good": good,
        "other_key": token(key=other),
        "elliptic": token(key=elliptic, header={"alg": "ES256"}),
        "pss": token(header={"alg": "PS256"}),
        "unknown_kid": token(header={"kid": "two"}),
        "none": f"{none}.{payload}.",
        "unsigned": f"{head}.{payload}.",
        "hmac": hmac_with_public_key(),
        "expired": token(exp=now - 1),
        "no_exp": token(exp=None),
        "not_yet": token(nbf=now + 60),
        "issued_later": token(iat=now + 60),
        "other_issuer": token(iss="https://evil.example"),
        "no_issuer": token(iss=None),
        "other_client": token(client_id="somebody"),
        "no_client": token(client_id=None),
        "listed_client": token(client_id=["batch"]),
        "other_scope": token(scope="readwrite"),
    }
    print(json.dumps({"port": server.server_port, "tokens": tokens}), flush=True)
    for _ in sys.stdin:
        new = jwk.JWK.generate(kty="RSA", size=2048, kid="new", use="sig", alg="RS256")
        published[:] = [new]
        print(token(key=new), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
