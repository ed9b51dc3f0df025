"""What is left stays left: an earlier caller, an earlier view, a dialog that was open over it."""
import re

import pytest
from playwright.sync_api import expect

from browser import chromium, visit  # noqa: F401
from conftest import example
from holding import ALL, Held, run_that_is_over, settle, sign_in, sign_out, signed_in  # noqa: F401

USER = "leaver"
SLOW = {"name": "slow.csv", "mimeType": "text/csv", "buffer": b"a,b\n1,2\n"}


@pytest.fixture(scope="module")
def runs(stack):
    return [run_that_is_over(stack, USER) for _ in range(2)]


def goes_to(page, address):
    page.evaluate("(to) => { location.hash = to; }", address)


def removal_under_way(page):
    """A request that belongs to no view."""
    page.locator("#files").set_input_files([SLOW])
    expect(page.locator("#inputs .tick")).to_have_count(1)
    held = Held(page, "**/files/inputs/*")
    page.get_by_role("button", name="Remove slow.csv").click()
    return held.wait()


def test_what_an_earlier_caller_is_told_says_nothing_of_this_one(visit, signed_in):  # noqa: F811
    v = visit(stack=signed_in, user=None).allow(401)
    page = v.page
    key = signed_in.api_key("alice", ALL)["key"]
    sign_in(page, key)
    held = removal_under_way(page)
    sign_out(page)
    expect(page.locator("#who")).to_contain_text("Signed out")
    # what alice asked for last was done
    held.let_go()
    expect(page.locator("#who")).to_contain_text("Signed out")
    page.unroute_all()
    sign_in(page, key)
    held = removal_under_way(page)
    # or was refused, when somebody else is there already
    sign_in(page, signed_in.keys.token("bob"))
    expect(page.locator("#who")).to_contain_text("bob")
    held.let_go(status=401, json={"code": "unauthorized", "detail": "Not that key."})
    expect(page.locator("#who")).to_contain_text("bob")


def test_a_sign_out_while_a_file_is_on_its_way_leaves_nothing_of_the_form(visit, signed_in):  # noqa: F811
    v = visit(stack=signed_in, user=None).allow(401)
    page = v.page
    sign_in(page, signed_in.api_key("alice", ALL)["key"])
    page.locator("#prompt").fill("What nobody else is to read")
    held = Held(page, "**/files/inputs")
    page.locator("#files").set_input_files([SLOW])
    held.wait()
    sign_out(page)
    expect(page.locator("#prompt")).to_have_value("")
    settle(page)
    assert "nobody else" not in page.evaluate("() => JSON.stringify(sessionStorage)")
    page.reload()
    expect(page.locator("#prompt")).to_have_value("")


def test_an_example_that_comes_late_changes_no_other_form(visit, runs):  # noqa: F811
    v = visit(user=USER)
    page = v.page
    held = Held(page, "**/seattle-weather.csv")
    page.get_by_role("button", name="Four years of weather").click()
    held.wait()
    v.shows_run(runs[0])
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator("#prompt")).to_have_value(re.compile("intersection"))
    sent = []
    page.on("request", lambda r: r.method == "POST" and sent.append(r.url))
    held.let_go()
    expect(page.locator("#prompt")).to_have_value(re.compile("intersection"))
    assert not sent, "nothing is uploaded for a form that is gone"
    page.reload()
    expect(page.locator("#prompt")).to_have_value(re.compile("intersection"))


def walks(v, runs):
    """From one run to the other."""
    v.shows_run(runs[0])
    expect(v.page.locator("#run-id")).to_have_text(runs[0])
    goes_to(v.page, f"#/run/{runs[1]}")
    expect(v.page.locator("#run-id")).to_have_text(runs[1])
    return v.page


def test_a_question_about_a_run_is_not_asked_over_another(visit, runs, stack):  # noqa: F811
    page = walks(visit(user=USER), runs)
    page.get_by_role("button", name="Delete …").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.go_back()
    expect(page.locator("#run-id")).to_have_text(runs[0])
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("button, yes, method", [("Fork …", "Start the fork", "POST"), ("Delete …", "Delete", "DELETE")])
def test_whoever_went_on_is_not_called_back(visit, runs, button, yes, method):  # noqa: F811
    page = walks(visit(user=USER), runs)
    held = Held(page, re.compile(f"/run_workflow/{runs[1]}(/fork)?$"), lambda request: request.method == method)
    page.get_by_role("button", name=button).click()
    page.get_by_role("dialog").get_by_role("button", name=yes, exact=True).click()
    held.wait()
    page.go_back()
    expect(page.locator("#run-id")).to_have_text(runs[0])
    held.let_go(status=202, json={"workflow_id": runs[1]})
    expect(page.locator("#run-id")).to_have_text(runs[0])
    expect(page).to_have_url(re.compile(f"/#/run/{runs[0]}$"))
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_page_that_was_laid_aside_knows_of_a_sign_out(visit, signed_in):  # noqa: F811
    """Browsers show it again as it was when somebody goes back to it, past the one where they signed out."""
    wid = signed_in.start_run(example("human-eval-127"), user=USER)
    signed_in.finish(wid, user=USER)
    v = visit(stack=signed_in, user=None).allow(401)
    page = v.page
    sign_in(page, signed_in.api_key(USER, ALL)["key"])
    v.shows_run(wid)
    page.evaluate("() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    settle(page)
    expect(page.locator("#run-title")).to_be_visible()
    page.evaluate("() => { sessionStorage.clear(); dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })); }")
    expect(page.locator("#who")).to_contain_text("Signed out")
    expect(page.locator("#run-title")).to_have_count(0)


def test_modules_that_did_not_come_are_asked_for_again(visit, runs):  # noqa: F811
    v = visit(None, user=USER)
    page = v.page
    page.route("**/timeline.js", lambda route: route.abort())
    with page.expect_event("requestfailed", lambda r: r.url.endswith("/timeline.js")):
        v.go("/")
    settle(page)
    goes_to(page, f"#/run/{runs[0]}")
    expect(page.get_by_role("heading", name="This page cannot be shown")).to_be_visible()
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    v.becomes("Succeeded")
