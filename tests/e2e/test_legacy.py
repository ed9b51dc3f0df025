"""The original's routes and its frontend keep working."""
from conftest import example


def test_prompts(stack):
    r = stack.get("/prompts", user=None)
    assert r.status_code == 200 and len(r.json()) >= 2, r.text
    assert stack.get("/run_workflow/prompts", user=None).json() == r.json()
    edit = {k: v + "\nBe brief." for k, v in r.json().items() if isinstance(v, str)}
    w = stack.post("/prompts", user="prompter", json=edit)
    assert w.status_code == 200 and w.json()["status"] == "updated"
    assert stack.get("/prompts", user="prompter").json() == edit
    assert stack.get("/prompts", user=None).json() == r.json()


def test_upload_list_file_and_zip(stack):
    r = stack.post("/upload_input/carol", user="carol", files=[("files", ("notes.txt", b"remember"))])
    assert r.status_code == 200, r.text
    assert r.json()["message"]
    assert [(f["filename"], f["size"]) for f in r.json()["files"]] == [("notes.txt", 8)]
    wid = stack.start_run(example("human-eval-001"), user="dave")
    stack.finish(wid, user="dave")
    listed = stack.get(f"/workflow_result/dave/{wid}", user="dave").json()
    entry = next(e for e in listed if e["name"] == "solution.py")
    assert entry["extension"] in (".py", "py") and entry["size"] > 0
    body = stack.get(f"/workflow_file/dave/{wid}/{entry['path']}", user="dave")
    assert body.status_code == 200 and b"separate_paren_groups" in body.content
    assert stack.get(f"/workflow_zip/dave/{wid}", user="dave").content[:2] == b"PK"
    assert wid in stack.get("/output_dirs", user="dave").json()
    assert stack.get(f"/output_files/{wid}", user="dave").status_code == 200
    assert stack.get(f"/output_file/{wid}/solution.py", user="dave").content == body.content


def test_the_user_in_a_path_is_compared_never_trusted(stack):
    wid = stack.start_run(example("human-eval-001"), user="erin")
    stack.finish(wid, user="erin")
    assert stack.get(f"/workflow_result/erin/{wid}", user="frank").status_code == 404
    assert stack.get(f"/workflow_result/frank/{wid}", user="erin").status_code == 404
    assert stack.get(f"/workflow_file/erin/{wid}/solution.py?legacy_user=frank", user="frank").status_code == 404


def test_the_original_frontend_without_a_user_header(stack):
    e = example("human-eval-127")
    r = stack.post("/run_workflow", user=None, json=e, headers={"Origin": "http://localhost:8080"}, timeout=120)
    assert r.status_code == 200 and r.json()["result"] is True
    assert r.json()["user_id"] == "anonymous"
    assert r.headers["Access-Control-Allow-Origin"] == "http://localhost:8080"


def test_https_with_the_test_ca(stack):
    import requests
    r = requests.get(f"https://localhost:{stack.tls_port}/run_workflow/health/live", verify=str(stack.var / "tls/ca.pem"))
    assert r.status_code == 200
