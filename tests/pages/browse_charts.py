"""Opens comparisons and curves in Chromium, and prints what it found as JSON. Run by
`test_curves_in_a_browser.py`, with the Python of an environment that has Playwright:

    python browse_charts.py ORDER

ORDER is JSON: `address`, `chromium`, `axe` (the path of axe.min.js, or ""), `pages` (paths by name), and
`pictures` (a folder, or "").
"""

from __future__ import annotations

import json
import sys
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LAST = "document.querySelector('tr.curve .last').textContent"


def opened(browser: Browser, troubles: list[str], scheme: str, width: int) -> Page:
    """A new page; whatever its console says is a trouble."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 860})
    page = context.new_page()
    page.on("console", lambda each: troubles.append(f"{page.url}: {each.type}: {each.text}"))
    page.on("pageerror", lambda each: troubles.append(f"{page.url}: {each}"))
    page.on("request", lambda each: troubles.append(each.url) if address not in each.url else None)
    return page


def until(page: Page, script: str) -> None:
    """Wait until a script is true: the policy of the pages lets no script wait in them."""
    for _ in range(800):
        if page.evaluate(script):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"{page.url}: never true: {script}")


def drawn(page: Page) -> None:
    """Wait until a page has what it draws."""
    until(page, "!document.querySelector('[data-progress]')")
    until(
        page, "document.querySelectorAll('.plot').length === document.querySelectorAll('.plot canvas').length"
    )


def looked_at(browser: Browser, troubles: list[str]) -> None:
    """Each page, light and wide, dark and narrow: nothing axe finds, no sideways scrolling."""
    for scheme, width in (("light", 1280), ("dark", 360)):
        page = opened(browser, troubles, scheme, width)
        for name, path in order["pages"].items():
            page.goto(address + path)
            drawn(page)
            over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if over > 0:
                troubles.append(f"{path}: {over} pixels too wide for {width}")
            if order["axe"]:
                with open(order["axe"]) as file:
                    page.evaluate(file.read())
                found = page.evaluate("rules => axe.run({runOnly: rules})", RULES)["violations"]
                troubles.extend(
                    f"{path} ({scheme}): {each['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
                    for each in found for node in each["nodes"]
                )  # fmt: skip
            if order["pictures"]:
                page.screenshot(path=f"{order['pictures']}/charts-{name}-{scheme}.png")
        page.context.close()


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until this element has the focus, which is visible there."""
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate("chosen => document.activeElement?.matches(chosen)", selector):
            style = "getComputedStyle(document.activeElement).outlineStyle"
            assert page.evaluate(style) != "none", f"{selector}: the focus is not visible"
            return
    raise AssertionError(f"{page.url}: Tab does not lead to {selector}")


def followed(browser: Browser, troubles: list[str]) -> str:
    """A run that trains: its table moves; zoom, smoothing and axis by keyboard alone, kept in the address."""
    page = opened(browser, troubles, "light", 1280)
    page.goto(address + "/curves/live")
    drawn(page)
    chosen = "document.querySelector('.u-select').getBoundingClientRect().width"
    assert page.evaluate(chosen) == 0, "without a choice, there is no mark of one"
    before = page.evaluate(LAST)
    until(page, f"{LAST} !== {json.dumps(before)}")
    until(page, "document.getElementById('live').textContent.startsWith('Live: live@')")
    for hidden, says in (("true", "Not live while it is not seen"), ("false", "Live: live@")):
        page.evaluate(f"Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }})")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        until(page, f"document.getElementById('live').textContent.startsWith({json.dumps(says)})")
    tab_to(page, "#smooth")
    page.keyboard.press("ArrowRight")
    until(page, "location.search.includes('smooth=')")
    tab_to(page, "#scale")
    page.keyboard.press("End")
    until(page, "location.search.includes('scale=log')")
    tab_to(page, "[data-zoom=in]")
    page.keyboard.press("Enter")
    until(page, "/^Steps/.test(document.getElementById('range').textContent)")
    box = page.locator(".u-over").first.bounding_box()
    assert box is not None
    seen = page.url
    page.mouse.move(box["x"] + 100, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 60, steps=4)
    page.mouse.up()
    until(page, f"location.href !== {json.dumps(seen)}")
    shared = page.url
    tab_to(page, "[data-zoom=all]")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('range').textContent === 'All steps.'")
    page.context.close()
    return shared


def compared(browser: Browser, troubles: list[str]) -> int:
    """The form of comparisons by keyboard; how many layers came."""
    page = opened(browser, troubles, "dark", 1280)
    page.goto(address + "/compare")
    tab_to(page, "#version-1")
    page.keyboard.type("m@1")
    tab_to(page, "#version-2")
    page.keyboard.type("m@2")
    page.keyboard.press("Enter")
    page.wait_for_url("**/compare/m@1?with=m*")
    drawn(page)
    layers = page.locator(".layer").count()
    page.context.close()
    return layers


def main() -> dict[str, Any]:
    troubles = list[str]()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=order["chromium"], args=["--no-sandbox"])
        looked_at(browser, troubles)
        found = {"shared": followed(browser, troubles), "layers": compared(browser, troubles)}
        browser.close()
    return {"troubles": troubles} | found


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    address = order["address"].rstrip("/")
    print(json.dumps(main()))
