"""The address of the page is that of what is shown, whatever an earlier view has still under way."""
import re

import pytest
from playwright.sync_api import expect

from browser import chromium, visit  # noqa: F401
from holding import run_that_is_over

USER = "stroller"


@pytest.fixture(scope="module")
def run(stack):
    return run_that_is_over(stack, USER)


def shows_the_form(v):
    expect(v.page.locator("#prompt")).to_be_visible()
    expect(v.page).to_have_url(re.compile(r"/#/$"))
    v.page.reload()
    expect(v.page.locator("#prompt")).to_be_visible()


def test_a_list_of_files_that_never_came_moves_nobody(visit, run):  # noqa: F811
    v = visit(user=USER)
    page, held = v.page, []
    page.route(f"**/files/{run}*", lambda route: held.append(route))
    with page.expect_request(f"**/files/{run}*"):
        v.shows_run(run)
    v.go("/#/")
    expect(page.locator("#prompt")).to_be_visible()
    # what waited for the list is told that nobody does any more
    page.evaluate("async () => { for (let i = 0; i < 3; i++) await new Promise((r) => setTimeout(r)); }")
    shows_the_form(v)


def test_a_click_just_before_the_next_page_does_not_bring_back_the_last(visit, run):  # noqa: F811
    v = visit(user=USER)
    page = v.shows_run(run).page
    expect(page.locator(".file", has_text="solution.py")).to_be_visible()
    # the address has changed, the view has not yet: an answer that comes now is as late as this click
    page.evaluate("() => { location.hash = '#/'; document.querySelector('.file').click(); }")
    shows_the_form(v)


def test_an_address_with_a_file_shows_it_and_a_shorter_one_the_run(visit, run):  # noqa: F811
    v = visit(user=USER)
    page = v.page
    v.go(f"/#{run}?file=solution.py")
    expect(page.locator("#preview pre")).to_contain_text("intersection")
    page.locator("#of-iteration").select_option("1")
    expect(page).to_have_url(re.compile(rf"/#/run/{run}\?file=solution\.py&iteration=1$"))
    page.go_back()
    expect(page.locator("#prompt")).to_be_visible()
    page.go_forward()
    expect(page.locator("#of-iteration")).to_have_value("1")
