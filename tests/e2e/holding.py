"""For tests of the page: answers that wait until they are let go, in any order; callers who come and go."""
import time

import pytest

from conftest import example
from identity import KeyServer, SignedInStack

ALL = "runs:read,runs:write,files:read,files:write"  # what a key may do that may do all


def turn(page):
    """What the browser had to do until now is done."""
    page.evaluate("() => new Promise((r) => setTimeout(r))")


def settle(page):
    """An answer goes through several hands before all of it is shown."""
    for _ in range(8):
        turn(page)


class Held:
    """Requests that get no answer before they are let go. those(request): which of the pattern."""

    def __init__(self, page, pattern, those=lambda request: True):
        self.page, self.routes = page, []
        page.route(pattern, lambda route: self.routes.append(route) if those(route.request) else route.fallback())

    def wait(self, n=1, within=15):
        end = time.monotonic() + within
        while len(self.routes) < n:
            assert time.monotonic() < end, f"{len(self.routes)} of {n} requests came"
            turn(self.page)
        return self

    def let_go(self, n=0, **answer):
        """The n-th of those that wait: answered so, else by the server; the page has dealt with it."""
        route = self.routes.pop(n)
        with self.page.expect_event("requestfinished", lambda r: r == route.request):
            if answer:
                route.fulfill(**answer)
            else:
                route.continue_()
        settle(self.page)


def run_that_is_over(stack, user, name="human-eval-127"):
    wid = stack.start_run(example(name), user=user)
    stack.finish(wid, user=user)
    return wid


@pytest.fixture(scope="module")
def signed_in():
    keys = KeyServer()
    s = SignedInStack(keys)
    s.start()
    yield s
    s.close()
    keys.close()


def sign_in(page, secret):
    page.locator("#who").click()
    page.locator("#token").fill(secret)
    page.get_by_role("button", name="Save").click()


def sign_out(page):
    page.locator("#who").click()
    page.get_by_role("button", name="Sign out").click()
