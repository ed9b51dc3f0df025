"""Programs that misbehave are stopped by limits, and the model is told which.

The replay process answers from scripts here (as when recording), since what a limit
prints may differ between hosts."""
import json
import os
import pathlib
import shutil
import tempfile

import pytest

from conftest import RECORDINGS

DOCKER = "### FILE: Dockerfile\n~~~~~\nFROM python:3.11\nWORKDIR /app\nCOPY . .\nCMD [\"python3\", \"main.py\"]\n~~~~~\n"
PROGRAMS = {
    "flood": "while True:\n    print('x' * 1000)\n",
    "forks": "import os, time\nwhile True:\n    if os.fork() == 0:\n        time.sleep(600)\n",
    "memory": "hog = []\nwhile True:\n    hog.append(bytearray(16 << 20))\n",
    "disk": "with open('big.bin', 'wb') as f:\n    for _ in range(10240):\n        f.write(b'\\1' * (1 << 20))\n",
}
OFFLINE = """import urllib.request
for url in ("http://api.example/v1", "https://api.example/v1", "http://10.0.0.1/", "https://api.example/v1"):
    try:
        urllib.request.urlopen(url, timeout=20)
    except OSError as e:
        print("failed:", e)
raise SystemExit("no data")
"""
FINE = "print('fine')\n"
JUDGE = '{"result": true, "reason": null, "plan": null, "suspectedFiles": [], "unsuspectedFiles": [], "evidence": "fine"}\n'


def reply(code):
    return f"Plan: try.\n\n{DOCKER}### FILE: main.py\n~~~~~\n{code}~~~~~\n### END\n"


@pytest.fixture(scope="module")
def scripted(request):
    from conftest import Stack
    scripts = pathlib.Path(tempfile.mkdtemp(prefix="azlon-scripts-"))

    def script(name, replies):
        d = scripts / name
        d.mkdir()
        for i, text in enumerate(replies, 1):
            (d / f"{i}.md").write_text(text)
        shutil.copy(RECORDINGS / "weather" / "provenance.json", d)

    for name, code in {**PROGRAMS, "offline": OFFLINE}.items():
        script(name, [reply(code), reply(FINE), JUDGE])
    script("never", [reply("while True:\n    pass\n")] * 3)
    script("prose", ["I would rather talk about it."] * 4)
    script("escape", ["Plan.\n\n### FILE: ../../x\n~~~~~\nevil\n~~~~~\n### END\n"] * 4)
    script("cut", ["Plan.\n\n### FILE: main.py\n~~~~~\nprint(1"] * 6)
    for p in [scripts, *scripts.rglob("*")]:
        os.chmod(p, 0o777 if p.is_dir() else 0o666)
    s = Stack(AZLON_RECORDINGS=str(scripts), AZLON_RECORD=str(scripts))
    s.start()
    yield s
    s.close()
    shutil.rmtree(scripts, ignore_errors=True)


@pytest.mark.parametrize("name, words", [
    ("flood", ("output",)), ("forks", ("process", "Resource temporarily unavailable")),
    ("memory", ("memory", "MemoryError")), ("disk", ("File too large", "No space left", "disk", "memory")),
])
def test_limits_stop_a_program_and_the_model_learns_of_it(scripted, name, words):
    s = scripted
    wid = s.start_run({
        "model": f"recording/{name}", "user_prompt": "Print fine.", "test_conditions": "fine is printed",
        "checks": [{"id": "out", "run": "python3 main.py | head -c 100", "expect": {"stdout_contains": "fine"}, "timeout_s": 10}],
        "limits": {"iterations": 2},
    })
    run = s.finish(wid, within=200)
    assert run["status"] == "succeeded" and run["progress"]["iteration"] == 2, run
    asked = [json.loads(line) for line in (pathlib.Path(s.env["AZLON_RECORD"]) / f"{name}.jsonl").read_text().splitlines()]
    second = json.dumps(asked[1]["request"])
    assert any(w in second for w in words), second[-3000:]


def test_refused_connections_are_in_the_result_and_the_model_learns_of_them(scripted):
    s = scripted
    wid = s.start_run({
        "model": "recording/offline", "user_prompt": "Print fine.", "test_conditions": "fine is printed",
        "checks": [{"id": "out", "run": "python3 main.py", "expect": {"stdout_contains": "fine"}}],
        "limits": {"iterations": 2},
    })
    run = s.finish(wid)
    assert run["status"] == "succeeded" and run["progress"]["iteration"] == 2, run
    first, second = (s.get(f"/run_workflow/{wid}/iterations/{n}").json() for n in (1, 2))
    want = [{"host": "10.0.0.1", "port": 80, "count": 1, "why": "network"}, {"host": "api.example", "port": 80, "count": 1, "why": "network"},
            {"host": "api.example", "port": 443, "count": 2, "why": "network"}]
    assert first["run"]["blocked"] == want
    assert first["verdict"]["blocked"] == want  # the check ran the program once more
    assert "blocked" not in second["run"] and "blocked" not in second["verdict"]
    refused = "Connections that were refused: 10.0.0.1:80, api.example:80, api.example:443"
    assert [e["message"] for e in s.events(wid) if e["type"] == "warning" and e["code"] == "connections_refused"] == [refused]
    asked = [json.loads(line) for line in (pathlib.Path(s.env["AZLON_RECORD"]) / "offline.jsonl").read_text().splitlines()]
    first, second = (json.dumps(asked[i]["request"]) for i in (0, 1))
    assert refused not in first
    assert refused + "\\nThe program has no network; only RUN lines can install packages.\\n" in second, second[-3000:]
    # what the program itself was told
    assert "failed: HTTP Error 403: blocked by the sandbox: no network" in second
    assert "Tunnel connection failed: 403 blocked by the sandbox: no network" in second


@pytest.mark.parametrize("name", ["prose", "escape", "cut"])
def test_bad_model_output_is_repaired_a_bounded_number_of_times(scripted, name):
    s = scripted
    before = set(s.var.parent.parent.glob("x"))
    run = s.finish(s.start_run({"model": f"recording/{name}", "user_prompt": "Print fine.", "test_conditions": "fine"}))
    assert (run["status"], run["reason"]) == ("failed", "bad_model_output"), run
    assert set(s.var.parent.parent.glob("x")) == before


def test_a_program_that_never_ends_is_stopped_and_the_budget_holds(scripted):
    s = scripted
    wid = s.start_run({"model": "recording/never", "user_prompt": "Print fine.", "test_conditions": "fine",
                       "limits": {"sandbox_s": 4, "iterations": 3}})
    run = s.finish(wid, within=60)
    assert (run["status"], run["reason"]) == ("failed", "budget_exhausted"), run
    program = next(c for c in run["checks"] if c["id"] == "program")
    assert program["status"] == "fail" and "limits.sandbox_s" in program["message"], run["checks"]
    assert run["usage"]["sandbox_s"] <= 20
