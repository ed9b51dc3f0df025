"""Signed links: for browsers, which have no identity to send."""
import hashlib

import pytest

from conftest import until
from files_stores import files, plant_run  # noqa: F401

TREE = {"plot #1.png": b"\x89PNG\r\n\x1a\n" + bytes(500), "page.html": b"<script>1</script>", "b": b"b",
        "logged": b"only once"}


@pytest.fixture(scope="module")
def run(files):  # noqa: F811
    return plant_run(files, "linker", TREE)


def link(stack, run, path, user="linker", **more):
    return stack.post(f"/files/{run}/links", user=user, json={"path": path, **more})


def browser(stack, url, method="GET", **headers):
    """As an <img> asks: no identity."""
    return stack.request(method, url, user=None, headers=headers)


def test_link_opens_without_identity(files, run):  # noqa: F811
    made = link(files, run, "plot #1.png")
    assert made.status_code == 201, made.text
    url = made.json()["url"]
    assert url.startswith(f"/files/{run}/plot%20%231.png?exp=")
    assert files.get(f"/files/{run}/plot%20%231.png", user=None).status_code == 404
    r = browser(files, url)
    assert r.status_code == 200 and r.content == TREE["plot #1.png"]
    assert r.headers["Content-Type"] == "image/png"
    assert r.headers["Content-Disposition"].startswith("inline")
    assert r.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert r.headers["Referrer-Policy"] == "no-referrer"
    assert r.headers["X-Content-Type-Options"] == "nosniff"
    assert r.headers["Cache-Control"] == "private, no-store"
    head = browser(files, url, "HEAD")
    assert head.status_code == 200 and head.headers["Content-Length"] == str(len(r.content))
    part = browser(files, url, Range="bytes=1-3")
    assert part.status_code == 206 and part.content == b"PNG"
    assert browser(files, url, **{"If-None-Match": r.headers["ETag"]}).status_code == 304
    # somebody else's browser sends that one's identity along
    assert browser(files, url, **{"X-User-ID": "other"}).content == r.content
    assert browser(files, f"{url}&download=1").headers["Content-Disposition"].startswith("attachment")


def test_hostile_content_stays_an_attachment(files, run):  # noqa: F811
    r = browser(files, link(files, run, "page.html").json()["url"])
    assert r.headers["Content-Disposition"].startswith("attachment")
    assert r.headers["Content-Security-Policy"].startswith("sandbox")


def test_link_is_for_one_file_and_reading(files, run):  # noqa: F811
    url = link(files, run, "b").json()["url"]
    query = url.split("?")[1]
    for wrong in (f"/files/{run}/page.html?{query}", url[:-1] + ("A" if url[-1] != "A" else "B"),
                  url.replace("exp=", "exp=9"), f"/files/{run}/b?sig=x", f"{url}&iteration=1"):
        r = browser(files, wrong)
        assert r.status_code == 403, wrong
        assert r.headers["Content-Type"] == "application/problem+json"
        assert r.json()["code"] == "link_invalid"
    assert browser(files, url, "DELETE").status_code == 404
    assert browser(files, url, "PUT").status_code == 405
    assert browser(files, f"/files/{run}?{query}").status_code == 404
    assert browser(files, f"{url}&format=zip").status_code == 404
    assert browser(files, url).content == b"b"


def test_link_expires(files, run):  # noqa: F811
    url = link(files, run, "b", ttl_s=1).json()["url"]
    until(lambda: browser(files, url).status_code == 403)
    assert browser(files, url).json()["code"] == "link_expired"


def test_who_gets_a_link(files, run):  # noqa: F811
    assert link(files, run, "b", user="other").status_code == 404
    assert link(files, run, "nowhere").status_code == 404
    for bad in ({"ttl_s": 0}, {"ttl_s": 604801}, {"ttl_s": "x"}, {"path": None}):
        r = files.post(f"/files/{run}/links", user="linker", json={"path": "b", **bad})
        assert r.status_code == 422 and r.json()["errors"], bad
    assert files.post(f"/files/{run}/links", user="linker", data="{}").status_code == 415


def test_links_of_input_sets(files):  # noqa: F811
    for user in ("in-one", "in-two"):
        files.request("PUT", "/files/inputs/default/data.csv", user=user, data=user)
    url = files.post("/files/inputs/default/links", user="in-one", json={"path": "data.csv"}).json()["url"]
    assert browser(files, url).content == b"in-one"
    # it names its owner: nobody's identity changes what it reads
    assert browser(files, url, **{"X-User-ID": "in-two"}).content == b"in-one"


def test_host_rules_stay(files, run):  # noqa: F811
    url = link(files, run, "b").json()["url"]
    assert browser(files, url, Host="evil.example").status_code == 403
    assert browser(files, url, **{"X-Forwarded-For": "10.0.0.1"}).status_code == 403


def test_no_log_has_a_signature(files, run):  # noqa: F811
    url = link(files, run, "logged").json()["url"]
    sig = url.split("sig=")[1]
    assert browser(files, url).status_code == 200
    assert browser(files, url.replace("exp=", "exp=9")).status_code == 403
    logs = files.var / "log"
    # nginx names what it served last: the file, or the object that it is
    names = (f'{run}/logged"', hashlib.sha256(TREE["logged"]).hexdigest())
    until(lambda: sum((logs / "nginx-access.log").read_text(errors="replace").count(n) for n in names) >= 2)
    for log in logs.glob("*.log"):
        assert sig not in log.read_text(errors="replace"), log
