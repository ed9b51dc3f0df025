"""Record the history of one example's run from both engines: record.py NAME [DIRECTORY].

Needs what tests/e2e needs (its Python environment, a build). Overwrites nothing: see README.md.
"""
import json
import pathlib
import sqlite3
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "e2e"))

from conftest import Stack, example  # noqa: E402
from restack_stub import RestackStub  # noqa: E402
from temporal_peer import Temporal  # noqa: E402
from temporalio.api.history.v1 import History  # noqa: E402


def played(stack, name):
    run = stack.start().start_run(example(name))
    assert stack.finish(run)["status"] == "succeeded"
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


def main(name, directory=HERE):
    for kind, record in (("temporal.pb", of_temporal), ("local.jsonl", of_the_journal)):
        with open(pathlib.Path(directory) / f"{name}.{kind}", "xb") as f:
            f.write(record(name))


main(*sys.argv[1:])
