"""docker/ as data: the compose file with what server.sh chose filled in, and what the Dockerfile says of
users, directories and files. No engine is asked."""
import os
import re
import shlex
import subprocess

import yaml

from conftest import ROOT

DOCKER = ROOT / "docker"
COMPOSE = DOCKER / "compose.yaml"


def server(command, var, path=None, **env):
    """docker/server.sh in a clean environment."""
    return subprocess.run([str(DOCKER / "server.sh"), *command.split()], capture_output=True, text=True, timeout=60,
                          env={"PATH": path or os.environ["PATH"], "HOME": str(var), "AZLON_VAR": str(var), **env})


def chosen(var, **env):
    """What server.sh makes of an environment: the variables of the compose file."""
    r = server("check", var, **env)
    assert r.returncode == 0, r.stderr
    lines = (var / "docker/chosen.env").read_text().splitlines()
    return dict((k, shlex.split(v)[0] if v != "''" else "") for k, _, v in (line.partition("=") for line in lines))


def filled(values):
    """The compose file as an object. ${V:-d}, ${V-d} and ${V:?why} are as in compose."""

    def one(m):
        name, how, other = m[1], m[2], m[3]
        if values.get(name) or how == "-" and name in values:
            return values[name]
        assert how != ":?", f"{name} is not set: {other}"
        return other or ""

    def walk(x):
        if isinstance(x, dict):
            return {k: walk(v) for k, v in x.items()}
        if isinstance(x, list):
            return [walk(v) for v in x]
        return re.sub(r"\$\{([A-Z0-9_]+)(?:(:?[-?])([^}]*))?\}", one, x) if isinstance(x, str) else x

    return walk(yaml.safe_load(COMPOSE.read_text()))


def variables():
    return set(re.findall(r"\$\{([A-Z0-9_]+)", COMPOSE.read_text()))


class Dockerfile:
    def __init__(self):
        self.text = (DOCKER / "Dockerfile").read_text()
        joined = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", self.text, flags=re.M))
        self.lines = [line for line in joined.splitlines() if line.strip()]
        self.users = {n: int(u) for u, g, n in re.findall(r"useradd [^&]*?--uid (\d+) --gid (\d+) [^&]*?(\S+)\s*(?:&&|$)", joined, re.M) if u == g}
        self.groups = {n: int(g) for g, n in re.findall(r"groupadd --gid (\d+) (\S+)", joined)}
        self.dirs = {p: (int(m, 8), o, g) for m, o, g, p in re.findall(r"install -d -m (\d+) -o (\S+) -g (\S+) (\S+)", joined)}
        self.filecaps = dict((p, c) for c, p in re.findall(r"setcap (\w+)\+ep (\S+)", joined))
        self.subids = re.search(r"--add-subuids (\d+)-(\d+) .*? (\S+)$", joined, re.M).groups()

    def stage(self, name):
        """The lines of a stage."""
        out, on = [], False
        for line in self.lines:
            if line.startswith("FROM "):
                on = line.endswith(f" AS {name}")
            elif on:
                out.append(line)
        assert out, name
        return out

    def copied(self, stage):
        """Of COPY without --from: [(sources, target)]."""
        words = [line.split()[1:] for line in self.stage(stage) if line.startswith("COPY ")]
        return [(w[:-1], w[-1]) for w in words if not w[0].startswith("--from")]

    def parent(self, name):
        """The stage that one begins with; None: a system."""
        m = next(m for m in re.finditer(r"^FROM (\S+) AS (\S+)$", self.text, re.M) if m[2] == name)
        return None if m[1].startswith("$") else m[1]

    def packages(self, stage):
        text = next(line for line in self.stage(stage) if "apt-get install" in line)
        names = text.split("--no-install-recommends", 1)[1].split("&&")[0].split()
        return [n for n in names if not n.startswith("$")]

    def env(self, stage):
        """With what it has of its parent."""
        own = dict(w.split("=", 1) for line in self.stage(stage) if line.startswith("ENV ") for w in line.split()[1:])
        return {**(self.env(p) if (p := self.parent(stage)) else {}), **own}

    def entrypoint(self, stage):
        own = [line for line in self.stage(stage) if line.startswith("ENTRYPOINT ")]
        return yaml.safe_load(own[0].split(None, 1)[1]) if own else self.entrypoint(self.parent(stage))
