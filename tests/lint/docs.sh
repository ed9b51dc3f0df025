#!/bin/bash
# What the pages name is there: files behind relative links, variables somebody reads, make's targets,
# routes of the contract. LINT_ROOT: another tree (the self-test).
cd "${LINT_ROOT:-$(dirname "$0")/../..}" || exit 2
exec python3 - <<'END'
import json, os, pathlib, re, subprocess, sys

def files():
    r = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True, text=True)
    names = r.stdout.split("\0")[:-1] if r.returncode == 0 and "LINT_ROOT" not in os.environ else map(str, pathlib.Path(".").rglob("*"))
    return [pathlib.Path(n) for n in names if pathlib.Path(n).is_file()]

def text(p):
    return p.read_text(errors="replace") if p.exists() else ""

tree = files()
pages = [f for f in tree if f.suffix == ".md" and f.parts[:2] != ("tests", "recordings") or f == pathlib.Path("tests/recordings/README.md")]
bad = []

# ---- who knows which variable ----
kinds = "AZLON|MINIO|RESTACK|E2B|OPENAI|ANTHROPIC|FIREBASE|TS|USE_EXTERNAL|EXTERNAL"
name = re.compile(rf"(?<![A-Za-z0-9_])((?:{kinds})_[A-Z0-9_]+)")
known = set()
for n, kind in re.findall(r'\{"([A-Z0-9_]+)", ([A-Z]+),', text(pathlib.Path("lib/conf/table.c"))):
    known |= {n, n + "_FILE"} if kind == "SECRET" else {n}
for f in tree:  # read by a script, by the client, by make, given to a container, or for tests
    if f.parts[0] in ("fcgi", "docker") and f.suffix in (".c", ".sh", ".yaml") or f.name == "Makefile":
        known |= set(name.findall(text(f)))
    elif f.parts[0] == "tests" and f.suffix == ".py":
        known |= set(re.findall(r'environ(?:\.get)?[\[(]f?"([A-Z0-9_]+)', text(f)))
targets = set(re.findall(r"^([a-z][a-z0-9-]*)(?: [a-z0-9- ]+)?:(?!=)", text(pathlib.Path("Makefile")), re.M))
for phony in re.findall(r"^\.PHONY: (.*)", text(pathlib.Path("Makefile")), re.M):
    targets |= set(phony.split())
contract = text(pathlib.Path("lib/api/openapi.json"))
routes = [p.split("/")[1:] for p in json.loads(contract)["paths"]] if contract else []

def is_route(path):
    have = path.split("/")[1:]
    for r in routes:
        # {path} is the rest, any other {x} one segment
        if len(have) == len(r) or (r[-1] == "{path}" and len(have) > len(r)):
            if all(a == b or b.startswith("{") for a, b in zip(have, r)):
                return True
    return False

for f in pages:
    fence = False
    for at, line in enumerate(text(f).splitlines(), 1):
        def say(what):
            bad.append(f"{f}:{at}: {what}")
        if line.lstrip().startswith("```"):
            fence = not fence
            continue
        code = [line] if fence else re.findall(r"`([^`]+)`", line)
        if not fence:
            for to in re.findall(r"\]\(([^)\s]+)\)", line):
                if not re.match(r"[a-z]+:|#", to) and not (f.parent / to.split("#")[0]).exists():
                    say(f"link to {to}, which is not there")
        for v in name.findall(line):
            if v not in known and not (v.endswith("_") and any(k.startswith(v) for k in known)):
                say(f"{v} is a variable that nobody reads")
        for c in code:
            for t in re.findall(r"(?:^|[\s;&(])make ((?:-\S+ )*)([a-z][a-z0-9-]*)\b(?!=)", c):
                if t[1] not in targets:
                    say(f"make {t[1]} is no target")
            if f.parts[:2] in (("lib", "box"), ("lib", "sandbox"), ("lib", "replay")):
                continue  # routes of others' protocols
            for p in re.findall(r"(?:^|(?:GET|HEAD|POST|PUT|DELETE) |localhost:8000|example\.org)(/(?:run_workflow|files)\b[^\s`\"'?,;)]*)", c):
                if not is_route(p.rstrip("/.")):
                    say(f"{p} is no route of the contract")
print("\n".join(bad))
sys.exit(1 if bad else 0)
END
