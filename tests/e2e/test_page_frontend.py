"""The original's frontend, as its users have it: a page of another origin that calls this server."""
import http.server
import json
import threading

import pytest

from browser import chromium  # noqa: F401
from conftest import Stack, example, free_ports

# what it did: prompts read and written, a run started, no header that says who calls
FRONTEND = b"""<!doctype html><title>frontend</title><script>
async function call(path, body) {
  const how = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(window.backend + path, how);
  return [response.status, await response.json()];
}
</script>"""


@pytest.fixture(scope="module")
def frontend():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(FRONTEND)))
            self.end_headers()
            self.wfile.write(FRONTEND)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_ports(1)[0]), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def backend(frontend):
    s = Stack(AZLON_CORS_ORIGINS=frontend)
    yield s.start()
    s.close()


@pytest.fixture
def page(chromium, frontend, backend):  # noqa: F811
    context = chromium.new_context()
    page = context.new_page()
    page.goto(frontend)
    page.evaluate("url => { window.backend = url }", f"http://localhost:{backend.port}")
    yield page
    context.close()


def test_its_calls_work_from_its_own_origin(page):
    status, prompts = page.evaluate("() => call('/prompts')")
    assert status == 200 and set(prompts) == {"generate_code_prompt", "validate_output_prompt"}
    edit = {**prompts, "validate_output_prompt": prompts["validate_output_prompt"] + "\nBe brief."}
    assert page.evaluate("edit => call('/prompts', edit)", edit) == [200, {"status": "updated"}]
    assert page.evaluate("() => call('/prompts')") == [200, edit]
    assert page.evaluate("back => call('/prompts', back)", {k: "" for k in prompts})[0] == 200
    e = example("human-eval-127")
    status, said = page.evaluate("body => call('/run_workflow', body)", e)
    assert status == 200 and said["result"] is True and said["user_id"] == "anonymous", json.dumps(said)
    # its own two members alone: no model is configured here, and the refusal can be read
    status, said = page.evaluate("body => call('/run_workflow', body)", {k: e[k] for k in ("user_prompt", "test_conditions")})
    assert status == 409 and said["code"] == "llm_not_configured"


def test_a_page_of_another_origin_reads_nothing(chromium, backend, page):  # noqa: F811
    page.goto(page.url.replace("localhost", "127.0.0.1"))
    failed = page.evaluate("url => fetch(url).then(() => 'read', (e) => e.name)", f"http://localhost:{backend.port}/prompts")
    assert failed == "TypeError"
