"""HEAD works wherever GET does: the same status and length, no body."""
import pytest

from conftest import example


@pytest.fixture(scope="module")
def run(stack):
    wid = stack.start_run(example("human-eval-010"), user="header")
    stack.finish(wid, user="header")
    return wid


@pytest.mark.parametrize("path", [
    "/run_workflow", "/run_workflow/prompts", "/run_workflow/health/live", "/run_workflow/{}", "/run_workflow/{}?wait=1",
    "/run_workflow/{}/result", "/run_workflow/{}/result?wait=1", "/run_workflow/{}/events", "/run_workflow/{}/iterations",
    "/run_workflow/{}/iterations/1", "/run_workflow/{}/iterations/1/diff", "/files/{}", "/files/{}/solution.py"])
def test_head_is_get_without_its_body(stack, run, path):
    get = stack.get(path.format(run), user="header")
    head = stack.request("HEAD", path.format(run), user="header")
    assert get.status_code == head.status_code == 200
    assert head.content == b""
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert int(head.headers["Content-Length"]) == len(get.content)


def test_head_of_a_stream_ends_at_once(stack, run):
    r = stack.request("HEAD", f"/run_workflow/{run}/events", user="header", headers={"Accept": "text/event-stream"}, timeout=10)
    assert r.status_code == 200
    assert r.headers["Content-Type"] == "text/event-stream"


@pytest.mark.parametrize("path", ["/run_workflow/{}/cancel", "/run_workflow/{}/fork", "/files/inputs"])
def test_head_of_what_cannot_be_read_is_refused(stack, run, path):
    assert stack.request("HEAD", path.format(run), user="header").status_code == 405
