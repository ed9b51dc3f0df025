"""The form of the page: what it sends, what it says to a refusal, files on their way, checks in words and as JSON."""
import io
import json
import re
import zipfile

import pytest
from playwright.sync_api import expect

from browser import chromium, visit  # noqa: F401
from conftest import example

EVERY_CHECK = [
    {"id": "all", "run": "python3 main.py", "stdin": "3\n", "timeout_s": 60, "hidden": True,
     "expect": {"exit": 0, "stdout_equals": "a\n", "stdout_contains": "a", "stdout_matches": "^a$", "stderr_empty": True,
                "max_s": 2.5, "min_bytes": 2, "contains": "a"}},
    {"run": ["python3", "-c", "print('[')"], "expect": {"exit": 3}},
    {"run": "[ -f main.py ] && echo yes"},
    {"id": "f", "file": "out/plot.png", "expect": {"min_bytes": 1000, "magic": "png", "contains": "IHDR"}},
    {"file": "any.txt"},
    {"http": {"port": 8000, "path": "/x?y=1", "status": 200, "contains": "ok"}, "timeout_s": 5},
    {"text": "It is well written.", "hidden": True},
]


def fill(page, prompt="Print hello.", conditions="hello is printed"):
    page.locator("#prompt").fill(prompt)
    page.locator("#conditions").fill(conditions)


def sent(page, act):
    with page.expect_request(lambda r: r.method == "POST" and r.url.endswith("/run_workflow")) as request:
        act()
    return request.value


def start(page):
    page.get_by_role("button", name="Start the run").click()


def test_no_model_is_said_plainly_with_three_ways_out(visit):  # noqa: F811
    v = visit().allow(409)
    page = v.page
    fill(page)
    start(page)
    said = page.get_by_role("alert").filter(has_text="No model is connected")
    expect(said).to_be_visible()
    for way in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "AZLON_MODEL", "Play a recording", "Reply by hand", "code llm_not_configured"):
        expect(said).to_contain_text(way)
    v.shot("no-model-light")
    said.get_by_role("button", name="Choose an example").click()
    expect(page.locator("#examples button").first).to_be_focused()
    said.get_by_role("button", name="Reply by hand").click()
    expect(page.locator("#model-kind")).to_have_value("manual")
    # nothing that was typed is lost
    expect(page.locator("#prompt")).to_have_value("Print hello.")


def test_what_is_refused_is_marked_where_it_stands(visit):  # noqa: F811
    v = visit().allow(422)
    page = v.page
    fill(page, prompt="  ")
    page.get_by_role("button", name="Add a check").click()
    page.get_by_text("Limits, network and people").click()
    page.locator("#lim-iterations").fill("many")
    page.locator("#lim-wall").fill("0")
    start(page)
    said = page.locator("#new-problem").get_by_role("alert")
    for words in ("user_prompt", "checks › no. 1 › run", "limits › iterations", "limits › wall_s", "status 422", "code unprocessable"):
        expect(said).to_contain_text(words)
    expect(said).to_contain_text(re.compile(r"request [0-9a-f]{32}"))
    for field in ("#prompt", "#checks > li", "#lim-iterations", "#lim-wall"):
        expect(page.locator(field)).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#prompt")).to_be_focused()
    v.shot("bad-input-light")
    # the next try starts clean
    fill(page)
    page.get_by_role("button", name="Remove check 1").click()
    page.locator("#lim-iterations").fill("3")
    page.locator("#lim-wall").fill("")
    v.allow(409)
    start(page)
    expect(page.get_by_role("alert").filter(has_text="No model is connected")).to_be_visible()
    assert page.locator("[aria-invalid]").count() == 0


def test_the_form_sends_what_it_shows(visit):  # noqa: F811
    v = visit().allow(409)
    page = v.page
    fill(page)
    page.get_by_role("button", name="Add a check").click()
    card = page.locator("#checks > li")
    expect(card.get_by_role("combobox", name="Kind")).to_be_focused()
    card.get_by_role("textbox", name="Command").fill("python3 main.py")
    card.get_by_role("combobox", name="Expect also").select_option("stdout_contains")
    card.get_by_role("textbox", name="output contains").fill("hello")
    page.get_by_role("button", name="Add a check").click()
    second = page.locator("#checks > li").nth(1)
    second.get_by_role("combobox", name="Kind").select_option("http")
    second.get_by_role("textbox", name="Port").fill("8000")
    second.get_by_role("textbox", name="Path").fill("/")
    second.get_by_role("combobox", name="Expect also").select_option("status")
    second.get_by_role("textbox", name="answers with status").fill("200")
    page.get_by_text("Limits, network and people").click()
    page.locator("#lim-tokens").fill("1000")
    page.locator("#network").select_option("allow")
    page.locator("#hosts").fill("api.example.com, *.example.org")
    body = sent(page, lambda: start(page)).post_data_json
    assert body == {
        "user_prompt": "Print hello.", "test_conditions": "hello is printed", "mode": "async",
        "checks": [{"run": "python3 main.py", "expect": {"exit": 0, "stdout_contains": "hello"}},
                   {"http": {"port": 8000, "path": "/"}, "expect": {"status": 200}}],
        "limits": {"tokens": 1000}, "network": {"default": "allow", "allow": ["api.example.com", "*.example.org"]},
    }
    # a reload keeps it, a second try of the same is the same run
    first = page.evaluate("() => sessionStorage.getItem('azlon.draft')")
    page.reload()
    page.wait_for_selector("#main[data-ready]")
    assert page.evaluate("() => sessionStorage.getItem('azlon.draft')") == first
    expect(page.locator("#prompt")).to_have_value("Print hello.")
    keys = {sent(page, lambda: start(page)).headers["idempotency-key"] for _ in range(2)}
    assert len(keys) == 1
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#prompt")).to_have_value("")
    expect(page.locator("#checks > li")).to_have_count(0)


def test_checks_go_through_the_form_and_back_unchanged(visit):  # noqa: F811
    v = visit().allow(409)
    page = v.page
    fill(page)
    page.get_by_role("button", name="Edit as JSON").click()
    page.locator("#checks-json").fill("[{")
    page.get_by_role("button", name="Edit as JSON").click()
    expect(page.locator("#checks-error")).to_contain_text("not JSON")
    page.locator("#checks-json").fill(json.dumps([{"run": "x", "expect": {"weight": 3}}]))
    page.get_by_role("button", name="Edit as JSON").click()
    expect(page.locator("#checks-error")).to_contain_text("no weight")
    page.locator("#checks-json").fill(json.dumps(EVERY_CHECK))
    page.get_by_role("button", name="Edit as JSON").click()
    expect(page.locator("#checks > li")).to_have_count(len(EVERY_CHECK))
    v.shot("checks-light")
    body = sent(page, lambda: start(page)).post_data_json
    want = json.loads(json.dumps(EVERY_CHECK))
    want[5]["expect"] = {k: want[5]["http"].pop(k) for k in ("status", "contains")}
    assert body["checks"] == want
    expect(page.get_by_role("alert").filter(has_text="No model is connected")).to_be_visible()


def test_json_that_the_form_cannot_show_is_sent_and_the_server_decides(visit):  # noqa: F811
    v = visit().allow(422)
    page = v.page
    fill(page)
    page.get_by_role("button", name="Edit as JSON").click()
    page.locator("#checks-json").fill('[{"run": "x", "expect": {"weight": 3}}]')
    start(page)
    expect(page.locator("#new-problem")).to_contain_text("no expectation weight")


def test_uploads(visit, stack):  # noqa: F811
    v = visit(user="uploader")
    page = v.page
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as z:
        z.writestr("in/a.txt", "a")
        z.writestr("in/b.txt", "b")
    page.locator("#files").set_input_files([{"name": "two.zip", "mimeType": "application/zip", "buffer": packed.getvalue()}])
    expect(page.locator("#inputs li")).to_contain_text("in/a.txt, in/b.txt")
    page.get_by_label("Keep archives whole").check()
    page.locator("#files").set_input_files([{"name": "two.zip", "mimeType": "application/zip", "buffer": packed.getvalue()},
                                            {"name": "big.bin", "mimeType": "application/octet-stream", "buffer": bytes(3 << 20)}])
    expect(page.locator("#inputs li")).to_have_count(2)
    expect(page.locator("#inputs li").nth(1).locator(".tick")).to_be_visible()
    expect(page.locator("#inputs li").nth(1)).to_contain_text("3.0 MiB")
    v.allow(400, 422)
    page.locator("#files").set_input_files([{"name": "evil.zip", "mimeType": "application/zip", "buffer": b"PK no archive"}])
    expect(page.locator("#inputs .tick")).to_have_count(3)
    page.get_by_label("Keep archives whole").uncheck()
    page.locator("#files").set_input_files([{"name": "evil.zip", "mimeType": "application/zip", "buffer": b"PK no archive"}])
    expect(page.locator("#inputs li.refused").get_by_role("alert")).to_be_visible()
    page.get_by_role("button", name="Put away the refusal of evil.zip").click()
    expect(page.locator("#inputs li")).to_have_count(3)
    page.locator("#inputs li").first.get_by_role("button", name=re.compile("^Remove")).click()
    expect(page.locator("#inputs").get_by_text("in/a.txt")).to_have_count(0)
    fill(page)
    v.allow(409)
    v.shot("uploads-light")
    body = sent(page, lambda: start(page)).post_data_json
    assert len(body["inputs"]) == 2 and all(re.fullmatch("inp_[a-z2-7]{26}", i) for i in body["inputs"])
    listed = stack.get(f"/files/inputs/{body['inputs'][0]}", user="uploader").json()["files"]
    assert {f["path"] for f in listed} == {"two.zip", "big.bin"}


def test_files_may_be_dropped(visit):  # noqa: F811
    page = visit().page
    dropped = page.evaluate_handle("""() => {
        const t = new DataTransfer();
        t.items.add(new File(["a,b\\n1,2\\n"], "dropped.csv"));
        return t;
    }""")
    page.dispatch_event("#drop", "dragover", {"dataTransfer": dropped})
    expect(page.locator("#drop")).to_have_class("drop over")
    page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
    expect(page.locator("#drop")).to_have_class("drop")
    expect(page.locator("#inputs li")).to_contain_text("dropped.csv")


def test_an_upload_shows_how_far_it_is_and_can_be_stopped(visit):  # noqa: F811
    v = visit()
    page = v.page
    held = []
    page.route("**/files/inputs", lambda route: held.append(route))
    page.locator("#files").set_input_files([{"name": "slow.bin", "mimeType": "application/octet-stream", "buffer": bytes(1000)}])
    expect(page.get_by_role("progressbar", name="Upload of slow.bin")).to_be_visible()
    page.locator("#prompt").fill("x")
    start(page)
    expect(page.locator("#new-problem").get_by_role("alert")).to_contain_text("still on their way")
    page.get_by_role("button", name="Stop the upload of slow.bin").click()
    expect(page.locator("#inputs li")).to_have_count(0)


@pytest.mark.parametrize("answer, words", [
    ({"status": 429, "headers": {"Retry-After": "20"}, "json": {
        "type": "urn:azlon:problem:quota", "title": "Too Many Requests", "status": 429, "code": "quota", "request_id": "feed" * 8,
        "detail": "The quota is used up.", "retry_after_s": 20}}, ("The quota is used up.", "Try again in 20 seconds.", "request feedfeed")),
    ({"status": 502, "body": "<h1>Bad Gateway</h1>", "content_type": "text/html"}, ("The server answered 502.",)),
    (None, ("No connection", "Nothing that it accepted is lost")),
], ids=["retry-after", "no problem document", "no connection"])
def test_every_failure_is_a_sentence(visit, answer, words):  # noqa: F811
    v = visit().allow(429, 502)
    page = v.page
    page.route("**/run_workflow", lambda route: route.fulfill(**answer) if answer else route.abort())
    fill(page)
    start(page)
    for text in words:
        expect(page.locator("#new-problem").get_by_role("alert")).to_contain_text(text)
    expect(page.get_by_role("button", name="Start the run")).to_be_enabled()


def test_frames_of_the_event_stream_in_any_split(visit):  # noqa: F811
    text = ": ping\n\nid: 7\nevent: check\ndata: {\"a\":\ndata: 1}\n\nevent: progress\r\ndata: {}\r\n\r\nid: 8\rdata: x\r\rdata: \u00e9\n\n"
    want = [["7", "check", '{"a":\n1}'], ["", "progress", "{}"], ["8", "", "x"], ["", "", "\u00e9"]]
    page = visit().page
    got = page.evaluate("""async (text) => {
        const { Frames } = await import("/events.js"), all = [];
        for (let n = 1; n <= text.length; n++) {
            const frames = new Frames(), out = [];
            for (let i = 0; i < text.length; i += n)
                for (const f of frames.push(text.slice(i, i + n))) out.push([f.id, f.type, f.data]);
            all.push(out);
        }
        return all;
    }""", text)
    for n, frames in enumerate(got, 1):
        assert frames == want, n


def test_csv(visit):  # noqa: F811
    got = visit().page.evaluate("""async (text) => (await import("/preview.js")).parseCsv(text, 4)""",
                                'a,"b ""q"", c",\r\n1,"two\nlines",3\n\n"",x\nnot,read\n')
    assert got == [["a", 'b "q", c', ""], ["1", "two\nlines", "3"], [""], ["", "x"]]


def test_examples_are_the_recorded_requests(visit):  # noqa: F811
    page = visit().page
    for name in ("weather", "human-eval-065", "hopeless"):
        shown = page.evaluate("""async (name) => (await import("/examples.js")).load({ name }).then((e) => e.request)""", name)
        assert shown == example(name)
