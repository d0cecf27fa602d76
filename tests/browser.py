"""Pages in a headless Chromium, Debian's: what a page says on its console, what it fetches, whether it can be read.

Where there is no Chromium these tests are skipped, but not in CI (CI=true), which installs it.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
REMEDY = "apt-get install chromium"
ENOUGH = 4.5  # contrast of text with what is behind it (WCAG 2.2, 1.4.3)

# Each visible text's contrast with the colours behind it, those of its ancestors laid over each other.
CONTRASTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const parse = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((value, i) => a * value + (1 - a) * under[i]);
  const luminance = colour => {
    const [r, g, b] = colour.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const chain = element => element ? [...chain(element.parentElement), element] : [];
  const page = matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement, said = texts.currentNode.data.trim();
    const box = element.getBoundingClientRect();
    if (!said || !element.checkVisibility({visibilityProperty: true}) || box.width < 2 || box.height < 2) continue;
    if (element.closest('script, style, noscript, option')) continue;
    let behind = page, opacity = 1;
    for (const one of chain(element)) {
      const style = getComputedStyle(one);
      opacity *= style.opacity;
      if (!(one instanceof SVGElement)) behind = over(parse(style.backgroundColor), behind);
    }
    const style = getComputedStyle(element);
    const [r, g, b, a] = parse(element instanceof SVGElement ? style.fill : style.color);
    const [light, dark] = [luminance(over([r, g, b, a * opacity], behind)), luminance(behind)].sort((x, y) => y - x);
    found.push({text: said.slice(0, 40), contrast: (light + 0.05) / (dark + 0.05)});
  }
  return found;
}"""


def find_chromium() -> str:
    """Path of the program; without one the test that asks is skipped, and fails in CI."""
    if program := next(filter(None, map(shutil.which, PROGRAMS)), None):
        return program
    reason = f"there is no Chromium here: {REMEDY}"
    return pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium():
    """A running browser (playwright's Browser), one a session."""
    program = find_chromium()
    from playwright.sync_api import sync_playwright  # not at the top: a machine lent for its GPU may lack it

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])  # root has no sandbox
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page that is being looked at.

    Attributes:
        page: playwright's.
        said: errors and warnings of its console, and exceptions of its scripts.
        outside: addresses of what it asked of another place than its own.
    """

    page: object
    said: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window: 0 where it need not be scrolled sideways."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def unreadable(self, enough: float = ENOUGH) -> list[dict]:
        """Visible texts whose contrast is less."""
        found = self.page.evaluate(CONTRASTS)
        assert found, "the page has no text"
        return [text for text in found if text["contrast"] < enough]


@contextlib.contextmanager
def visit(browser, address: str, *, width: int = 1280, height: int = 900, scheme: str = "light", **context
          ) -> Iterator[Visit]:
    """Open `address` (file:// or http://) in a window of its own that remembers nothing.

    Args:
        scheme: the colours that its reader prefers, "light" or "dark".
        context: more of playwright's settings for a window (`has_touch`, `reduced_motion`, ...).
    """
    window = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **context)
    page = window.new_page()
    seen = Visit(page)
    own = address if address.startswith("file:") else "/".join(address.split("/")[:3]) + "/"
    allowed = (own, own.replace("http", "ws", 1), "data:", "blob:", "about:")
    page.on("console", lambda line: line.type in ("error", "warning") and seen.said.append(line.text))
    page.on("pageerror", lambda error: seen.said.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith(allowed) or seen.outside.append(asked.url))
    try:
        page.goto(address)
        yield seen
    finally:
        window.close()
