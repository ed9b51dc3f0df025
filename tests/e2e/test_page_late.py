"""Answers that come late, in another order, or to nobody: what is shown stays that of the latest wish."""
import re

import pytest
from playwright.sync_api import expect

from browser import chromium, visit  # noqa: F401
from conftest import example
from holding import Held, settle

USER = "latecomer"


@pytest.fixture(scope="module")
def run(stack):
    """Two iterations, the first of which failed."""
    wid = stack.start_run(example("human-eval-065"), user=USER)
    stack.finish(wid, user=USER)
    return wid


def test_a_run_whose_request_comes_late_does_not_cover_the_next_view(visit, run):  # noqa: F811
    v = visit(user=USER)
    page = v.page
    held = Held(page, f"**/run_workflow/{run}/request")
    with page.expect_response(f"**/run_workflow/{run}"):
        page.evaluate("(id) => { location.hash = `#/run/${id}`; }", run)
    held.wait()
    settle(page)
    page.evaluate("() => { location.hash = '#/runs'; }")
    expect(page.locator("#runs > li")).not_to_have_count(0)
    settle(page)
    expect(page.locator("#run-title")).to_have_count(0)
    expect(page.locator("h1")).to_have_text("Your runs")
    assert page.title() == "Your runs · Azlon"


def test_a_run_that_could_not_be_shown_is_tried_again_once_and_from_its_heading(visit, run):  # noqa: F811
    v = visit(user=USER).allow(503)
    page, streams = v.page, []
    page.route(f"**/run_workflow/{run}", lambda route: route.fulfill(status=503, json={"detail": "Not now."}))
    v.go(f"/#/run/{run}")
    expect(page.get_by_role("heading", name="The run cannot be shown")).to_be_focused()
    page.unroute_all()
    page.on("request", lambda r: r.url.endswith("/events") and streams.append(r.url))
    page.get_by_role("button", name="Try again").evaluate("button => { button.click(); button.click(); }")
    v.becomes("Succeeded")
    expect(page.locator("#run-title")).to_be_focused()
    settle(page)
    assert len(streams) == 1
    # and whoever goes on while it is tried leaves nothing behind that nobody catches
    page.route(f"**/run_workflow/{run}", lambda route: route.fulfill(status=503, json={"detail": "Not now."}))
    page.reload()
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    page.unroute_all()
    held = Held(page, f"**/run_workflow/{run}")
    page.get_by_role("button", name="Try again").click()
    held.wait()
    v.go("/#/")
    settle(page)
