"""Answers that come late, in another order, or to nobody: what is shown stays that of the latest wish."""
import re

import pytest
from playwright.sync_api import expect

from browser import chromium, visit  # noqa: F401
from conftest import ROOT, example
from holding import Held, run_that_is_over, settle

USER = "latecomer"


@pytest.fixture(scope="module")
def run(stack):
    """Two iterations, the first of which failed."""
    return run_that_is_over(stack, USER, "human-eval-065")


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


@pytest.fixture(scope="module")
def weather(stack):
    """With files of several kinds."""
    body = example("weather")
    r = stack.post("/files/inputs", user=USER, files={"file": ("seattle-weather.csv", (ROOT / "nginx/html/seattle-weather.csv").read_bytes())})
    wid = stack.start_run({**body, "inputs": [r.json()["input_id"]]}, user=USER)
    stack.finish(wid, user=USER)
    return wid


def opens(page, name):
    page.locator(".file", has_text=name).click()


def test_a_table_that_comes_late_says_nothing_over_the_next_file(visit, weather):  # noqa: F811
    v = visit(user=USER)
    page = v.shows_run(weather).page
    held = Held(page, f"**/files/{weather}/summary.csv")
    opens(page, "summary.csv")
    held.wait()
    opens(page, "main.py")
    expect(page.locator("#preview pre")).to_contain_text("strptime")
    held.let_go()
    expect(page.locator("#preview h3")).to_have_text("main.py")
    expect(page.locator("#preview pre")).to_contain_text("strptime")
    expect(page.get_by_role("button", name="As text")).to_have_count(0)


def test_a_link_is_shown_with_the_file_that_it_opens(visit, weather):  # noqa: F811
    v = visit(user=USER)
    page = v.shows_run(weather).page
    opens(page, "summary.csv")
    held = Held(page, f"**/files/{weather}/links")
    page.get_by_role("button", name="Link for others").click()
    held.wait()
    opens(page, "main.py")
    expect(page.locator("#preview pre")).to_contain_text("strptime")
    held.let_go()
    expect(page.get_by_label("Link", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Link for others").click()
    held.wait().let_go()
    expect(page.get_by_label("Link", exact=True)).to_have_value(re.compile("main\\.py"))


def test_a_file_that_could_not_be_shown_is_opened_again(visit, weather):  # noqa: F811
    v = visit(user=USER).allow(503)
    page = v.shows_run(weather).page
    page.route(f"**/files/{weather}/main.py", lambda route: route.fulfill(status=503, json={"detail": "Not now."}))
    opens(page, "main.py")
    expect(page.locator("#preview").get_by_role("alert")).to_contain_text("Not now.")
    page.unroute_all()
    opens(page, "main.py")
    expect(page.locator("#preview pre")).to_contain_text("strptime")


def test_as_text_and_back_before_the_text_is_there(visit, weather):  # noqa: F811
    v = visit(user=USER)
    page = v.shows_run(weather).page
    opens(page, "chart.svg")
    expect(page.get_by_role("img", name="chart.svg, as an image")).to_be_visible()
    held, button = Held(page, f"**/files/{weather}/chart.svg"), page.get_by_role("button", name="As text")
    button.click()
    held.wait()
    button.click()
    held.let_go()
    expect(button).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_role("img", name="chart.svg, as an image")).to_be_visible()
    button.click()
    expect(page.locator("#preview pre")).to_contain_text("<svg")


def listing(*names, cursor=None):
    return {"files": [{"path": n, "size": 1, "sha256": f"{i:064x}", "mime": "text/plain", "modified": "2026-01-01T00:00:00Z"}
                      for i, n in enumerate(names)], "next_cursor": cursor}


def test_the_files_are_those_of_the_iteration_that_was_chosen_last(visit, weather):  # noqa: F811
    v = visit(user=USER)
    v.go(f"/#/run/{weather}?file=main.py")
    page = v.page
    expect(page.locator("#preview pre")).to_contain_text("strptime")
    held = Held(page, f"**/files/{weather}?iteration=1&*")
    page.locator("#of-iteration").select_option("1")
    held.wait()
    page.locator("#of-iteration").select_option("")
    expect(page.locator(".file", has_text="chart.svg")).to_be_visible()
    # the first program left no files but itself
    held.let_go()
    expect(page.locator(".file", has_text="chart.svg")).to_be_visible()
    expect(page.locator("#preview pre")).to_contain_text("strptime")
    expect(page).to_have_url(re.compile(r"\?file=main\.py$"))


def test_files_that_cannot_be_listed_are_not_those_of_before(visit, weather):  # noqa: F811
    v = visit(user=USER).allow(503)
    page = v.shows_run(weather).page
    expect(page.locator(".file", has_text="chart.svg")).to_be_visible()
    page.route(f"**/files/{weather}?iteration=1&*", lambda route: route.fulfill(status=503, json={"detail": "Not now."}))
    page.locator("#of-iteration").select_option("1")
    expect(page.locator("#files-problem").get_by_role("alert")).to_contain_text("Not now.")
    expect(page.locator(".file")).to_have_count(0)
    page.locator("#of-iteration").select_option("")
    expect(page.locator(".file", has_text="chart.svg")).to_be_visible()


def test_what_is_chosen_is_in_the_address_before_it_is_there(visit, weather):  # noqa: F811
    v = visit(user=USER)
    page = v.shows_run(weather).page
    held = Held(page, f"**/files/{weather}?*")
    page.locator("#of-iteration").select_option("1")
    held.wait()
    expect(page).to_have_url(re.compile(r"\?iteration=1$"))


def test_two_clicks_for_more_files_show_them_once(visit, run):  # noqa: F811
    v = visit(user=USER)
    page, asked = v.page, []

    def answer(route):
        asked.append(route)
        route.fulfill(json=listing("b/3.txt", "b/4.txt") if "cursor=" in route.request.url else listing("a.txt", "b/2.txt", cursor="next"))

    page.route(f"**/files/{run}?*", answer)
    v.shows_run(run)
    # the event log tells of files, so they are asked for again
    while len(asked) < 2:
        settle(page)
    settle(page)
    more = page.get_by_role("button", name="More files")
    more.focus()
    more.evaluate("button => { button.click(); button.click(); }")
    expect(more).to_have_count(0)
    settle(page)
    names = page.locator(".file").evaluate_all("all => all.map(b => b.dataset.path)")
    assert names == ["b/2.txt", "b/3.txt", "b/4.txt", "a.txt"]
    expect(page.locator('.file[data-path="b/3.txt"]')).to_be_focused()


def opened(page, n):
    row = page.locator("#timeline > li", has_text=f"Iteration {n}")
    row.locator("summary").click()
    return row


def test_of_two_buttons_of_an_iteration_the_last_one_is_shown(visit, weather):  # noqa: F811
    v = visit(user=USER)
    page = v.shows_run(weather).page
    row = opened(page, 2)
    held = Held(page, f"**/run_workflow/{weather}/iterations/2/logs/stdout")
    row.get_by_role("button", name=re.compile("^Output")).click()
    held.wait()
    row.get_by_role("button", name="Reply").click()
    expect(row.locator("[data-part=pane] pre")).to_contain_text("strptime")
    held.let_go()
    expect(row.locator("[data-part=pane] pre")).to_contain_text("strptime")
    # pressed again: nothing is to be shown
    row.get_by_role("button", name=re.compile("^Output")).click()
    held.wait()
    row.get_by_role("button", name=re.compile("^Output")).click()
    held.let_go()
    expect(row.locator("[data-part=pane] > *")).to_have_count(0)


def test_a_comparison_is_with_what_is_chosen(visit, weather):  # noqa: F811
    v = visit(user=USER)
    page = v.shows_run(weather).page
    row = opened(page, 2)
    row.get_by_role("button", name="Changes").click()
    before = row.locator(".diff .del", has_text="fromisoformat")
    expect(before).to_have_count(1)
    held = Held(page, f"**/run_workflow/{weather}/iterations/2/diff?against=0")
    row.get_by_label("compared with").select_option("0")
    held.wait()
    with page.expect_response("**/diff?against=1"):
        row.get_by_label("compared with").select_option("1")
    held.let_go()
    # from what came in nothing was taken away
    expect(before).to_have_count(1)


def test_an_older_answer_takes_no_verdict_back(visit, run):  # noqa: F811
    v = visit(user=USER)
    page = v.page
    held = Held(page, f"**/run_workflow/{run}/iterations")
    v.shows_run(run)
    # the event log tells of verdicts, so they are asked for again
    held.wait(2).let_go(1)
    row = page.locator("#timeline > li", has_text="Iteration 2")
    expect(row).to_have_class("is-pass")
    held.let_go(0, json={"iterations": [{"iteration": n, "verdict": None} for n in (0, 1, 2)]})
    expect(row).to_have_class("is-pass")


def under_way(stack, wid):
    """A run that is over, as it was before."""
    told = stack.get(f"/run_workflow/{wid}", user=USER).json()
    return {**told, "status": "running", "finished_at": None, "reason": None, "message": ""}


def test_an_older_answer_does_not_set_a_run_going_again(visit, stack, run):  # noqa: F811
    v = visit(user=USER)
    page, before, seen = v.page, under_way(stack, run), []
    page.route(f"**/run_workflow/{run}", lambda route: route.fulfill(json=before))
    held = Held(page, f"**/run_workflow/{run}", lambda request: len(seen) or seen.append(request))
    v.shows_run(run)
    # the end of the log, and what came shortly before it
    held.wait(2).let_go(1, json={**before, "status": "succeeded", "finished_at": before["created_at"]})
    v.becomes("Succeeded")
    held.let_go(0, json=before)
    v.becomes("Succeeded")
    expect(page.get_by_role("button", name="Delete …")).to_be_visible()


def test_a_run_whose_end_could_not_be_asked_for_is_asked_for_again(visit, stack, run):  # noqa: F811
    v = visit(user=USER).allow(503)
    page, before, asked, down = v.page, under_way(stack, run), [], [True]

    def answer(route):
        asked.append(route)
        if len(asked) == 1:
            route.fulfill(json=before)
        elif down[0]:
            route.fulfill(status=503, json={"detail": "Not now."})
        else:
            route.continue_()

    page.route(f"**/run_workflow/{run}", answer)
    v.shows_run(run)
    while len(asked) < 3:
        settle(page)
    expect(page.locator("#line")).to_contain_text("Not now.")
    down[0] = False
    v.becomes("Succeeded", within=15000)
    expect(page.locator("#line")).to_be_hidden()


def test_a_log_that_is_read_again_fails_no_check_that_passed(visit, run):  # noqa: F811
    v = visit(user=USER)
    page = v.page
    event = '{"seq": 9, "t": "2026-01-01T00:00:00Z", "iteration": 1, "id": "unit-tests", "status": "fail", "ms": 1, "message": ""}'
    page.route(f"**/run_workflow/{run}/events", lambda route: route.fulfill(
        content_type="text/event-stream", body=f"id: 9\nevent: check\ndata: {event}\n\n"))
    v.shows_run(run)
    # and there it breaks off
    expect(page.locator("#line")).to_contain_text("The connection was lost")
    expect(page.locator("#run-checks [data-check='unit-tests']")).to_contain_text("passed")


@pytest.fixture
def many(visit, stack, run):  # noqa: F811
    """A visit to a list of 21 runs, the list itself, and an answer to who asks for it."""
    told = stack.get(f"/run_workflow/{run}", user=USER).json()
    runs = [{**told, "workflow_id": f"user-{USER}-{1790000000000 - n}-{'a' * 26}"} for n in range(21)]

    def answer(at=0, n=20):
        return {"runs": runs[at:at + n], "next_cursor": str(at + n) if at + n < len(runs) else None}

    v = visit(None, user=USER)
    v.page.route("**/run_workflow?*", lambda route: route.fulfill(json=answer()))
    v.go("/#/runs")
    expect(v.page.locator("#runs > li")).to_have_count(20)
    return v, runs, answer


def test_older_runs_that_have_moved_up_are_shown_once(many):
    v, runs, answer = many
    page, rows = v.page, v.page.locator("#runs > li")
    held = Held(page, "**/run_workflow?*", lambda request: "cursor=" in request.url)
    before = answer(at=20)
    page.get_by_role("button", name="Older runs").click()
    held.wait()
    del runs[3]
    page.get_by_role("button", name="Refresh").click()
    expect(page.locator(f"[data-run='{runs[-1]['workflow_id']}']")).to_have_count(1)
    held.let_go(json=before)
    ids = rows.evaluate_all("all => all.map(li => li.dataset.run)")
    assert ids == [r["workflow_id"] for r in runs]


def test_an_older_list_brings_nothing_back(many):
    v, runs, answer = many
    page, before = v.page, answer()
    held = Held(page, "**/run_workflow?*")
    for n in (1, 2):
        page.get_by_role("button", name="Refresh").click()
        held.wait(n)
    gone = runs.pop(3)["workflow_id"]
    held.let_go(1, json=answer())
    expect(page.locator(f"[data-run='{gone}']")).to_have_count(0)
    held.let_go(0, json=before)
    expect(page.locator(f"[data-run='{gone}']")).to_have_count(0)


def test_a_verdict_that_comes_takes_nothing_from_under_the_hand(visit, run):  # noqa: F811
    v = visit(user=USER)
    page = v.page
    held = Held(page, f"**/run_workflow/{run}/iterations")
    v.shows_run(run)
    held.wait(2).let_go(0, json={"iterations": [{"iteration": n, "verdict": None} for n in (0, 1, 2)]})
    row = opened(page, 2)
    reply = row.get_by_role("button", name="Reply")
    reply.press("Enter")
    expect(row.locator("[data-part=pane] pre")).to_contain_text("circular_shift")
    held.let_go()
    expect(row).to_have_class("is-pass")
    settle(page)
    expect(reply).to_be_focused()
    expect(reply).to_have_attribute("aria-expanded", "true")
    reply.press("Enter")
    expect(row.locator("[data-part=pane] > *")).to_have_count(0)
