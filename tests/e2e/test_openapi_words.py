"""The codes of failures in the document are those that the handlers and nginx can give, no fewer and no more."""
import re

from conftest import ROOT
from openapi import document


def source(*globs):
    return "\n".join(p.read_text() for g in globs for p in sorted(ROOT.glob(g)))


def documented():
    """{status: codes} of the responses that have a problem document."""
    out = {}
    for r in document()["components"]["responses"].values():
        schema = r.get("content", {}).get("application/problem+json", {}).get("schema")
        if schema:
            out[schema["properties"]["status"]["const"]] = set(schema["properties"]["code"]["enum"])
    return out


def statuses():
    """{"AZ_EINVAL": 400} out of the one table."""
    return {c: int(n) for c, n in re.findall(r'\[(AZ_E?\w+)\] = \{"\w+", (\d+),', source("lib/base/err.c"))}


def plain():
    """{status: words} of failures that have no reason of their own."""
    body = re.search(r"\npublic_code\(.*?\n\}", source("lib/web/problem.c"), re.S)[0]
    out = {}
    for code, word in re.findall(r'case (AZ_E\w+):\n\t\treturn "(\w+)"', body):
        out.setdefault(statuses()[code], set()).add(word)
    out[500] = {re.search(r'return "(\w+)";\n\}', body)[1]}
    return out


def of_nginx():
    out = {}
    for status, word in re.findall(r'return (\d+) \'\{.*?"code":"(\w+)"', source("nginx/azlon_problems.conf", "nginx/azlon_s3.conf")):
        out.setdefault(int(status), set()).add(word)
    return out


def reasons():
    """Those that handlers and identities give their failures by name."""
    text = source("lib/api/*.c") + source("lib/auth/auth*.c", "lib/auth/keyfile.c", "lib/auth/keyset.c")
    named = set(re.findall(r'az_err_reason\(err, "(\w+)"\)', text))
    named |= set(re.findall(r'away\(rc, err, "(\w+)"', text))
    named |= set(re.findall(r'refused\(err, "(\w+)"', text))
    named |= set(re.findall(r'"(token_\w+)"', text))
    # why a token is refused is for the log: the client learns token_invalid
    return named - {"kid", "signature"}


def test_every_plain_code_stands_under_its_status():
    said = documented()
    for status, words in [*plain().items(), *of_nginx().items()]:
        # of requests that were broken off nobody reads an answer; what is behind us has a name of its own
        if status not in (499, 502):
            assert words <= said.get(status, set()), (status, words)


def test_no_code_is_missing_and_none_is_only_there():
    said = set().union(*documented().values())
    given = set().union(*(w for s, w in plain().items() if s not in (499, 502)), *of_nginx().values()) | reasons()
    assert given - said == set()
    assert said - given == set()
