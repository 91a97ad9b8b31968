"""Opens pages in Chromium, as people do, and prints what it found as JSON. Run by
`test_in_a_browser.py`, with the Python of an environment that has Playwright:

    python browse.py ORDER

ORDER is JSON: `address`, `chromium`, `axe` (the path of axe.min.js, or ""), `pages` (by name), `pictures`
(a folder, or ""), `act` (whether to tag and delete by keyboard), `once` (to look at each page once).
"""

from __future__ import annotations

import json
import sys
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

SIZES = {"wide": (1280, 860), "narrow": (360, 740)}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def opened(browser: Browser, troubles: list[str], scheme: str, size: tuple[int, int]) -> Page:
    """A new page; whatever its console says is a trouble."""
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce"
    )
    page = context.new_page()
    page.on("console", lambda each: troubles.append(f"{page.url}: {each.type}: {each.text}"))
    page.on("pageerror", lambda each: troubles.append(f"{page.url}: {each}"))
    page.on("request", lambda each: troubles.append(each.url) if address not in each.url else None)
    return page


def beyond(page: Page) -> int:
    """By how many pixels a page is too wide, once its charts had time to be drawn anew for its width."""
    for _ in range(200):
        over = int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))
        if over <= 0:
            break
        page.wait_for_timeout(25)
    return over


def looked_at(browser: Browser, troubles: list[str]) -> None:
    """Each page, wide and narrow: no error, no sideways scrolling, nothing axe finds."""
    looks = (("light", "wide"), ("dark", "wide" if order["pictures"] else "narrow"))
    for scheme, size in looks[: 1 if order["once"] else 2]:
        page = opened(browser, troubles, scheme, SIZES[size])
        for name, path in order["pages"].items():
            page.goto(address + path, timeout=600_000)
            if order["axe"]:
                troubles.extend(f"{path} ({scheme}): {each}" for each in axe(page))
            if order["pictures"]:
                page.screenshot(path=f"{order['pictures']}/pages-{name}-{scheme}.png")
            for pixels in SIZES.values():
                page.set_viewport_size({"width": pixels[0], "height": pixels[1]})
                over = beyond(page)
                if over > 0:
                    troubles.append(f"{path}: {over} pixels too wide for {pixels[0]}")
            page.set_viewport_size({"width": SIZES[size][0], "height": SIZES[size][1]})
        page.context.close()


def until(page: Page, script: str) -> None:
    """Wait until a script is true: the policy of the pages lets no script wait in them."""
    for _ in range(400):
        if page.evaluate(script):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"{page.url}: never true: {script}")


def axe(page: Page) -> list[str]:
    """What axe-core finds. It is run by the debugger, which the policy of the page does not bind."""
    with open(order["axe"]) as file:
        page.evaluate(file.read())
    found = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


def tab_to(page: Page, selector: str, most: int = 120) -> None:
    """Press Tab until this element has the focus, which is visible there."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("chosen => document.activeElement?.matches(chosen)", selector):
            style = "getComputedStyle(document.activeElement).outlineStyle"
            assert page.evaluate(style) != "none", f"{selector}: the focus is not visible"
            return
    raise AssertionError(f"{page.url}: Tab does not lead to {selector}")


def by_keyboard(browser: Browser, troubles: list[str]) -> None:
    """Find a model, read a version, tag it, label it, and delete it, with the keyboard alone."""
    page = opened(browser, troubles, "light", SIZES["wide"])
    page.goto(address + "/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main", "the first Tab skips to the content"
    page.goto(address + "/")
    tab_to(page, "#text")
    page.keyboard.type("net", delay=10)
    until(page, "document.querySelectorAll('#found tbody tr').length === 1")
    assert "text=net" in page.url, "what was found can be shared"
    assert page.evaluate("document.activeElement.id") == "text", "the search keeps the focus"
    tab_to(page, "#found th a")
    page.keyboard.press("Enter")
    page.wait_for_url("**/model/team/net")
    tab_to(page, "th a[href*='version/']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/version/team/net@4")
    tab_to(page, "#tag-field")
    page.keyboard.type("tried")
    page.keyboard.press("Enter")
    page.wait_for_selector("#tags .tag:has-text('tried')")
    tab_to(page, "button[data-copy]")
    page.keyboard.press("Enter")
    until(page, "/Copied|Selected/.test(document.querySelector('[data-copied]').textContent)")
    tab_to(page, "#notes summary")
    page.keyboard.press("Enter")
    tab_to(page, "#notes-field")
    page.keyboard.type("noted <b>by keyboard</b>")
    tab_to(page, "#notes details button")
    page.keyboard.press("Enter")
    page.wait_for_selector(".note:has-text('<b>by keyboard</b>')")
    tab_to(page, "a.danger", 400)
    page.keyboard.press("Enter")
    page.wait_for_url("**/delete/team/net@4")
    tab_to(page, "button.danger")
    page.keyboard.press("Enter")
    page.wait_for_url("**/model/team/net")
    assert page.locator("text=3 versions").count() >= 1
    page.context.close()


def without_scripts(browser: Browser, troubles: list[str]) -> None:
    """Search works where scripts do not run."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address + "/")
    page.fill("#text", "tuned")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?*text=tuned*")
    assert page.locator("#found tbody tr").count() == 1
    context.close()


def painted(browser: Browser, troubles: list[str]) -> dict[str, float]:
    """Milliseconds to the first paint of each page, in a browser that is warm."""
    page, found = opened(browser, troubles, "light", SIZES["wide"]), {}
    for name, path in order["pages"].items():
        for _ in range(3):
            page.goto(address + path, timeout=600_000)
            until(page, "performance.getEntriesByName('first-contentful-paint').length > 0")
            script = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            found[name] = page.evaluate(script)
    return found


def main() -> dict[str, Any]:
    troubles = list[str]()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=order["chromium"], args=["--no-sandbox"])
        looked_at(browser, troubles)
        paints = {} if order["once"] else painted(browser, troubles)
        if order["act"]:
            without_scripts(browser, troubles)
            by_keyboard(browser, troubles)
        browser.close()
    return {"troubles": troubles, "paints": paints}


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    address = order["address"].rstrip("/")
    print(json.dumps(main()))
