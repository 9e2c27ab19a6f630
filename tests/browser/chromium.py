"""Opens the test page in the system's Chromium, unmodified and by default settings, clicks, and prints what the page
says: `python -m tests.browser.chromium LINK ...`, on the caller's machine. Each link has a page, all of them at once.

The page is served from 127.0.0.1, where a browser offers what it offers to a secure page alone (crypto.subtle).
"""

from __future__ import annotations

import contextlib
import http.server
import importlib.util
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any  # what a server gives its handlers
from urllib.parse import quote

PAGE = Path(__file__).with_name("page.html")
STEP_LIMIT_MS = 10_000
"""For each of: the start, the page, the calls."""


def why_not() -> str:
    """Why no browser can be driven here; "" where one can."""
    missing = [name for name in ("chromium",) if shutil.which(name) is None]
    missing += [name for name in ("playwright",) if importlib.util.find_spec(name) is None]
    return f"{', '.join(missing)} is not installed" if missing else ""


def said_by_the_pages(links: Sequence[str]) -> Iterator[str]:
    """JSON, for each link: what came of the call of each leg (page.html)."""
    from playwright.sync_api import sync_playwright

    with (
        served(PAGE) as address,
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"], timeout=STEP_LIMIT_MS
        ) as browser,
    ):
        pages = [browser.new_page() for _ in links]
        for page, link in zip(pages, links, strict=True):
            page.set_default_timeout(STEP_LIMIT_MS)
            page.goto(f"{address}#{quote(link, safe='')}")
            page.click("#call")
        for page in pages:
            yield page.locator("#said:not(:empty)").inner_text()


@contextlib.contextmanager
def served(page: Path) -> Iterator[str]:
    """The page's address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Pages, page.read_bytes())) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class _Pages(http.server.BaseHTTPRequestHandler):
    """The one page, under whatever path."""

    def __init__(self, page: bytes, *of_the_server: Any) -> None:  # as the server makes it
        self._page = page
        super().__init__(*of_the_server)

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self._page)))
        self.end_headers()
        self.wfile.write(self._page)

    def log_message(self, *_: object) -> None:
        """Says nothing: what this program prints is what the page said."""


if __name__ == "__main__":
    for said in said_by_the_pages(sys.argv[1:]):
        sys.stdout.write(said + "\n")
