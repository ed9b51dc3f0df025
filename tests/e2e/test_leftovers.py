"""What a program leaves behind may fail its own checks, never the service's work: the next
attempt gets a sandbox that can be used, and checks see only what they should."""
import json
import os
import pathlib
import shutil
import tempfile

import pytest

from conftest import RECORDINGS, Stack
from test_hostile import FINE, JUDGE, reply

BAD = "raise SystemExit('bad')\n"
PROGRAMS = {
    "unreadable": "import os\nos.mkdir('d'); open('d/x', 'w').close(); os.chmod('d', 0)\n"
                  "open('s', 'w').close(); os.chmod('s', 0)\n",
    "many": "import os\nos.mkdir('m')\nfor i in range(25000): open(f'm/{i}', 'w').close()\n",
    "marker": "import os\np = os.path.expanduser('~/.azlon-iteration')\nos.remove(p); os.makedirs(p + '/x')\n",
    "readonly": "import os\nos.chmod('.', 0o500); os.chmod(os.path.expanduser('~'), 0o500)\n",
    "full": "import os\nfor i in range(5):\n  with open(os.path.expanduser(f'~/big{i}'), 'wb') as f:\n"
            "    try:\n      while True: f.write(b'x' * (1 << 20))\n    except OSError as e: print(e)\n",
    "replaced": "import os\nos.remove('test_x.py'); os.mkdir('test_x.py')\n",
    "deep": "import os\nfor i in range(300):\n  os.mkdir('d' * 20); os.chdir('d' * 20)\n",
    "odd": "import os, socket\nos.mkfifo('pipe'); os.symlink('/etc/passwd', 'link'); os.symlink('loop', 'loop')\n"
           "socket.socket(socket.AF_UNIX).bind('sock')\nopen(b'bad\\xff\\nname', 'w').close()\n",
    "moved": "import os, shutil\nos.chdir('/'); p = os.path.expanduser('~/app')\nshutil.rmtree(p); os.symlink('/tmp', p)\n",
}
# fine by itself, but each time it runs it tries to make the test pass, now and later
CHEAT = """import importlib.util, marshal, os, struct
if os.fork() == 0:
    os.setsid()
    import time
    while True:
        open('test_x.py', 'w').write('print("ok")')
        time.sleep(0.01)
open('test_x.py', 'w').write('print("ok")')
os.makedirs('__pycache__', exist_ok=True)
code = compile('print("ok")', 'test_x.py', 'exec')
with open(importlib.util.cache_from_source('test_x.py'), 'wb') as f:
    f.write(importlib.util.MAGIC_NUMBER + struct.pack('<I', 1) + b'\\0' * 8 + marshal.dumps(code))
print('fine')
"""

@pytest.fixture(scope="module")
def scripted():
    scripts = pathlib.Path(tempfile.mkdtemp(prefix="azlon-scripts-"))

    def script(name, replies):
        (scripts / name).mkdir()
        for i, text in enumerate(replies, 1):
            (scripts / name / f"{i}.md").write_text(text)
        shutil.copy(RECORDINGS / "weather" / "provenance.json", scripts / name)

    for name, code in PROGRAMS.items():
        script(name, [reply(code + BAD), reply(FINE), JUDGE])
    script("cheat", [reply(CHEAT)])
    script("pattern", [reply(FINE)])
    script("swap", [reply(FINE).replace("### END", "### FILE: test_x.py\n~~~~~\nprint('ok')\n~~~~~\n### END")] * 2)
    for p in [scripts, *scripts.rglob("*")]:
        os.chmod(p, 0o777 if p.is_dir() else 0o666)
    s = Stack(AZLON_RECORDINGS=str(scripts), AZLON_RECORD=str(scripts))
    try:
        yield s.start()
    finally:
        s.close()
        shutil.rmtree(scripts, ignore_errors=True)


def run(s, name, test, checks, **more):
    r = s.post("/files/inputs", files={"file": ("test_x.py", test)})
    wid = s.start_run({"model": f"recording/{name}", "user_prompt": "Print fine.", "inputs": [r.json()["input_id"]],
                       "test_conditions": "fine is printed", "checks": checks, "limits": {"iterations": 2, "wall_s": 90}, **more})
    return wid, s.finish(wid, within=100)


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_it_fails_its_attempt_and_the_next_one_is_judged_fairly(scripted, name):
    wid, end = run(scripted, name, b"print('ok')\n", [
        {"id": "t", "run": "python3 test_x.py", "expect": {"stdout_contains": "ok"}, "timeout_s": 10},
        {"id": "o", "run": "python3 main.py", "expect": {"stdout_contains": "fine"}, "timeout_s": 10}])
    assert (end["status"], end["progress"]["iteration"]) == ("succeeded", 2), (end, scripted.events(wid))


def test_the_program_run_by_one_check_cannot_help_itself_through_the_next(scripted):
    wid, end = run(scripted, "cheat", b"raise SystemExit('the real test')\n", [
        {"id": "o", "run": "python3 main.py", "expect": {"stdout_contains": "fine"}},
        {"id": "script", "run": "python3 test_x.py", "expect": {"exit": 0}},
        {"id": "module", "run": "python3 -m test_x", "expect": {"exit": 0}},
        {"id": "import", "run": "python3 -c 'import test_x'", "expect": {"exit": 0}},
    ], limits={"iterations": 1})
    status = {c["id"]: c["status"] for c in end["checks"]}
    assert end["status"] == "failed" and status["o"] == "pass", end
    assert [status[i] for i in ("script", "module", "import")] == ["fail"] * 3, end["checks"]
    assert any(e["type"] == "warning" and e.get("code") == "check_files_changed" for e in scripted.events(wid))


def test_a_pattern_that_never_ends_does_not_hold_the_worker(scripted):
    wid, end = run(scripted, "pattern", b"print('ok')\n", [
        # every letter makes the matcher a new state: hours, for this much
        {"id": "p", "run": "python3 -c \"import random; print(''.join(random.choices('ab', k=900000)))\"",
         "expect": {"stdout_matches": "(a|b)*a(a|b){200}c"}}], limits={"iterations": 1})
    assert "too long" in next(c for c in end["checks"] if c["id"] == "p")["message"], end
    assert end["usage"]["wall_s"] < 20, json.dumps(end["usage"])


def test_the_model_cannot_replace_the_tests_it_was_given(scripted):
    _, r = run(scripted, "swap", "raise SystemExit('the real test')", [{"id": "own", "run": "python3 test_x.py", "expect": {"exit": 0}}])
    assert {c["id"]: c["status"] for c in r["checks"]}["own"] == "fail", r["checks"]
    assert r["status"] == "failed"
