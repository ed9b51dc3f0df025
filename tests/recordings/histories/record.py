"""Record the history of one example's run: record.py NAME [DIRECTORY], from both engines, or from the
embedded one with --local before NAME. "cancelled" is a run of "endless" that is cancelled.

Needs what tests/e2e needs (its Python environment, a build). Overwrites nothing: see README.md.
"""
import json
import pathlib
import sqlite3
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "e2e"))

from conftest import RECORDINGS, Stack, example, until  # noqa: E402
from restack_stub import RestackStub  # noqa: E402
from temporal_peer import Temporal  # noqa: E402
from temporalio.api.history.v1 import History  # noqa: E402


ENDS = {"hopeless": "failed", "cancelled": "cancelled"}


def played(stack, name):
    stack.start()
    which = "endless" if name == "cancelled" else name
    inputs = [stack.post("/files/inputs", files={"file": (f.name, f.read_bytes())}).json()["input_id"]
              for f in sorted((RECORDINGS / which).glob("*.csv"))]
    run = stack.start_run({**example(which), **({"inputs": inputs} if inputs else {})})
    if name == "cancelled":
        until(lambda: stack.get(f"/run_workflow/{run}").json()["phase"] == "execute", 60)
        stack.post(f"/run_workflow/{run}/cancel", json={"mode": "now"})
    assert stack.finish(run)["status"] == ENDS.get(name, "succeeded")
    return run


def of_temporal(name):
    server, stub = Temporal(), RestackStub()
    try:
        server.start()
        stack = Stack(RESTACK_ENGINE_ADDRESS=server.address, RESTACK_ENGINE_API_ADDRESS=stub.url)
        try:
            run = played(stack, name)

            async def fetch():
                return await server.client.get_workflow_handle(f"local-{run}").fetch_history()

            return History(events=server.run(fetch()).events).SerializeToString()
        finally:
            stack.close()
    finally:
        stub.close()
        server.close()


def of_the_journal(name):
    stack = Stack()
    try:
        played(stack, name)
        db = sqlite3.connect(f"file:{next(stack.var.rglob('journal.db'))}?mode=ro", uri=True)
        db.row_factory = sqlite3.Row
        rows = db.execute("SELECT type, seq AS id, ref, t AS t_ms, attempt, name, payload, reason, message "
                          "FROM events ORDER BY run, seq").fetchall()
        db.close()
        return "".join(json.dumps(dict(r), ensure_ascii=False) + "\n" for r in rows).encode()
    finally:
        stack.close()


def main(*args):
    local = args[0] == "--local"
    name, directory = (*args[local:], HERE)[:2]
    for kind, record in (() if local else (("temporal.pb", of_temporal),)) + (("local.jsonl", of_the_journal),):
        with open(pathlib.Path(directory) / f"{name}.{kind}", "xb") as f:
            f.write(record(name))


main(*sys.argv[1:])
