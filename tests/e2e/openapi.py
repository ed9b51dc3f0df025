"""The contract (lib/api/openapi.json), and whether an answer is one that it describes."""
import functools
import json
import pathlib
import re
import urllib.parse

import jsonschema
import referencing
import referencing.jsonschema

FILE = pathlib.Path(__file__).resolve().parents[2] / "lib/api/openapi.json"
# of the responses that stand for a status
NAMES = {400: "Malformed", 404: "NotFound", 405: "MethodNotAllowed", 413: "TooLarge", 414: "UriTooLong", 501: "NotImplemented"}


@functools.cache
def document():
    return json.loads(FILE.read_text())


def resolved(node):
    while node.keys() == {"$ref"}:
        node = functools.reduce(dict.__getitem__, node["$ref"].removeprefix("#/").split("/"), document())
    return node


def closed(node):
    """A schema that takes no member which the document does not name: what is not said is not sent."""
    if isinstance(node, list):
        return [closed(n) for n in node]
    if not isinstance(node, dict):
        return node
    out = {k: closed(v) for k, v in node.items()}
    if isinstance(node.get("properties"), dict) and "additionalProperties" not in node and "$ref" not in node:
        out["additionalProperties"] = False
    return out


@functools.cache
def registry():
    whole = {"components": {"schemas": closed(document()["components"]["schemas"])}}
    return referencing.Registry().with_resource("urn:azlon", referencing.Resource(whole, referencing.jsonschema.DRAFT202012))


def validate(value, schema):
    """Against a schema of the document, its members closed."""
    at_home = json.loads(json.dumps(closed(schema)).replace('"#/components', '"urn:azlon#/components'))
    jsonschema.Draft202012Validator(at_home, registry=registry(),
                                    format_checker=jsonschema.FormatChecker()).validate(value)


@functools.cache
def patterns():
    """Of each path; those with fewer variables decide first, as in the route tables."""
    out = []
    for path in sorted(document()["paths"], key=lambda p: (p.count("{"), p)):
        text = re.escape(path).replace(r"\{path\}", ".+").replace(r"\{", "{").replace(r"\}", "}")
        out.append((re.compile(re.sub(r"{\w+}", "[^/]+", text)), path))
    return out


def operation(method, path):
    """The operation that serves it, or None: a route that is not there, or one of the original's."""
    for pattern, name in patterns():
        if pattern.fullmatch(path):
            return document()["paths"][name].get(method.lower())
    return None


def documented(op, status):
    found = op["responses"].get(str(status)) or op["responses"].get(f"{status // 100}XX")
    return resolved(found) if found else None


def path_of(r):
    return urllib.parse.unquote(urllib.parse.urlsplit(r.request.url).path)


def check_ours(r):
    """As check(), of whatever a test asks for: what the document does not name has no such answer."""
    return check(r) if operation(r.request.method, path_of(r)) else r


def check(r):
    """Is the answer one that the document describes? r: of requests. Returns r."""
    path = path_of(r)
    what = f"{r.request.method} {path} {r.status_code}"
    op = operation(r.request.method, path)
    assert op, f"{what}: not in the document"
    said = documented(op, r.status_code)
    assert said, f"{what}: no such answer of {op['operationId']}: {r.text[:300]}"
    for name, header in said.get("headers", {}).items():
        if name in r.headers:
            schema = resolved(header)["schema"]
            validate(int(r.headers[name]) if schema.get("type") == "integer" else r.headers[name], schema)
    content = said.get("content")
    if r.request.method == "HEAD" or content is None:
        assert r.content == b"", f"{what}: a body"
        return r
    mime = r.headers["Content-Type"].split(";")[0].strip()
    assert mime in content or ("*/*" in content and mime != "application/problem+json"), f"{what}: {mime} of {op['operationId']}"
    schema = content.get(mime, content.get("*/*", {})).get("schema")
    if schema and mime.endswith("json"):
        validate(r.json(), schema)
    return r
