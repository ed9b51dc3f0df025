"""A real Chromium for the tests of the page, and what every visit keeps: no script error, nothing that the
policy of the page had to stop, no request to another host, no route that the contract does not have."""
import os
import shutil
import urllib.parse

import pytest
from playwright.sync_api import expect, sync_playwright

import openapi
from conftest import ROOT, Stack

SHOTS = ROOT / "build/screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome-stable")
ARGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
RUN_S = 120000  # ms for a run on a busy machine

expect.set_options(timeout=15000)


def program():
    return os.environ.get("AZLON_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Visit:
    """A browser of its own (nothing kept of another), as one user."""

    def __init__(self, browser, stack, path="/", user="visitor", **how):
        self.stack, self.user, self.url = stack, user, stack.url
        self.context = browser.new_context(base_url=stack.url, **how)
        if user:
            self.context.add_init_script(f"localStorage.getItem('azlon.user') ?? localStorage.setItem('azlon.user', '{user}')")
        self.page = self.context.new_page()
        self.errors, self.foreign, self.unknown, self.failed = [], [], [], []
        self.allowed = set()
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("dialog", lambda d: (self.errors.append(f"a dialog: {d.message}"), d.dismiss()))
        self.page.on("console", self._console)
        self.page.on("request", self._request)
        self.page.on("response", self._response)
        if path is not None:
            self.go(path)

    def _console(self, message):
        # a refused request is looked at as a response
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)

    def _request(self, request):
        at = urllib.parse.urlsplit(request.url)
        if at.scheme in ("data", "blob"):
            return
        if f"{at.scheme}://{at.netloc}" != self.url:
            self.foreign.append(request.url)

    def _response(self, response):
        at, method = urllib.parse.urlsplit(response.url), response.request.method
        if response.status >= 400:
            self.failed.append((response.status, f"{method} {at.path}"))
        path = urllib.parse.unquote(at.path)
        if path.startswith(("/run_workflow", "/files/")) and response.status < 400 and not openapi.operation(method, path):
            self.unknown.append(f"{method} {path}")

    def allow(self, *statuses):
        """Answers that this test is about."""
        self.allowed.update(statuses)
        return self

    def go(self, path):
        self.page.goto(path)
        self.page.wait_for_selector("#main[data-ready]")
        return self

    def shot(self, name):
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(SHOTS / f"{name}.png"), full_page=True)

    def shows_run(self, wid):
        self.go(f"/#/run/{wid}")
        self.page.wait_for_selector("#run-title")
        return self

    # ---- what a person does ----

    def fill_example(self, title):
        self.page.get_by_role("button", name=title).click()
        expect(self.page.get_by_role("button", name="Start the run")).to_be_focused()

    def start(self):
        self.page.get_by_role("button", name="Start the run").click()
        self.page.wait_for_url("**/#/run/*")
        self.page.wait_for_selector("#run-title")
        return self.page.url.split("/#/run/")[1].split("?")[0]

    def becomes(self, word, within=RUN_S):
        expect(self.page.locator("#badge")).to_contain_text(word, timeout=within)

    def close(self):
        self.context.close()
        assert not self.errors, self.errors
        assert not self.foreign, self.foreign
        assert not self.unknown, self.unknown
        bad = [f for f in self.failed if f[0] not in self.allowed]
        assert not bad, bad


@pytest.fixture(scope="module")
def chromium():
    if not program():
        pytest.skip("no Chromium here: setup.sh test installs Debian's; AZLON_CHROMIUM names another")
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=program(), args=ARGS, chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, request):
    """visit(path, user=, stack=, **how) → Visit; what each must keep is checked in the end."""
    made = []

    def go(path="/", stack=None, **how):
        made.append(Visit(chromium, stack or request.getfixturevalue("stack"), path, **how))
        return made[-1]

    yield go
    for v in made:
        v.close()


def has_route(method, path):
    """Is it in the contract of this build?"""
    return openapi.operation(method, path) is not None


def scripted_stack(scripts, **extra):
    """A stack whose model answers from a directory of scripts, whatever it is asked."""
    return Stack(AZLON_RECORDINGS=str(scripts), AZLON_RECORD=str(scripts), **extra)
