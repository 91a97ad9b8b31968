"""Drives the demo page in Chromium, where Playwright is: reads a job from its input, prints what it saw."""

from __future__ import annotations

import functools
import http.server
import json
import sys
import threading
from typing import Any

from playwright.sync_api import Page, sync_playwright

LABELS = "all => all.map(each => each.getAttribute('aria-label'))"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def served(folder: str) -> str:
    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/demo/index.html"


def seen(page: Page, file: str) -> dict[str, Any]:
    """Choose a file, open three levels of the tree with the keyboard, and say what is there then."""
    page.set_input_files("#file", file)
    page.wait_for_selector("#content:not([hidden]), #error:not(:empty)")
    for _ in range(3):
        for summary in page.query_selector_all("ul.tree details:not([open]) > summary")[:12]:
            summary.focus()
            page.keyboard.press("Enter")
        page.wait_for_timeout(150)
    for button in page.query_selector_all("td button")[:2]:
        button.focus()
        page.keyboard.press("Space")
    if page.query_selector("text=Verify every byte"):
        page.click("text=Verify every byte")
        page.wait_for_timeout(300)
    return {
        "status": page.text_content("#status"),
        "error": page.text_content("#error"),
        "text": page.text_content("#content"),
        "pictures": page.eval_on_selector_all("svg[role=img]", LABELS),
        "elements": page.evaluate("[...new Set([...document.querySelectorAll('*')].map(e => e.localName))]"),
        "pwned": page.evaluate("window.pwned ?? null"),
    }  # fmt: skip


def main() -> None:
    job = json.load(sys.stdin)
    address = served(job["folder"])
    answer: dict[str, Any] = {"console": [], "requests": [], "files": {}}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=job["chromium"], args=["--no-sandbox"])
        page = browser.new_page(color_scheme="light")
        page.on("console", lambda message: answer["console"].append(message.text))
        page.on("pageerror", lambda error: answer["console"].append(str(error)))
        page.goto(address)
        page.wait_for_timeout(300)
        page.keyboard.press("Tab")
        answer["first"] = page.evaluate("document.activeElement.id")
        page.on("request", lambda request: answer["requests"].append(request.url))
        answer["files"] = {name: seen(page, file) for name, file in job["files"].items()}
        page.emulate_media(color_scheme="dark")
        answer["dark"] = page.evaluate(BACKGROUND)
        page.emulate_media(color_scheme="light")
        answer["light"] = page.evaluate(BACKGROUND)
        said, asked = list(answer["console"]), list(answer["requests"])
        answer["fetched"] = page.evaluate(
            "fetch('/').then(() => true, () => false)"
        )  # which Chromium complains of
        browser.close()
    answer |= {"console": said, "requests": asked}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
