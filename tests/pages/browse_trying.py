"""Signs in to the pages of a server in Chromium and tries the model that it serves, by keyboard alone; prints
what it found as JSON. Run by `test_beside_predictions.py`, with the Python of an environment that has
Playwright:

    python browse_trying.py ORDER

ORDER is JSON: `address`, `chromium`, `axe` (the path of axe.min.js, or ""), `pages` (`version`, its path),
`token`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from browse_charts import RULES, until
from playwright.sync_api import Page, sync_playwright

SAID = "document.querySelector('.answer').textContent"


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until this element has the focus."""
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("chosen => document.activeElement?.matches(chosen)", selector):
            return
    raise AssertionError(f"{page.url}: Tab does not lead to {selector}")


def predicted(page: Page, value: str) -> Any:
    """What the form says for this value of its first field, sent with Enter."""
    tab_to(page, "#try-1")
    page.keyboard.press("Control+A")
    page.keyboard.type(value)
    page.keyboard.press("Enter")
    until(page, f"{SAID}.length > 1")
    found = json.loads(page.evaluate(SAID))
    page.reload()
    return found


def axe(page: Page) -> list[str]:
    """What axe-core finds, if it is there."""
    if not order["axe"]:
        return []
    with open(order["axe"]) as file:
        page.evaluate(file.read())
    found = page.evaluate("rules => axe.run({runOnly: rules})", RULES)["violations"]
    return [f"{page.url}: {each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


def main() -> dict[str, Any]:
    troubles = list[str]()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=order["chromium"], args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 360, "height": 740}).new_page()
        page.on("pageerror", lambda each: troubles.append(f"{page.url}: {each}"))
        page.on("console", lambda each: said.append(each.text) if each.type in ("error", "warning") else None)
        said = list[str]()
        page.goto(address + order["pages"]["version"])  # which leads to the form to sign in
        troubles += axe(page)
        tab_to(page, "#token")
        page.keyboard.type(order["token"])
        page.keyboard.press("Enter")
        page.wait_for_selector("form.try")
        troubles += axe(page)
        found = {"right": predicted(page, "0.5"), "wrong": predicted(page, "half")}
        tab_to(page, "header button")
        page.keyboard.press("Enter")
        page.wait_for_selector("#token")
        browser.close()
    refused = [each for each in said if "401" in each or "422" in each or "400" in each]
    return found | {"troubles": troubles + [each for each in said if each not in refused]}


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    address = order["address"].rstrip("/")
    print(json.dumps(main()))
