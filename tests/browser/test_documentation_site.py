"""The site that `make docs` has built, in a real browser, on a phone and on a desk."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from support.browser import Tab, open_browser

SITE = Path(__file__).parent.parent.parent / ".site"
WIDTHS = {"phone": 390, "desk": 1440}
BEYOND = """
  Math.max(...Array.from(document.querySelectorAll('html, .content'))
    .map(part => part.scrollWidth - part.clientWidth))
"""
"""How many pixels the page, or the theme's column of text, is wider than its window."""
PAGES = sorted(
    str(path.relative_to(SITE))
    for path in SITE.rglob("*.html")
    if path.name not in {"search.html", "genindex.html"}
)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """A server of the site's files on this machine."""
    app = web.Application()
    app.router.add_static("/", SITE)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    """A tab of a new browser."""
    async with open_browser(tmp_path / "profile") as opened:
        yield opened


async def set_width(tab: Tab, width: int) -> None:
    """Let the tab be as wide as a device."""
    await tab.ask(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=844,
        deviceScaleFactor=1,
        mobile=width < 800,
    )


def test_there_is_a_site() -> None:
    assert "index.html" in PAGES, "run make docs"
    assert len(PAGES) > 50


@pytest.mark.timeout(600)
async def test_no_page_is_wider_than_the_window(tab: Tab, address: str) -> None:
    """Wide tables and blocks scroll within themselves. All pictures are shown."""
    wide, broken = [], []
    for page in PAGES:
        await tab.open(f"{address}/{page}")
        for device, width in WIDTHS.items():
            await set_width(tab, width)
            if (beyond := await tab.evaluate(BEYOND)) > 0:
                wide.append(f"{page} on a {device}: {beyond} pixels")
        broken += await tab.evaluate(
            "Array.from(document.images).filter(image => !image.naturalWidth)"
            ".map(image => image.src)"
        )
    assert wide == []
    assert broken == []
    assert tab.complaints == []
    outside = [url for url in tab.requests if not url.startswith((address, "data:"))]
    assert outside == []


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
async def test_the_search_finds_a_section_and_leads_to_it(
    tab: Tab, address: str, width: int
) -> None:
    """The index is part of the site, and its results are pages that exist."""
    await tab.open(f"{address}/search.html?q=finalizer")
    await set_width(tab, width)
    found = await tab.evaluate(
        """
        new Promise(done => {
          const look = () => {
            const links = document.querySelectorAll('#search-results li a');
            const text = document.querySelector('#search-results .search-summary');
            if (links.length && text && text.textContent.includes('found'))
              done(Array.from(links).map(link => link.href));
            else setTimeout(look, 50);
          };
          look();
        })
        """
    )
    pages = [url.removeprefix(f"{address}/").partition("#")[0] for url in found]
    assert "concepts/deletion.html" in {page.partition("?")[0] for page in pages}
    assert {page.partition("?")[0] for page in pages} <= set(PAGES)


async def test_a_phone_has_the_navigation_behind_a_button(
    tab: Tab, address: str
) -> None:
    """It is out of sight until the button is pressed, and then leads to all guides."""
    await tab.open(f"{address}/index.html")
    await set_width(tab, WIDTHS["phone"])
    left = "document.querySelector('.sidebar-drawer').getBoundingClientRect().right"
    assert await tab.evaluate(left) <= 0
    await tab.evaluate("document.querySelector('.nav-overlay-icon').click()")
    shown = await tab.evaluate(
        f"new Promise(done => setTimeout(() => done({left}), 1000))"
    )
    assert shown > 0
    texts = await tab.evaluate(
        "Array.from(document.querySelectorAll('.sidebar-tree a')).map(a => a.innerText)"
    )
    assert {"How-to guides", "Questions", "The kinds and their fields"} <= set(texts)
