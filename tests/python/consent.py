"""A person without a screen: follows redirects, fills the playground's forms. Used by the client tests.

`consent(url, return_url)` gives the completion handle that the browser came back with, `answer` the whole URL.
"""
import html
import re
from urllib.parse import parse_qs, urljoin, urlsplit

import requests

PASSWORD = "countersign"


def fields(page):
    form = re.search(r"<form.*?</form>", page.text, re.S).group(0)
    action = re.search(r'action="([^"]*)"', form)
    values = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name = re.search(r'name="([^"]*)"', tag)
        value = re.search(r'value="([^"]*)"', tag)
        if name:
            values[name.group(1)] = html.unescape(value.group(1)) if value else ""
    return urljoin(page.url, html.unescape(action.group(1)) if action else ""), values


def consent(url, return_url, user="alice"):
    came_back = parse_qs(urlsplit(answer(url, return_url, user)).query)
    assert "error" not in came_back, came_back
    return came_back["session_id"][0], came_back.get("state", [None])[0]


def answer(url, return_url, user):
    browser = requests.Session()
    origin = "{0.scheme}://{0.netloc}".format

    def follow(response):
        while response.is_redirect:
            target = urljoin(response.url, response.headers["location"])
            if target.startswith(return_url):
                return target
            response = browser.get(target, allow_redirects=False)
        return response

    page = follow(browser.get(url, allow_redirects=False))
    for _ in range(6):
        if isinstance(page, str):
            return page
        action, values = fields(page)
        if 'name="password"' in page.text:
            values["username" if 'name="username"' in page.text else "login"] = user
            values["password"] = PASSWORD
        elif 'name="decision"' in page.text:
            values["decision"] = "allow"
        headers = {"origin": origin(urlsplit(page.url))}
        page = follow(browser.post(action, data=values, headers=headers, allow_redirects=False))
    raise AssertionError(f"no return to {return_url}")
