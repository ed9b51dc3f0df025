"""With the dev identity nobody signs in, so a browser would send whatever any page asks it to: a form goes
to every host without a preflight. What changes something is refused to pages that are neither ours nor listed."""
import pytest

from conftest import example
from raw_http import answers, one, request, talk

FORM = (b'--b\r\nContent-Disposition: form-data; name="f"; filename="planted.py"\r\n\r\nx\r\n--b--\r\n')


def upload(stack, *origin, host=None):
    """As a page's form does it, as anonymous; the status."""
    r = one(stack.port, request("POST", "/upload_input/anonymous", "Content-Type: multipart/form-data; boundary=b", f"Content-Length: {len(FORM)}",
                                *(f"Origin: {o}" for o in origin), host=host or f"localhost:{stack.port}", body=FORM))
    return r.status


def default_set(stack):
    r = stack.get("/files/inputs/default", user=None)
    return r.status_code if r.status_code != 200 else [f["path"] for f in r.json()["files"]]


FOREIGN = ("https://evil.example", "null", "http://8080-abc.localhost:{local}", "http://localhost:{local}", "http://localhost", "https://localhost",
           "http://localhost:{port}.evil.example", "http://127.0.0.1:{port}", "file://", "chrome-extension://localhost:{port}", "localhost:{port}0",
           "http://localhost:5173.evil.example", "http://localhost:{port}/")


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_form_of_another_site_plants_nothing(stack, origin):
    stack.request("DELETE", "/files/inputs/default", user=None)
    assert upload(stack, origin.format(port=stack.port, local=stack.local_port)) == 403
    assert default_set(stack) == 404


@pytest.mark.parametrize("origin,host", (((), None), (("http://localhost:{port}",), None), (("https://localhost:{port}",), None),
                                         (("http://127.0.0.1:{port}",), "127.0.0.1:{port}"), (("http://localhost:5173",), None)))
def test_pages_that_may_and_programs_do(stack, origin, host):
    stack.request("DELETE", "/files/inputs/default", user=None)
    assert upload(stack, *(o.format(port=stack.port) for o in origin), host=host and host.format(port=stack.port)) == 200
    assert default_set(stack) == ["planted.py"]
    stack.request("DELETE", "/files/inputs/default", user=None)


def test_nothing_else_is_changed_either(stack):
    wid = stack.start_run({**example("human-eval-127")}, user=None)
    evil = {"Origin": "https://evil.example"}
    for method, path in (("POST", f"/run_workflow/{wid}/cancel"), ("POST", f"/run_workflow/{wid}/signal"), ("DELETE", f"/run_workflow/{wid}"),
                         ("DELETE", f"/files/{wid}"), ("POST", "/run_workflow"), ("POST", "/run_workflow/prompts"), ("PUT", "/files/inputs/default/x")):
        r = stack.request(method, path, user=None, headers=evil, json={})
        assert (r.status_code, r.json()["code"]) == (403, "forbidden"), (method, path, r.text)
    # who only reads changes nothing, and the browser keeps the answer from the page
    r = stack.get(f"/run_workflow/{wid}", user=None, headers=evil)
    assert r.status_code == 200 and "Access-Control-Allow-Origin" not in r.headers
    assert stack.finish(wid, user=None)["result"] is True


def test_no_header_of_a_client_says_that_it_is_listed(stack):
    r = answers(talk(stack.port, request("POST", "/run_workflow/prompts", "Content-Type: application/json", "Content-Length: 2", "Origin: https://evil.example",
                                         "AZLON_CORS: https://evil.example", "Azlon-Cors: https://evil.example", host=f"localhost:{stack.port}", body=b"{}")))[0]
    assert r.status == 403
