"""A person in front of a browser without a screen, in a network namespace: asks the agent, logs in, consents.

Usage: ecs_person.py APP_URL AUTHORITIES STATE USER MESSAGE
       ecs_person.py APP_URL AUTHORITIES STATE USER --watch SECONDS

The first says MESSAGE to the agent, does what pages ask for, and prints JSON: the pages that were seen and the answer.
The second asks for the agent's page all the time, once more where that fails, and prints how often both failed. STATE
keeps the cookies between calls.
"""

import json
import pickle
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests

from consent import PASSWORD, fields

app, authorities, state, user, *rest = sys.argv[1:]

browser = requests.Session()
browser.verify = authorities
if Path(state).exists():
    browser.cookies = pickle.loads(Path(state).read_bytes())
seen = []
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "accept": "text/html"}


def follow(response):
    while response.is_redirect:
        target = urljoin(response.url, response.headers["location"])
        response = browser.get(target, headers=NAVIGATION, allow_redirects=False, timeout=30)
    where = urlsplit(response.url)
    seen.append(f"{response.status_code} {where.scheme}://{where.netloc}{where.path}")
    return response


def go(url):
    return follow(browser.get(url, headers=NAVIGATION, allow_redirects=False, timeout=30))


def post(page, name, value):
    action, values = fields(page)
    if 'name="password"' in page.text:
        values["username" if 'name="username"' in page.text else "login"] = user
        values["password"] = PASSWORD
    if name:
        values[name] = value
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(page.url))
    headers = NAVIGATION | {"origin": origin, "sec-fetch-site": "same-origin"}
    return follow(browser.post(action, data=values, headers=headers, allow_redirects=False, timeout=30))


def through(page):
    """Through the forms of login, start, consent and binding, to a page without one of these."""
    for _ in range(8):
        if 'name="password"' in page.text:
            page = post(page, None, None)
        elif 'name="decision"' in page.text:
            page = post(page, "decision", "allow")
        elif 'id="confirm-binding"' in page.text or "/interaction/" in page.url:
            page = post(page, None, None)
        else:
            return page
    raise AssertionError(f"no end: {seen}")


def ask(message):
    page = through(go(app + "/"))
    assert page.status_code == 200 and 'id="message"' in page.text, f"{seen}\n{page.text[:2000]}"
    headers = {"origin": app, "accept": "text/event-stream", "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors",
               "sec-fetch-dest": "empty"}
    body = {"message": message, "sessionId": f"s{time.time_ns()}"}
    answer = browser.post(app + "/invocations", json=body, headers=headers, stream=True, timeout=60)
    assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
    said, events, consenting, failed = [], [], None, []

    def consent(url):
        try:
            last = through(go(url))
            events.append("connected" if last.status_code == 200 else f"refused: {last.status_code} {last.text[:1000]}")
        except Exception as error:
            failed.append(repr(error))

    kind = None
    for line in answer.iter_lines():
        name, _, value = line.decode().partition(": ")
        if name == "event":
            kind = value
        if name != "data":
            continue
        event = json.loads(value)
        if kind == "consent":
            events.append("consent")
            consenting = threading.Thread(target=consent, args=[event["url"]])
            consenting.start()
        elif kind == "message":
            said.append(event["text"])
        elif kind == "error":
            events.append(f"error {event['code']}: {event['message']}")
    if consenting:
        consenting.join(60)
    Path(state).write_bytes(pickle.dumps(browser.cookies))
    print(json.dumps({"seen": seen, "events": events + failed, "answer": "".join(said)}))


def watch(seconds):
    """Each request once more if it fails, as browsers and SDKs do."""
    asked, repeated, lost, until = 0, 0, [], time.monotonic() + seconds
    while time.monotonic() < until:
        asked += 1
        for attempt in range(2):
            try:
                answer = browser.get(app + "/", headers=NAVIGATION, allow_redirects=False, timeout=20)
                if answer.status_code == 200:
                    break
                fault = f"{answer.status_code} {answer.headers.get('location', '')}"
            except requests.RequestException as error:
                fault = repr(error)
            if attempt:
                lost.append(fault)
            else:
                repeated += 1
                # Long enough for a load balancer to see it (1 s, three times).
                time.sleep(4)
        time.sleep(0.02)
    print(json.dumps({"asked": asked, "repeated": repeated, "lost": lost}))


if rest[0] == "--watch":
    watch(float(rest[1]))
else:
    ask(rest[0])
