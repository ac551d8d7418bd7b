"""Accessibility checks of a page with axe-core."""

from importlib.resources import files

from playwright.sync_api import Page

_AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page: Page) -> list[tuple[str, list[str]]]:
    """Return (rule, the beginning of the elements that break it) of the page as it is now.

    Frames are left out: they hold what strangers wrote.
    """
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(_AXE)
    found = page.evaluate("rules => axe.run({runOnly: rules, iframes: false, resultTypes: ['violations']})", _RULES)
    return [(v["id"], [node["html"][:160] for node in v["nodes"]][:4]) for v in found["violations"]]
