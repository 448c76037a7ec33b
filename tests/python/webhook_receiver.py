"""A receiver of signed webhooks, by the specification's own library: webhook_receiver.py SECRET DIRECTORY

Prints its port. What it takes is appended to DIRECTORY/taken, a JSON object a request. DIRECTORY/mode says how it
behaves: `up`, `down` (503), `lost` (takes it and hangs up without an answer), `slow-down` (429).
"""
import json
import pathlib
import sys
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

# The clock of the tests is their own.
Webhook._Webhook__verify_timestamp = lambda _, at: datetime.fromtimestamp(float(at), tz=timezone.utc)

SECRET, DIRECTORY = sys.argv[1], pathlib.Path(sys.argv[2])


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        mode = (DIRECTORY / "mode").read_text().strip()
        if mode in ("down", "slow-down"):
            return self.answer(503 if mode == "down" else 429)
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            Webhook(SECRET).verify(body, headers, json_parse=False)
        except WebhookVerificationError as error:
            (DIRECTORY / "refused").write_text(str(error))
            return self.answer(401)
        taken = {
            "id": headers["webhook-id"],
            "repeated": headers["countersign-repeated"],
            "authorization": headers.get("authorization"),
            "events": [json.loads(line) for line in body.split("\n") if line],
        }
        with open(DIRECTORY / "taken", "a") as file:
            file.write(json.dumps(taken) + "\n")
        if mode == "lost":
            self.close_connection = True
            return None
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_address[1], flush=True)
server.serve_forever()
