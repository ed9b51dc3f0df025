"""Our files in a configuration that is somebody else's."""
import hashlib
import os
import pathlib
import signal

import pytest

from conftest import Stack, until

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
