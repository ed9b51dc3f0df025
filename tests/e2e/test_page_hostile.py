"""What people, models and programs write is shown and never run; and the page is small, quick and alone."""
import os
import pathlib
import shutil
import tempfile

import pytest
import requests
from playwright.sync_api import expect

from browser import chromium, scripted_stack, visit  # noqa: F401
from conftest import RECORDINGS, ROOT, example

KIB = 1024
ATTACK = "<img src=x onerror=window.pwned=1><script>window.pwned=1</script><svg onload=window.pwned=1>"
NAME = "<img src=x onerror=window.pwned=1>.txt"
SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40" onload="window.pwned=1"><script>window.pwned=1; parent.pwned=1</script>
<image href="http://evil.example/x.png"/><foreignObject><body xmlns="http://www.w3.org/1999/xhtml"><script>top.pwned=1</script></body></foreignObject>
<rect width="40" height="40" fill="teal"/></svg>"""
PROGRAM = f"""import os, sys
attack = {ATTACK!r}
print(attack)
print("\\x1b[31mred\\x1b[0m")
print(attack, file=sys.stderr)
with open({NAME!r}, "w") as f: f.write(attack)
with open("page.html", "w") as f: f.write("<script>window.pwned=1; top.pwned=1</script>")
with open("evil.svg", "w") as f: f.write({SVG!r})
with open("evil.csv", "w") as f: f.write("a,b\\n" + attack.replace(",", " ") + ",2\\n")
with open("right\\u00e9.txt", "w") as f: f.write("fine")
os.makedirs("deep/er")
with open("deep/er/last.txt", "w") as f: f.write("the last one")
with open("zeros.bin", "wb") as f: f.write(bytes(100))
"""
REPLY = ("Plan: " + ATTACK + "\n\n### FILE: Dockerfile\n~~~~~\nFROM python:3.11\nWORKDIR /app\nCOPY . .\nCMD [\"python3\", \"main.py\"]\n~~~~~\n"
         f"### FILE: main.py\n~~~~~\n{PROGRAM}~~~~~\n### END\n")


@pytest.fixture(scope="module")
def hostile():
    scripts = pathlib.Path(tempfile.mkdtemp(prefix="azlon-scripts-"))
    d = scripts / "hostile"
    d.mkdir()
    for i in range(1, 5):
        (d / f"{i}.md").write_text(REPLY if i != 2 else "Diagnosis: " + ATTACK + "\n\n" + REPLY)
    shutil.copy(RECORDINGS / "weather" / "provenance.json", d)
    for p in [scripts, *scripts.rglob("*")]:
        os.chmod(p, 0o777 if p.is_dir() else 0o666)
    s = scripted_stack(scripts).start()
    yield s
    s.close()
    shutil.rmtree(scripts, ignore_errors=True)


def harmless(page):
    assert page.evaluate("() => window.pwned") is None
    assert page.locator("main img[src='x'], main script, main svg, main iframe, main object, main embed").count() == 0


def test_nothing_that_somebody_wrote_is_run(visit, hostile):  # noqa: F811
    v = visit(stack=hostile)
    page = v.page
    page.locator("#prompt").fill(ATTACK)
    page.locator("#conditions").fill(ATTACK)
    page.get_by_role("button", name="Edit as JSON").click()
    page.locator("#checks-json").fill('[{"id": "c", "run": "echo \\"<img src=x onerror=window.pwned=1>\\"; python3 main.py; cat *.txt", "expect": {"exit": 0, "stdout_contains": "never"}}]')
    page.locator("#model-kind").select_option("recording")
    page.locator("#recording").fill("hostile")
    page.get_by_text("Limits, network and people").click()
    page.locator("#lim-iterations").fill("2")
    v.start()
    v.becomes("Failed")
    expect(page.locator("#run-title")).to_contain_text("<img src=x")
    for item in page.locator("#timeline > li").all():
        item.locator("summary").click()
        if item.locator("[data-check=c]").count():
            expect(item.locator("[data-check=c] dd pre")).to_have_count(2)  # expected and got
        for name in ("Output", "Errors"):
            button = item.get_by_role("button", name=name)
            if button.count() and button.is_enabled():
                button.click()
                expect(item.locator("[data-part=pane] pre")).to_contain_text("<script>window.pwned=1</script>")
                assert "\x1b" not in item.locator("[data-part=pane] pre").text_content()
    page.get_by_text("Event log").click()
    page.get_by_text("What was asked").click()
    # directories open and close, and what is in them keeps its place
    deep = page.locator("#tree details", has_text="deep/").first
    expect(deep.locator(".file")).to_be_visible()
    deep.locator("summary").first.click()
    expect(deep.locator(".file")).to_be_hidden()
    deep.locator("summary").first.click()
    for path, shown in (("deep/er/last.txt", "the last one"), (NAME, "onerror"), ("page.html", "<script>window.pwned=1"), ("evil.csv", "onerror"), ("righté.txt", "fine"),
                        ("zeros.bin", "This is no text")):
        page.locator(f'.file[data-path="{path}"]').click()
        expect(page.locator("#preview h3")).to_have_text(path)
        expect(page.locator("#preview")).to_contain_text(shown)
        harmless(page)
    page.locator(".file", has_text="evil.svg").click()
    image = page.get_by_role("img", name="evil.svg, as an image")
    assert image.evaluate("async i => { await i.decode(); return [i.naturalWidth > 0, new URL(i.src).protocol] }") == [True, "data:"]
    v.shot("hostile-light")
    harmless(page)
    page.reload()
    v.becomes("Failed")
    expect(page.get_by_role("img", name="evil.svg, as an image")).to_be_visible()
    harmless(page)
    v.go("/#/runs")
    expect(page.locator("#runs > li").first).to_contain_text("<img src=x")
    harmless(page)


@pytest.mark.parametrize("address", ["/#/run/<img src=x onerror=window.pwned=1>", "/#<script>window.pwned=1</script>", "/#javascript:window.pwned=1",
                                     "/#/runs?status=<svg onload=window.pwned=1>", "/#/run/../../etc", "/#//evil.example/"])
def test_addresses_that_are_none(visit, address):  # noqa: F811
    page = visit(address).page
    harmless(page)
    expect(page.locator("h1")).to_be_visible()


def test_the_policy_holds_even_where_the_page_would_err(visit):  # noqa: F811
    v = visit()
    got = v.page.evaluate("""() => {
        const out = [];
        try { document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=window.pwned=1>"); out.push("markup"); } catch (e) { out.push(e.name); }
        const s = document.createElement("script");
        try { s.textContent = "window.pwned = 1"; document.body.append(s); out.push("script"); } catch (e) { out.push(e.name); }
        return out;
    }""")
    assert got == ["TypeError", "TypeError"] and v.page.evaluate("() => window.pwned") is None
    v.errors.clear()  # the browser says that it refused


def test_headers_of_the_page(stack):
    for path, kind in (("/", "text/html"), ("/app.js", "text/javascript"), ("/app.css", "text/css"), ("/favicon.svg", "image/svg+xml"),
                       ("/example-weather.json", "application/json"), ("/seattle-weather.csv", "text/csv")):
        r = requests.get(stack.url + path, timeout=30)
        assert r.status_code == 200 and r.headers["Content-Type"].startswith(kind), (path, r.headers)
        policy = r.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy, policy
        assert r.headers["X-Content-Type-Options"] == "nosniff"
    html = ROOT / "nginx/html"
    for f in html.iterdir():
        assert requests.get(f"{stack.url}/{f.name}", timeout=30).content == f.read_bytes(), f.name
    for none in ("/nothing.js", "/app.js/", "/.js", "/html/app.js", "/app.js.map", "/APP.js", "/../nginx.conf", "/azlon_page.conf"):
        assert requests.get(stack.url + none, timeout=30).status_code in (400, 404), none


def test_small_and_from_this_host_alone(visit, stack):  # noqa: F811
    wid = stack.start_run(example("human-eval-065"), user="visitor")
    stack.finish(wid, user="visitor")
    for _ in range(2):
        v = visit(None)
        wire = v.context.new_cdp_session(v.page)
        wire.send("Network.enable")
        sizes = []
        wire.on("Network.loadingFinished", lambda e, sizes=sizes: sizes.append(e["encodedDataLength"]))
        v.go("/")
        v.page.wait_for_load_state("networkidle")
        # and the whole of a run, its event log and a file besides
        v.go(f"/#/run/{wid}?file=solution.py")
        v.becomes("Succeeded")
        expect(v.page.locator("#preview pre")).to_be_visible()
        v.page.wait_for_load_state("networkidle")
        assert len(sizes) > 20 and sum(sizes) < 120 * KIB, (len(sizes), sum(sizes))
