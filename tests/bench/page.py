"""bench.py page: how soon a fresh browser can use the page, and what it takes over the wire."""
import os
import statistics

import browser
from playwright.sync_api import sync_playwright

VISITS = 5


def visits(s, b):
    took, sizes = [], []
    for _ in range(VISITS):
        v = browser.Visit(b, s, None)
        wire, got = v.context.new_cdp_session(v.page), []
        wire.send("Network.enable")
        wire.on("Network.loadingFinished", lambda e, got=got: got.append(e["encodedDataLength"]))
        v.go("/")
        took.append(v.page.evaluate("() => performance.getEntriesByName('azlon-ready')[0].startTime"))
        v.page.wait_for_load_state("networkidle")
        sizes.append(sum(got))
        v.close()
    return took, sizes


def measure(s, row):
    if not browser.program():
        print("page: skipped, no Chromium here")
        return
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=browser.program(), args=browser.ARGS, chromium_sandbox=os.geteuid() != 0)
        took, sizes = visits(s, b)
        b.close()
    row("page, a fresh browser", "usable <= 1 s, < 120 KiB", max(took) <= 1000 and max(sizes) < 120 << 10,
        f"usable after {statistics.median(took):.0f} ms (longest {max(took):.0f}), {max(sizes) / 1024:.0f} KiB", f"Chromium, a new context, GET /, {VISITS} times")
