"""The page in a real Chromium: a run from the first word to the last file."""
import io
import re
import urllib.parse
import zipfile

from playwright.sync_api import expect

from browser import PHONE, chromium, has_route, visit  # noqa: F401
from conftest import RECORDINGS, example

WID = "user-visitor-1790000000000-" + "a" * 26


def seqs(page):
    return page.locator("#events li").evaluate_all("all => all.map(li => Number(li.dataset.seq))")


def test_weather_from_its_recording_to_green(visit):  # noqa: F811
    v = visit()
    page = v.page
    v.shot("new-light")
    v.fill_example("Four years of weather")
    assert "seattle-weather.csv" in page.locator("#prompt").input_value()
    expect(page.locator("#inputs")).to_contain_text("seattle-weather.csv")
    expect(page.locator("#checks > li")).to_have_count(5)
    v.shot("new-filled-light")
    wid = v.start()
    # what is to come is there from the start, in words
    expect(page.locator("#run-checks [data-check='chart']")).to_be_visible()
    expect(page.get_by_role("progressbar", name="Progress of the run")).to_be_visible()
    v.becomes("Succeeded")
    for check in ("first-month", "last-month", "month-count", "summary", "chart"):
        expect(page.locator(f"#run-checks [data-check='{check}']")).to_contain_text("passed")
    assert not page.locator("#run-checks .is-fail, #run-checks .is-waiting").count()
    expect(page.locator("#meta")).to_contain_text("REPLAY of recording/weather")
    assert page.locator("#bar").evaluate("bar => bar.value") == 100
    expect(page.locator("#now")).to_contain_text("passed in iteration 2")
    expect(page.locator("#live")).to_contain_text("Succeeded")
    # the timeline tells of the first attempt too
    expect(page.locator("#timeline > li")).to_have_count(3)
    first = page.locator("#timeline > li", has_text="Iteration 1")
    first.locator("summary").click()
    expect(first).to_have_class("is-fail")
    first.get_by_role("button", name=re.compile("^Errors")).click()
    expect(first.locator("pre").last).to_contain_text("ValueError")
    second = page.locator("#timeline > li", has_text="Iteration 2")
    second.locator("summary").click()
    expect(second.get_by_text("Diagnosis: the dates are written")).to_be_visible()
    second.get_by_role("button", name=re.compile("^Output")).click()
    expect(second.locator("pre").last).to_contain_text("2012-01 173.3")
    # files: an image that is one, a table, text
    page.locator(".file", has_text="chart.svg").click()
    image = page.get_by_role("img", name="chart.svg, as an image")
    expect(image).to_be_visible()
    assert image.evaluate("async i => { await i.decode(); return i.naturalWidth }") > 100
    v.shot("run-finished-light")
    page.locator(".file", has_text="summary.csv").click()
    expect(page.locator("#preview tbody tr")).to_have_count(48)
    expect(page.locator("#preview th").first).to_have_text("month")
    page.get_by_role("button", name="As text").click()
    expect(page.locator("#preview pre")).to_contain_text("2013-06,30,33.1,33.9")
    page.locator(".file", has_text="main.py").click()
    expect(page.locator("#preview pre")).to_contain_text("strptime")
    # of an iteration
    page.locator("#of-iteration").select_option("1")
    expect(page.locator("#preview pre")).to_contain_text("fromisoformat")
    page.locator("#of-iteration").select_option("")
    # all of it, as an archive that opens
    with page.expect_download() as archive:
        page.get_by_role("link", name="Download zip").click()
    names = zipfile.ZipFile(io.BytesIO(archive.value.path().read_bytes())).namelist()
    assert {"main.py", "summary.csv", "chart.svg"} <= set(names)
    with page.expect_download() as one:
        page.get_by_role("link", name="Download", exact=True).click()
    assert one.value.suggested_filename == "main.py" and b"strptime" in one.value.path().read_bytes()
    # the address says what is looked at
    assert f"#/run/{wid}?file=main.py" in page.url
    page.reload()
    v.becomes("Succeeded")
    expect(page.locator("#preview h3")).to_have_text("main.py")
    expect(page.locator("#run-title")).to_contain_text("The file seattle-weather.csv holds")
    log = seqs(page)
    assert log == list(range(1, len(log) + 1)), "every event once, in order"


def test_a_signed_link_opens_without_the_page(visit, stack):  # noqa: F811
    wid = stack.start_run(example("human-eval-127"), user="visitor")
    stack.finish(wid, user="visitor")
    v = visit(f"/#/run/{wid}?file=solution.py")
    v.page.get_by_role("button", name="Link for others").click()
    url = v.page.get_by_label("Link", exact=True).input_value()
    r = stack.get(url.removeprefix(stack.url), user=None)
    assert r.status_code == 200 and "intersection" in r.text


def test_a_run_under_way_is_seen_cut_off_seen_again_and_cancelled(visit, own_stack):  # noqa: F811
    stack = own_stack()
    wid = stack.start_run(example("endless"), user="visitor")
    v = visit(f"/#/run/{wid}", stack=stack).allow(502, 503)
    page = v.page
    v.becomes("Running")
    expect(page.locator("#tail")).to_contain_text(re.compile(r"\d"), timeout=60000)
    expect(page.locator("#phases [aria-current]")).to_have_text("running it")
    v.shot("run-live-light")
    before = seqs(page)
    stack.kill_and_wait("run_workflow-wait")
    expect(page.locator("#line")).to_contain_text("The connection was lost")
    stack.control("start")
    expect(page.locator("#line")).to_be_hidden(timeout=30000)
    page.get_by_role("button", name="Cancel").click()
    # that is for after the step under way, which here never ends
    v.becomes("Stopping")
    page.get_by_role("button", name="Stop now").click()
    v.becomes("Cancelled")
    expect(page.locator("#events li").last).to_contain_text("the run is over")
    log = seqs(page)
    assert log[: len(before)] == before and log == list(range(1, len(log) + 1)), "nothing twice, nothing missing"
    # what was there for an open run is not there for a closed one
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_failure_is_told_in_a_sentence(visit):  # noqa: F811
    v = visit()
    v.fill_example("The largest prime")
    v.start()
    v.becomes("Failed")
    expect(v.page.locator("#now")).to_contain_text("did not pass within the iterations allowed")
    expect(v.page.locator("#run-checks [data-check='proof']")).to_contain_text("failed")
    v.shot("run-failed-light")


def test_list_pages_filter_delete_and_ask_again(visit, stack):  # noqa: F811
    wids = [stack.start_run(example("human-eval-127"), user="page-lister") for _ in range(3)]
    wids += [stack.start_run(example("hopeless"), user="page-lister")]
    for wid in wids:
        stack.finish(wid, user="page-lister")
    v = visit(None, user="page-lister")
    page = v.page
    page.route("**/run_workflow?limit=20*", lambda route: route.continue_(url=route.request.url.replace("limit=20", "limit=2")))
    v.go("/#/runs")
    rows = page.locator("#runs > li")
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Older runs").click()
    expect(rows).to_have_count(4)
    expect(page.get_by_role("button", name="Older runs")).to_be_hidden()
    assert rows.evaluate_all("all => all.map(li => li.dataset.run)") == wids[::-1]
    v.shot("runs-light")
    page.locator("#status").select_option("failed")
    page.wait_for_url("**/#/runs?status=failed")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("iterations exhausted")
    page.reload()
    expect(rows).to_have_count(1)
    page.locator("#status").select_option("paused")
    expect(page.locator("#none")).to_have_text("No run is paused.")
    v.shows_run(wids[3])
    page.get_by_role("button", name="Delete …").click()
    expect(page.get_by_role("dialog")).to_contain_text("removed for good")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/#/runs")
    assert stack.get(f"/run_workflow/{wids[3]}", user="page-lister").status_code == 404


def test_a_run_can_be_asked_again(visit):  # noqa: F811
    v = visit()
    v.fill_example("Shift the digits")
    v.start()
    v.becomes("Succeeded")
    v.page.get_by_text("What was asked").click()
    expect(v.page.locator("#asked-body")).to_contain_text("circular_shift")
    v.page.get_by_role("button", name="Ask again").click()
    expect(v.page.locator("#prompt")).to_have_value(re.compile("circular_shift"))
    expect(v.page.locator("#model-kind")).to_have_value("recording")
    expect(v.page.locator("#checks > li")).to_have_count(1)


def test_a_long_request_is_told_whole(visit):  # noqa: F811
    v = visit()
    text = "The long one.\n" + 2500 * "ten bytes\n"
    # at once, where typing takes its time
    v.page.locator("#prompt").evaluate("(field, text) => { field.value = text; field.dispatchEvent(new Event('input', { bubbles: true })); }", text)
    v.page.locator("#conditions").fill("It holds.")
    v.page.locator("#model-kind").select_option("manual")
    wid = v.start()
    expect(v.page.locator("#run-title")).to_have_text("The long one.")
    assert "ten bytes" not in v.page.evaluate("() => JSON.stringify(localStorage)"), "of which a line is kept"
    v.page.get_by_role("button", name="Fork …").click()
    expect(v.page.get_by_role("dialog").get_by_label("Prompt")).to_have_value(text)
    v.page.keyboard.press("Escape")
    v.page.get_by_role("button", name="Cancel").click()
    v.becomes("Cancelled")
    v.go("/#/runs")
    expect(v.page.locator(f"[data-run='{wid}']")).to_contain_text("The long one.")


def test_a_run_that_was_started_elsewhere_tells_what_was_asked(visit, stack):  # noqa: F811
    """And is asked again with what the form has no field for."""
    more = {"hitl": "plan", "metadata": {"ticket": 7}, "webhook": {"url": "https://receiver.example/done"}, "limits": {"iterations": 3}}
    wid = stack.start_run({**example("human-eval-127"), **more}, user="page-elsewhere")
    stack.post(f"/run_workflow/{wid}/cancel", user="page-elsewhere", json={"mode": "now"})
    stack.finish(wid, user="page-elsewhere")
    v = visit(None, user="page-elsewhere")
    v.go(f"/#/run/{wid}")
    expect(v.page.locator("#run-title")).to_contain_text("Write solution.py")
    v.page.get_by_text("What was asked").click()
    expect(v.page.locator("#asked-body")).to_contain_text('"ticket": 7')
    v.page.get_by_role("button", name="Ask again").click()
    expect(v.page.locator("#also")).to_have_text("Sent along as it was: the webhook, the metadata.")
    expect(v.page.locator("#hitl")).to_have_value("plan")
    again = v.start()
    told = [stack.get(f"/run_workflow/{w}/request", user="page-elsewhere").json() for w in (wid, again)]
    assert told[0] == told[1]
    v.page.get_by_role("button", name="Cancel").click()
    v.becomes("Cancelled")


def test_the_list_is_kept_up_to_date_as_far_as_it_is_shown(visit, stack):  # noqa: F811
    wid = stack.start_run(example("human-eval-127"), user="page-many")
    run = stack.finish(wid, user="page-many")
    runs = [{**run, "workflow_id": f"user-page_many-{1790000000000 - n}-{'a' * 26}"} for n in range(26)]
    runs[24] |= {"status": "running"}
    page = visit(None, user="page-many")
    asked = []

    def answer(route):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(route.request.url).query)
        at, n = int(query.get("cursor", ["0"])[0]), int(query["limit"][0])
        asked.append(n)
        route.fulfill(json={"runs": runs[at:at + n], "next_cursor": str(at + n) if at + n < len(runs) else None})

    page.page.route("**/run_workflow?*", answer)
    page.go("/#/runs")
    rows = page.page.locator("#runs > li")
    expect(rows).to_have_count(20)
    page.page.get_by_role("button", name="Older runs").click()
    expect(rows).to_have_count(26)
    expect(rows.nth(24)).to_contain_text("Running")
    runs[24] |= {"status": "succeeded"}
    del runs[22]
    # an open row is asked for again by itself
    expect(rows.nth(23)).to_contain_text("Succeeded")
    expect(rows).to_have_count(25)
    expect(page.page.get_by_role("button", name="Older runs")).to_be_hidden()
    # with none open there is nothing to wait for
    assert not page.page.locator('#runs > [data-open="true"]').count() and max(asked) <= 200


def test_a_file_of_a_run_goes_into_another(visit, stack):  # noqa: F811
    wid = stack.start_run(example("human-eval-127"), user="visitor")
    stack.finish(wid, user="visitor")
    v = visit(f"/#/run/{wid}?file=solution.py")
    v.page.get_by_role("button", name="Use in a new run").click()
    expect(v.page.locator("#inputs")).to_contain_text("solution.py")
    v.page.locator("#prompt").fill("Use it.")
    v.page.locator("#conditions").fill("It is used.")
    v.page.locator("#model-kind").select_option("recording")
    v.page.locator("#recording").fill("weather")
    with v.page.expect_request("**/run_workflow") as sent:
        v.start()
    assert sent.value.post_data_json["inputs"] == [f"{wid}/solution.py"]


def test_diff_and_fork_are_shown_or_said_to_be_missing(visit, stack):  # noqa: F811
    wid = stack.start_run(example("human-eval-065"), user="visitor")
    stack.finish(wid, user="visitor")
    v = visit(f"/#/run/{wid}").allow(404, 405)
    page = v.page
    second = page.locator("#timeline > li", has_text="Iteration 2")
    second.locator("summary").click()
    second.get_by_role("button", name="Changes").click()
    if has_route("GET", f"/run_workflow/{WID}/iterations/2/diff"):
        expect(second.locator(".diff .add").first).to_be_visible()
        expect(second.locator(".diff .del").first).to_contain_text("-")
        v.shot("run-diff-light")
    else:
        expect(second.get_by_role("alert")).to_contain_text("status 404")
    second.get_by_role("button", name="Fork from here …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Start from")).to_have_value("2")
    dialog.get_by_label("Prompt").fill("Another wish.")
    dialog.get_by_role("button", name="Start the fork").click()
    if has_route("POST", f"/run_workflow/{WID}/fork"):
        page.wait_for_url(lambda url: "/#/run/" in url and wid not in url)
        expect(page.locator("#notices")).to_contain_text("Forked from iteration 2")
    else:
        expect(dialog.get_by_role("alert")).to_contain_text("status 404")
        page.keyboard.press("Escape")
    expect(page.locator("#run-title")).to_be_visible()


def test_a_word_and_more_room_reach_a_run(visit, stack):  # noqa: F811
    wid = stack.start_run(example("endless"), user="visitor")
    v = visit(f"/#/run/{wid}").allow(409, 422)
    page = v.page
    v.becomes("Running")

    def ask(button, label, text, yes):
        page.get_by_role("button", name=button).click()
        page.get_by_role("dialog").get_by_label(label).fill(text)
        page.get_by_role("dialog").get_by_role("button", name=yes, exact=True).click()

    ask("Message …", "Message to the model", "Be quick.", "Send")
    expect(page.get_by_role("dialog")).to_have_count(0)
    ask("Limits …", "Iterations", "7", "Set")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#now")).to_contain_text("iteration 1 of 7")
    # a refusal stands in the dialog, which stays
    ask("Limits …", "Iterations", "many", "Set")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("status 422")
    page.keyboard.press("Escape")
    page.get_by_text("Event log").click()
    expect(page.locator("#events")).to_contain_text("a person: message, “Be quick.”")
    page.get_by_role("button", name="Cancel").click()
    # that is for after the step under way, which here never ends
    v.becomes("Stopping")
    page.get_by_role("button", name="Stop now").click()
    v.becomes("Cancelled")


def test_the_address_that_the_client_prints(visit, stack):  # noqa: F811
    wid = stack.start_run(example("human-eval-127"), user="visitor")
    v = visit(f"/#{wid}", **PHONE)
    v.becomes("Succeeded")
    v.shot("run-finished-phone")


def replies(name="human-eval-065"):
    return [f.read_text() for f in sorted((RECORDINGS / name).glob("[0-9].md"))]


def test_a_person_is_the_model_and_approves(visit, stack):  # noqa: F811
    v = visit()
    page = v.page
    first, second, verdict = replies()
    v.fill_example("Shift the digits")
    page.locator("#model-kind").select_option("manual")
    page.get_by_text("Limits, network and people").click()
    page.locator("#hitl").select_option("each")
    v.start()

    def reply(title, text):
        expect(page.get_by_role("heading", name=title)).to_be_visible(timeout=60000)
        page.get_by_label("Your reply").fill(text)
        page.get_by_role("button", name="Send the reply").click()

    v.becomes("Waits for you")
    expect(page.locator("#input pre")).to_contain_text("circular_shift")
    expect(page.locator("#live")).to_contain_text("The run waits for you")
    v.shot("reply-by-hand-light")
    # what cannot be used is asked for again, and what is typed meanwhile stays
    reply("You are the model: write iteration 1", "I would rather not.")
    expect(page.locator("#input pre")).to_contain_text("cannot be used", timeout=60000)
    reply("You are the model: write iteration 1", first)
    expect(page.get_by_role("heading", name="May iteration 1 be run?")).to_be_visible(timeout=60000)
    page.get_by_role("button", name="Look at the files").click()
    expect(page.locator("#of-iteration")).to_have_value("1")
    page.locator(".file", has_text="solution.py").click()
    expect(page.locator("#preview pre")).to_contain_text("shift %= len(s)")
    v.shot("approve-light")
    page.get_by_label("A remark for the model").fill("A larger shift reverses the digits.")
    page.get_by_role("button", name="Reject").click()
    reply("You are the model: write iteration 2", second)
    expect(page.get_by_role("heading", name="May iteration 2 be run?")).to_be_visible(timeout=60000)
    page.get_by_role("button", name="Pause").click()
    v.becomes("Paused")
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Approve").click()
    reply("You are the model: judge iteration 2", verdict)
    v.becomes("Succeeded")
    expect(page.locator("#input")).to_be_hidden()
    expect(page.locator("#meta")).to_contain_text("replied to by hand")
    page.get_by_text("Event log").click()
    expect(page.locator("#events")).to_contain_text("a person: reject, “A larger shift reverses the digits.”")
    second_row = page.locator("#timeline > li", has_text="Iteration 2")
    second_row.locator("summary").click()
    second_row.get_by_role("button", name="Reply").click()
    expect(second_row.locator("[data-part=pane] pre")).to_contain_text("s[::-1]")
