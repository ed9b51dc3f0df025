"""Our files in a configuration that is somebody else's."""
import hashlib
import os
import pathlib
import re
import signal

import pytest

from conftest import ROOT, Stack, until

PAGE = b"<!doctype html><title>report</title>" + b"<p>all of it</p>" * 1000


def children(pid):
    return set(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def with_settings(s, text):
    """At http level, as a host has them."""
    conf = s.var / "nginx/nginx.conf"
    conf.write_text(conf.read_text().replace("http {\n", "http {\n" + text, 1))
    nginx = s.pid("nginx")
    kids = children(nginx)
    os.kill(nginx, signal.SIGHUP)
    until(lambda: children(nginx) and not children(nginx) & kids)


@pytest.fixture(scope="module")
def host():
    s = Stack()
    try:
        s.start()
        # Debian's, and what people add
        with_settings(s, "gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;")
        yield s
    finally:
        s.close()


def test_compression_takes_nothing_from_files(host):
    assert host.request("PUT", "/files/inputs/default/report.html", data=PAGE).status_code == 201
    tag = f'"{hashlib.sha256(PAGE).hexdigest()}"'
    r = host.get("/files/inputs/default/report.html", headers={"Accept-Encoding": "gzip"})
    assert (r.status_code, r.content, r.headers["ETag"]) == (200, PAGE, tag)
    assert r.headers["Content-Length"] == str(len(PAGE)) and r.headers["Accept-Ranges"] == "bytes"
    assert "Content-Encoding" not in r.headers
    r = host.get("/files/inputs/default/report.html", headers={"Accept-Encoding": "gzip", "Range": "bytes=0-9", "If-Range": tag})
    assert (r.status_code, r.content, r.headers["ETag"]) == (206, PAGE[:10], tag)
    # the page is ours to pack
    assert host.get("/app.js", headers={"Accept-Encoding": "gzip"}).headers["Content-Encoding"] == "gzip"


def test_servers_that_the_pages_show_log_no_signatures():
    """The usual format has the query in it."""
    shown = [(f, server) for f in ("WEB_HOST.md", "README.md")
             for server in re.findall(r"^server \{[^\n]*\}$|^server \{\n.*?^\}$", (ROOT / "nginx" / f).read_text(), re.M | re.S)]
    assert len(shown) == 5
    for f, server in shown:
        assert re.search(r"\baccess_log (off|/var/log/nginx/\S+ azlon);", server), (f, server)
    # that format is there for them, in what is included before
    assert "request_uri" not in re.search(r"log_format azlon ([^;]*);", (ROOT / "nginx/azlon_http.conf").read_text())[1]


def test_signatures_are_in_no_log(host):
    host.request("PUT", "/files/inputs/default/a.txt", data=b"x")
    link = host.post("/files/inputs/default/links", json={"path": "a.txt", "ttl_s": 60}).json()["url"]
    link = link[link.index("/files/"):]
    assert host.get(link, user=None).status_code == 200
    log = host.var / "log/nginx-access.log"
    until(lambda: '"GET /_dir/' in log.read_text() or '"GET /files/inputs/default/a.txt"' in log.read_text())
    assert re.search(r"sig=([^&]+)", link)[1] not in host.logs(1000)
