"""Models that answer by a script: NAME/<n>.md, in the order in which they are asked."""
import json
import os
import pathlib
import shutil
import tempfile

from conftest import RECORDINGS

HEAD = "Plan: write it.\n\n"
DOCKERFILE = "FROM python:3.11\nWORKDIR /app\nCOPY . .\nCMD python3 main.py\n"


def reply(files):
    """{path: text} as a model would write them."""
    blocks = "".join(f"### FILE: {path}\n~~~~~\n{text}~~~~~\n" for path, text in files.items())
    return f"{HEAD}{blocks}### END\n"


class Scripts:
    """A directory for AZLON_RECORDINGS and AZLON_RECORD; close() removes it."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="azlon-scripts-"))
        self.dir.chmod(0o777)  # whoever replay runs as writes down what it was asked

    @property
    def env(self):
        return {"AZLON_RECORDINGS": str(self.dir), "AZLON_RECORD": str(self.dir)}

    def add(self, name, *replies):
        d = self.dir / name
        d.mkdir()
        shutil.copy(RECORDINGS / "weather" / "provenance.json", d)
        for n, text in enumerate(replies, 1):
            (d / f"{n}.md").write_text(text)
        for p in [d, *d.iterdir()]:
            os.chmod(p, 0o777 if p.is_dir() else 0o666)
        return f"recording/{name}"

    def asked(self, name):
        """What the model was asked, in order: the text of each request's last message."""
        lines = (self.dir / f"{name}.jsonl").read_text().splitlines()
        return [json.loads(line)["request"]["messages"][-1]["content"] for line in lines]

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)
