"""What is typed, chosen or begun is kept, and the focus with it, whatever comes in between."""
import re

import pytest
from playwright.sync_api import expect

from browser import chromium, visit  # noqa: F401
from conftest import example, until
from holding import ALL, Held, run_that_is_over, settle, sign_in, sign_out, signed_in  # noqa: F401

USER = "keeper"


@pytest.fixture(scope="module")
def runs(stack):
    return [run_that_is_over(stack, USER) for _ in range(2)]


@pytest.mark.parametrize("after", ["another example", "clear"])
def test_what_is_on_its_way_does_not_get_into_the_next_form(visit, after):  # noqa: F811
    """A recording answers only what it was asked: one file more, and it does not."""
    v = visit(user=USER)
    page = v.page
    held = Held(page, "**/files/inputs")
    page.get_by_role("button", name="Four years of weather").click()
    held.wait()
    if after == "clear":
        page.get_by_role("button", name="Clear").click()
    else:
        v.fill_example("Shift the digits")
    expect(page.locator("#inputs li")).to_have_count(0)
    settle(page)
    # what was sent may have arrived all the same
    held.routes.pop().fulfill(status=201, json={"input_id": f"inp_{'a' * 26}", "files": [{"path": "seattle-weather.csv", "size": 1}]})
    settle(page)
    expect(page.locator("#inputs li")).to_have_count(0)
    if after == "clear":
        expect(page.locator("#prompt")).to_be_focused()
        return
    v.start()
    v.becomes("Succeeded")


def test_of_two_examples_the_one_that_was_chosen_last_is_filled_in(visit):  # noqa: F811
    v = visit(user=USER)
    page = v.page
    held = Held(page, "**/example-hopeless.json")
    page.get_by_role("button", name="The largest prime").click()
    held.wait()
    v.fill_example("Shift the digits")
    held.let_go()
    expect(page.locator("#prompt")).to_have_value(re.compile("circular_shift"))
    expect(page.get_by_role("button", name="The largest prime")).to_be_enabled()


def test_an_answer_to_an_upload_that_is_none_is_a_refusal(visit):  # noqa: F811
    """Of a portal before the network, say."""
    page = visit(user=USER).page
    page.route("**/files/inputs", lambda route: route.fulfill(status=200, content_type="text/html", body="<h1>Sign up</h1>"))
    page.locator("#files").set_input_files([{"name": "a.txt", "mimeType": "text/plain", "buffer": b"a"}])
    expect(page.locator("#inputs li.refused").get_by_role("alert")).to_be_visible()


def test_a_form_that_is_there_does_not_begin_again_when_the_latest_runs_come(visit, runs):  # noqa: F811
    v = visit("/#/runs", user=USER, viewport={"width": 600, "height": 400})
    page = v.page
    held = Held(page, "**/run_workflow?limit=4")
    page.evaluate("() => { location.hash = '#/'; }")
    held.wait()
    expect(page.locator("#new-title")).to_be_focused()
    assert page.title() == "What should the program do? · Azlon"
    page.evaluate("() => scrollTo(0, 300)")
    held.let_go()
    expect(page.locator("#recent-list > li")).not_to_have_count(0)
    assert page.evaluate("() => scrollY") == 300


def test_the_choice_of_a_status_keeps_the_focus(visit, runs):  # noqa: F811
    page = visit("/#/runs", user=USER).page
    page.locator("#status").focus()
    page.locator("#status").select_option("failed")
    page.wait_for_url("**/#/runs?status=failed")
    expect(page.locator("#none")).to_be_visible()
    expect(page.locator("#status")).to_be_focused()


def test_what_is_typed_beside_checks_that_are_no_json_is_kept(visit):  # noqa: F811
    page = visit(user=USER).page
    page.get_by_role("button", name="Edit as JSON").click()
    page.locator("#checks-json").fill("[{")
    page.locator("#prompt").focus()
    page.keyboard.type("Count.")
    expect(page.locator("#prompt")).to_be_focused()
    expect(page.locator("#prompt")).to_have_value("Count.")
    page.reload()
    expect(page.locator("#prompt")).to_have_value("Count.")
    expect(page.locator("#checks-json")).to_have_value("[{")
    page.get_by_role("button", name="Start the run").click()
    expect(page.locator("#checks-error")).to_contain_text("not JSON")
    expect(page.locator("#checks-json")).to_be_focused()
    page.locator("#checks-json").fill("[]")
    expect(page.locator("#checks-error")).to_be_hidden()


def test_a_start_whose_answer_nobody_waited_for_is_the_same_run_again(visit):  # noqa: F811
    v = visit(user=USER)
    page = v.page
    v.fill_example("Shift the digits")
    held = Held(page, "**/run_workflow", lambda request: request.method == "POST")
    keys = []
    for leave in (page.reload, lambda: (v.go("/#/runs"), page.go_back()), None):
        page.get_by_role("button", name="Start the run").click()
        keys.append(held.wait(len(keys) + 1).routes[-1].request.headers["idempotency-key"])
        if leave:
            leave()
            expect(page.locator("#prompt")).to_have_value(re.compile("circular_shift"))
    assert len(set(keys)) == 1, keys
    # what was started and is started once more is another run
    held.let_go(2)
    page.wait_for_url("**/#/run/*")
    v.becomes("Succeeded")
    page.get_by_role("button", name="Ask again").click()
    page.get_by_role("button", name="Start the run").click()
    assert held.wait(3).routes[-1].request.headers["idempotency-key"] not in keys


def test_keys_start_one_run_too(visit):  # noqa: F811
    v = visit(user=USER)
    page = v.page
    v.fill_example("Shift the digits")
    held = Held(page, "**/run_workflow", lambda request: request.method == "POST")
    page.locator("#prompt").press("Control+Enter")
    held.wait()
    page.locator("#prompt").press("Control+Enter")
    settle(page)
    assert len(held.routes) == 1


@pytest.fixture
def asked(stack, signed_in):
    """asked(on): a run there, of keeper, that waits for the reply of its model."""
    made = []

    def one(on):
        wid = on.start_run({**example("human-eval-127"), "model": "manual"}, user=USER)
        made.append((on, wid))
        until(lambda: on.get(f"/run_workflow/{wid}", user=USER).json()["status"] == "awaiting_input", 60)
        return wid

    yield one
    for on, wid in made:
        on.post(f"/run_workflow/{wid}/cancel", user=USER, json={"mode": "now"})
        on.finish(wid, user=USER)


def test_a_reply_that_is_being_written_survives_a_reload_and_a_sign_in(visit, signed_in, asked):  # noqa: F811
    wid = asked(signed_in)
    v = visit(stack=signed_in, user=None).allow(401)
    page = v.page
    sign_in(page, signed_in.api_key(USER, ALL)["key"])
    v.shows_run(wid)
    page.get_by_label("Your reply").fill("A long reply")
    page.reload()
    expect(page.get_by_label("Your reply")).to_have_value("A long reply")
    # the sign-in ends while it is written
    page.route("**/signal", lambda route: route.fulfill(status=401, json={"code": "token_expired", "detail": "It has expired."}))
    page.get_by_role("button", name="Send the reply").press("Enter")
    said = page.locator("#input").get_by_role("alert")
    expect(said).to_contain_text("what you typed stays as it is")
    expect(page.get_by_role("button", name="Send the reply")).to_be_focused()
    page.unroute_all()
    said.get_by_role("button", name="Sign in").click()
    page.locator("#token").fill(signed_in.keys.token(USER))
    page.get_by_role("button", name="Save").click()
    expect(said).to_have_count(0)
    expect(page.get_by_label("Your reply")).to_have_value("A long reply")
    page.get_by_role("button", name="Send the reply").press("Enter")
    # it is none: asked again, it is written anew
    expect(page.locator("#input pre")).to_contain_text("cannot be used", timeout=60000)
    expect(page.get_by_label("Your reply")).to_have_value("")
    # there, or at the title, where it went if the question was gone for a while
    assert page.evaluate("() => document.activeElement.matches('#input textarea, #run-title')")
    page.get_by_label("Your reply").fill("What nobody else is to read")
    sign_out(page)
    expect(page.locator("#who")).to_contain_text("Signed out")
    assert "nobody else" not in page.evaluate("() => JSON.stringify(sessionStorage)")


def test_a_question_that_is_told_once_more_interrupts_nobody(visit, stack, asked):  # noqa: F811
    wid = asked(stack)
    v = visit(None, user=USER)
    page = v.page
    held = Held(page, f"**/run_workflow/{wid}/events")
    v.shows_run(wid)
    field = page.get_by_label("Your reply")
    expect(field).to_be_visible()
    held.wait()
    field.fill("to be")
    field.evaluate("field => field.setSelectionRange(0, 0)")
    # the log has the same question
    with page.expect_response(f"**/run_workflow/{wid}"):
        held.routes.pop().continue_()
    settle(page)
    page.keyboard.type("not ")
    expect(field).to_have_value("not to be")


def test_a_question_that_could_not_be_read_is_read_again(visit, stack, asked):  # noqa: F811
    wid = asked(stack)
    v = visit(None, user=USER).allow(503)
    page = v.page
    page.route(f"**/run_workflow/{wid}/iterations/*/logs/prompt", lambda route: route.fulfill(status=503, json={"detail": "Not now."}))
    v.shows_run(wid)
    said = page.locator("#input").get_by_role("alert")
    expect(said).to_contain_text("Not now.")
    page.unroute_all()
    said.get_by_role("button", name="Try again").click()
    expect(page.locator("#input pre")).to_contain_text("intersection")
    expect(said).to_have_count(0)


def test_two_clicks_are_one_wish(visit, stack, asked):  # noqa: F811
    wid = asked(stack)
    v = visit(None, user=USER)
    page = v.shows_run(wid).page
    v.becomes("Waits for you")
    held = Held(page, f"**/run_workflow/{wid}/signal")
    page.get_by_role("button", name="Pause").dblclick()
    held.wait()
    settle(page)
    assert len(held.routes) == 1
    held.let_go()
    v.becomes("Paused")


def test_a_refusal_is_told_although_the_dialog_was_closed(visit, stack, asked):  # noqa: F811
    wid = asked(stack)
    v = visit(None, user=USER).allow(503)
    page = v.shows_run(wid).page
    held = Held(page, f"**/run_workflow/{wid}/signal")
    page.get_by_role("button", name="Message …").click()
    page.get_by_label("Message to the model").fill("Be quick.")
    page.get_by_role("button", name="Send", exact=True).click()
    held.wait()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    held.let_go(status=503, json={"detail": "Not now."})
    expect(page.locator("#action-problem").get_by_role("alert")).to_contain_text("Not now.")


def test_a_refusal_leaves_the_focus_where_it_was(visit, runs):  # noqa: F811
    v = visit(user=USER).allow(503)
    page = v.page
    refused = {"status": 503, "json": {"detail": "Not now."}}
    frames = "() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))"

    def press(button, pattern):
        """With time for the browser to notice that what has the focus is disabled."""
        held = Held(page, pattern)
        button.press("Enter")
        held.wait()
        page.evaluate(frames)
        held.let_go(**refused)
        page.unroute_all()
        expect(button).to_be_focused()

    page.locator("#prompt").fill("Count.")
    press(page.get_by_role("button", name="Start the run"), "**/run_workflow")
    press(page.get_by_role("button", name="The largest prime"), "**/example-hopeless.json")
    v.shows_run(runs[0])
    page.get_by_role("button", name="Fork …").click()
    press(page.get_by_role("dialog").get_by_role("button", name="Start the fork"), f"**/run_workflow/{runs[0]}/fork")
    page.keyboard.press("Escape")


def test_a_dialog_whose_button_is_gone_leaves_the_focus_in_the_view(visit, runs, stack):  # noqa: F811
    v = visit(None, user=USER)
    page, asked = v.page, []
    told = {**stack.get(f"/run_workflow/{runs[0]}", user=USER).json(), "status": "running"}
    page.route(f"**/run_workflow/{runs[0]}", lambda route: route.continue_() if asked else (asked.append(1), route.fulfill(json=told)))
    held = Held(page, f"**/run_workflow/{runs[0]}/events")
    v.shows_run(runs[0])
    page.get_by_role("button", name="Limits …").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    held.wait().routes.pop().continue_()
    v.becomes("Succeeded")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#run-title")).to_be_focused()
