"""The page of `znp report` in a real browser: `make test-browser`."""

import re
import statistics
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from support.browser import Tab, open_browser
from support.settings import mails
from zitadel_notification_operator.auditing.ledger import (
    Author,
    AuthorKind,
    Change,
    Held,
    Source,
)
from zitadel_notification_operator.auditing.page import render_page
from zitadel_notification_operator.auditing.report import Report
from zitadel_notification_operator.auditing.standing import Standing
from zitadel_notification_operator.core.identity import Capabilities, Identity, User
from zitadel_notification_operator.core.policy import Organization
from zitadel_notification_operator.core.policy_events import LogStart

ROWS = 1000
TIME = "2026-11-30T01:41:04.857717Z"
EVIL = [
    '<img src="http://outside.example/x.png" onerror="alert(1)">',
    "</style><script>alert(1)</script>",
    '"><link rel=stylesheet href=//outside.example/x.css>',
    "\u202egpj.exe",
    "山田 Ümläut عربي " + "x" * 150,
]
A4 = (595, 842)
"""Points, 72 of which are an inch."""


def report(rows: int) -> Report:
    """Return a report on many organizations with names that users might choose."""
    anna = Author(AuthorKind.USER, User("281000000000000002", "Anna Schmidt"))
    evil = Author(AuthorKind.USER, User("281000000000000003", EVIL[0]))
    names = [f"Organization {n}" for n in range(rows - len(EVIL))] + EVIL
    organizations = [
        Standing(
            Organization(str(280000000000000000 + n), name),
            Source.INHERITED if n % 3 else Source.OWN,
            mails(bool(n % 5)),
            TIME,
            anna if n % 50 else evil,
        )
        for n, name in enumerate(names)
    ]
    changes = [
        Change(
            TIME,
            n,
            str(280000000000000000 + n),
            name,
            Held(Source.OWN, mails(True)),
            Held(Source.OWN, mails(False)),
            anna,
        )
        for n, name in enumerate(names)
    ]
    return Report(
        "https://zitadel.example.com",
        Identity("280", "v4.7.0", User("281", "auditor"), Capabilities()),
        datetime(2026, 11, 30, tzinfo=UTC),
        datetime(2026, 10, 31, tzinfo=UTC),
        LogStart(TIME, is_complete=False),
        Standing(None, Source.OWN, mails(True), TIME, anna),
        tuple(organizations),
        tuple(changes),
    )


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    """A tab that shows the page, from a server that serves nothing else."""
    source = "".join(render_page(report(ROWS)))

    async def serve(request: web.Request) -> web.Response:
        if request.path != "/report.html":
            raise web.HTTPNotFound
        return web.Response(text=source, content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with open_browser(tmp_path / "profile") as opened:
            await opened.open(f"http://127.0.0.1:{port}/report.html")
            yield opened
    finally:
        await runner.cleanup()


async def test_the_page_loads_nothing_and_complains_of_nothing(tab: Tab) -> None:
    """The browser asks for the page itself, and the console stays empty."""
    kept = [url for url in tab.requests if not url.startswith("data:")]
    assert len(kept) == 1
    assert kept[0].endswith("/report.html")
    assert tab.complaints == []
    assert await tab.evaluate("document.scripts.length") == 0
    assert await tab.evaluate("document.images.length") == 0
    shown = await tab.evaluate("document.body.innerText")
    assert all(name in shown for name in EVIL[:3])


async def test_a_thousand_rows_stay_usable(tab: Tab) -> None:
    """The headings stay in sight, nothing is cut off, and scrolling does not stall."""
    assert await tab.evaluate("document.querySelectorAll('tbody tr').length") > 2 * ROWS
    heads = await tab.evaluate(
        """
        Array.from(document.querySelectorAll('table')).map(table => {
          const row = table.tBodies[0].rows[table.tBodies[0].rows.length - 1];
          row.scrollIntoView({block: 'center'});
          return table.tHead.rows[0].cells[0].getBoundingClientRect().top;
        })
        """
    )
    assert len(heads) == 3
    assert heads == [0, 0, 0]
    overflow = "document.documentElement.scrollWidth - innerWidth"
    for width in (1280, 800, 400):
        await tab.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=False,
        )
        assert await tab.evaluate(overflow) <= 0, width
    took = []
    for place in range(10):
        begun = time.monotonic()
        await tab.evaluate(
            f"scrollTo(0, document.body.scrollHeight * {place} / 10);"
            "new Promise(done => requestAnimationFrame(() => done(1)))"
        )
        took.append(time.monotonic() - begun)
    assert statistics.median(took) < 0.5


async def test_it_can_be_read_aloud(tab: Tab) -> None:
    """The browser's own tree for screen readers has the tables with their captions."""
    await tab.ask("Accessibility.enable")
    tree = await tab.ask("Accessibility.getFullAXTree")
    tables = [
        node["name"]["value"]
        for node in tree["nodes"]
        if node.get("role", {}).get("value") == "table"
    ]
    assert tables[0] == "Organizations for which mails are off"
    assert tables[1].startswith("What is in force")
    assert tables[2].startswith("Changes since 2026-10-31")
    roles = [node.get("role", {}).get("value") for node in tree["nodes"]]
    assert roles.count("columnheader") == 15
    assert roles.count("rowheader") > 2 * ROWS


async def test_it_prints_on_a4(tab: Tab) -> None:
    """With the headings on each page, and in black and white."""
    await tab.ask("Emulation.setEmulatedMedia", media="print")
    style = "getComputedStyle(document.querySelector('{}')).{}"
    assert await tab.evaluate(style.format("thead", "display")) == "table-header-group"
    assert await tab.evaluate(style.format(".off", "textDecorationLine")) == "underline"
    document = await tab.pdf()
    assert document.startswith(b"%PDF-")
    pages = re.findall(rb"/Type /Page\b", document)
    boxes = {
        tuple(round(float(n)) for n in box.split())
        for box in re.findall(rb"/MediaBox \[([^\]]+)\]", document)
    }
    assert boxes == {(0, 0, *A4)}
    assert 20 < len(pages) < 200
