"""Files of a sandbox as the official e2b package moves, names and watches them."""
import asyncio
import gzip
import io
import os
import urllib.parse

import pytest
import requests

from conftest import until

ANY = bytes(range(256))
FLOOD = "/tmp/flood"  # words: ok, in the sandbox
BIG = os.urandom(1 << 20) * 3 + ANY


@pytest.fixture(scope="module")
def box(e2b):
    b = e2b.Sandbox.create(timeout=600, envs={"WHO": "azlon"})
    yield b
    b.kill()


@pytest.fixture
def raw(stack, box):
    """A request as a client without the package sends it."""
    def call(method, path, **kw):
        headers = {"E2b-Sandbox-Id": box.sandbox_id, "E2b-Sandbox-Port": "49983",
                   "X-Access-Token": box._envd_access_token, "Accept-Encoding": "identity",
                   **kw.pop("headers", {})}
        return requests.request(method, f"http://127.0.0.1:{stack.local_port}{path}",
                                headers={k: v for k, v in headers.items() if v is not None}, timeout=30, **kw)
    return call


def in_async_box(e2b, box, work):
    async def main():
        return await work(await e2b.AsyncSandbox.connect(box.sandbox_id))
    return asyncio.run(main())


# ---- bytes in, bytes out ----

@pytest.mark.parametrize("options", [{}, {"gzip": True}, {"use_octet_stream": True}], ids=str)
@pytest.mark.parametrize("data", [b"", b"x", "hällo\r\n", ANY, BIG, io.BytesIO(BIG)],
                         ids=["empty", "byte", "text", "any", "big", "stream"])
def test_sandbox_files_what_is_written_is_read(box, data, options):
    want = data.getvalue() if isinstance(data, io.BytesIO) else data.encode() if isinstance(data, str) else data
    if isinstance(data, io.BytesIO):
        data.seek(0)
    info = box.files.write("forms/a b+c%.bin", data, **options)
    assert (info.name, info.path, info.type.value) == ("a b+c%.bin", "/home/user/forms/a b+c%.bin", "file")
    for packed in (False, True):
        assert bytes(box.files.read(info.path, format="bytes", gzip=packed)) == want
        with box.files.read(info.path, format="stream", gzip=packed) as chunks:
            assert b"".join(chunks) == want
    if isinstance(data, str):
        assert box.files.read(info.path) == data


def test_sandbox_files_iterables_are_written_as_they_come(box):
    box.files.write("iter.bin", (ANY for _ in range(1000)))
    assert bytes(box.files.read("iter.bin", format="bytes")) == ANY * 1000


def test_sandbox_files_async_client_writes_and_reads(e2b, box):
    async def chunks():
        for _ in range(300):
            yield ANY

    async def work(b):
        await b.files.write("async/one", "eins")
        await b.files.write("async/two", chunks(), gzip=True)
        async with await b.files.read("async/two", format="stream") as stream:
            got = b"".join([c async for c in stream])
        return await b.files.read("async/one"), got, [e.name for e in await b.files.list("async")]
    assert in_async_box(e2b, box, work) == ("eins", ANY * 300, ["one", "two"])


def test_sandbox_files_many_in_one_request(box):
    names = [f"many/{i % 7}/{i} \"ü\".txt" for i in range(300)]
    made = box.files.write_files([{"path": n, "data": n * 3} for n in names])
    assert [m.path for m in made] == ["/home/user/" + n for n in names]
    assert box.files.read(names[299]) == names[299] * 3


def test_sandbox_files_same_target_twice_is_refused(e2b, box):
    with pytest.raises(e2b.InvalidArgumentException):
        box.files.write_files([{"path": "twice.txt", "data": "1"}, {"path": "./x/../twice.txt", "data": "2"}])
    assert box.files.read("twice.txt") == "1"


def test_sandbox_files_writing_replaces_in_one_step(box):
    box.files.write("step.sh", "#!/bin/sh\necho one\n")
    box.commands.run("chmod 755 step.sh; exec 3<step.sh; mkfifo go; (read x <go; cat <&3 >old) &")
    box.files.write("step.sh", "#!/bin/sh\necho two\n")
    assert box.commands.run("echo >go; wait; ./step.sh").stdout == "two\n"
    until(lambda: box.files.exists("old") and box.files.read("old").endswith("one\n"))
    assert [e.name for e in box.files.list(".") if e.name.startswith(".azlon")] == []


def test_sandbox_files_writing_to_a_link_writes_to_its_target(box):
    box.commands.run("mkdir -p lk/real; ln -s real/file lk/there; ln -s lk/real/new lk2; ln -s loop loop")
    box.files.write("lk/there", "through")
    box.files.write("lk2", "made")
    assert box.files.read("lk/real/file") == "through" and box.files.read("lk/real/new") == "made"
    assert box.commands.run("readlink lk/there lk2").stdout == "real/file\nlk/real/new\n"


def test_sandbox_files_errors_are_typed(e2b, box, raw):
    box.files.make_dir("adir")
    with pytest.raises(e2b.FileNotFoundException, match="/home/user/nowhere"):
        box.files.read("nowhere")
    for bad in ("adir", "~root/x", "bad\0name"):
        with pytest.raises((e2b.InvalidArgumentException, e2b.SandboxException)):
            box.files.read(bad)
    with pytest.raises(e2b.InvalidArgumentException, match="is a directory"):
        box.files.write("adir", "x")
    with pytest.raises(e2b.AuthenticationException, match="invalid username: 'root'"):
        box.files.read("x", user="root")
    with pytest.raises(e2b.AuthenticationException, match="invalid username: 'root'"):
        box.files.list(".", user="root")
    assert box.files.list("adir", user="user") == []
    for r, status, says in (
            (raw("POST", "/files?path=x", data="x", headers={"Content-Type": "text/plain"}), 400, "unsupported content type"),
            (raw("POST", "/files", data="x", headers={"Content-Type": "application/octet-stream"}), 400, "path is required"),
            (raw("POST", "/files?path=x", data="not packed", headers={"Content-Type": "application/octet-stream",
                                                                       "Content-Encoding": "gzip"}), 400, "not gzip"),
            (raw("POST", "/files?path=x", data=gzip.compress(BIG)[:-9], headers={
                "Content-Type": "application/octet-stream", "Content-Encoding": "gzip"}), 400, "cut short"),
            (raw("POST", "/files?path=x", data="x", headers={"Content-Type": "application/octet-stream",
                                                             "Content-Encoding": "br"}), 501, "Content-Encoding br")):
        assert (r.status_code, r.json()["code"]) == (status, status) and says in r.json()["message"], r.text
    assert not box.files.exists("x")


def test_sandbox_files_too_much_is_507_and_leaves_nothing(box, raw):
    # packed it is small: what it becomes is what counts
    member = gzip.compress(bytes(64 << 20), 1)
    octet = {"Content-Type": "application/octet-stream", "Content-Encoding": "gzip"}
    r = raw("POST", "/files?path=full/one", data=member, headers=octet)
    assert r.status_code == 200 and box.files.get_info("full/one").size == 64 << 20
    r = raw("POST", "/files?path=full/two", data=member * 9, headers=octet)
    assert (r.status_code, r.json()["code"]) == (507, 507)
    assert [e.name for e in box.files.list("full")] == ["one"]
    box.files.remove("full")


# ---- HTTP ----

def test_sandbox_files_ranges_and_headers(box, raw):
    box.files.write("r/grüße %.txt", ANY)
    url = "/files?path=" + urllib.parse.quote("r/grüße %.txt")
    whole = raw("GET", url)
    assert whole.status_code == 200 and whole.content == ANY
    assert whole.headers["Content-Length"] == "256" and whole.headers["Accept-Ranges"] == "bytes"
    assert whole.headers["Vary"] == "Accept-Encoding" and whole.headers["Last-Modified"].endswith(" GMT")
    assert whole.headers["Content-Disposition"] == \
        "inline; filename=\"gr____e _.txt\"; filename*=UTF-8''gr%C3%BC%C3%9Fe%20%25.txt"
    for spec, want in (("bytes=0-0", ANY[:1]), ("bytes=250-", ANY[250:]), ("bytes=-6", ANY[250:]),
                       ("bytes=10-19", ANY[10:20]), ("bytes=255-999", ANY[255:])):
        # a range is of the bytes as they are: it is never packed
        r = raw("GET", url, headers={"Range": spec, "Accept-Encoding": "gzip"})
        assert (r.status_code, r.content) == (206, want) and "Content-Encoding" not in r.headers
        assert r.headers["Content-Range"].endswith("/256") and r.headers["Content-Length"] == str(len(want))
    for spec in ("bytes=256-", "bytes=-0"):
        r = raw("GET", url, headers={"Range": spec})
        assert r.status_code == 416 and r.headers["Content-Range"] == "bytes */256" and r.json()["code"] == 416
    same = {"Range": "bytes=0-3", "If-Range": whole.headers["Last-Modified"]}
    assert raw("GET", url, headers=same).status_code == 206
    assert raw("GET", url, headers={**same, "If-Range": "Sat, 01 Jan 2000 00:00:00 GMT"}).content == ANY
    head = raw("HEAD", url)
    assert head.status_code == 200 and head.headers["Content-Length"] == "256" and head.content == b""
    assert raw("HEAD", "/files?path=nowhere").status_code == 404


def test_sandbox_files_packed_when_the_client_takes_it(box, raw):
    text = "all work and no play " * 9999
    box.files.write("dull.txt", text)
    for accept, packed in (("gzip", True), ("br, gzip;q=0.5", True), ("gzip;q=0, identity", False),
                           ("deflate", False), ("*", True), (None, False)):
        r = raw("GET", "/files?path=dull.txt", headers={"Accept-Encoding": accept or "identity"}, stream=True)
        wire = r.raw.read(decode_content=False)
        assert (r.headers.get("Content-Encoding") == "gzip") == packed, accept
        assert (gzip.decompress(wire) if packed else wire) == text.encode() and (len(wire) < 9999) == packed
    assert raw("GET", "/files?path=dull.txt", headers={"Accept-Encoding": "identity;q=0"}).status_code == 406


def test_sandbox_files_compose_joins_and_drops_its_sources(box, raw):
    for i in range(3):
        box.files.write(f"parts/{i}", f"<{i}>" * 50000)
    box.commands.run("mkdir alias; ln -s ../parts/0 alias/first")
    r = raw("POST", "/files/compose", json={"source_paths": ["parts/0", "parts/1", "~/parts/2"],
                                            "destination": "out/whole"})
    assert r.status_code == 200 and r.json() == {"name": "whole", "path": "/home/user/out/whole", "type": "file"}
    assert box.files.read("out/whole") == "<0>" * 50000 + "<1>" * 50000 + "<2>" * 50000
    assert box.files.list("parts") == []
    # the result may have the name of a source, or lead to one
    box.files.write_files([{"path": "parts/0", "data": "a"}, {"path": "parts/1", "data": "b"}])
    for destination in ("parts/0", "alias/first"):
        r = raw("POST", "/files/compose", json={"source_paths": ["parts/0", "parts/1"], "destination": destination})
        assert r.status_code == 200, r.text
        box.files.write("parts/1", "c")
    assert box.files.read("parts/0") == "abc"
    for body, status in (({"source_paths": ["parts/0", "none"], "destination": "x"}, 404),
                         ({"source_paths": [], "destination": "x"}, 400), ({"source_paths": ["parts/0"]}, 400),
                         ({"source_paths": ["parts"], "destination": "x"}, 400), ([], 400),
                         ({"source_paths": ["parts/0"], "destination": "x", "username": "root"}, 401)):
        r = raw("POST", "/files/compose", json=body)
        assert (r.status_code, r.json()["code"]) == (status, status), r.text
    assert box.files.exists("parts/0") and not box.files.exists("x")


def test_sandbox_files_signed_urls(e2b, box):
    other = e2b.Sandbox.create(timeout=120)
    try:
        box.files.write("si gn+ed/ü.txt", "mine")
        other.files.write("si gn+ed/ü.txt", "other's")
        for options in ({}, {"use_signature_expiration": 60}, {"user": "user"}):
            # no header says whose it is
            assert requests.get(box.download_url("si gn+ed/ü.txt", **options)).content == b"mine"
            assert requests.get(other.download_url("si gn+ed/ü.txt", **options)).content == b"other's"
        up = box.upload_url("up.txt", use_signature_expiration=60)
        assert requests.post(up, files={"file": ("whatever", b"posted")}).json()[0]["path"] == "/home/user/up.txt"
        assert box.files.read("up.txt") == "posted"
        assert requests.post(box.upload_url("raw.txt"), data=b"raw",
                             headers={"Content-Type": "application/octet-stream"}).status_code == 200
        assert box.files.read("raw.txt") == "raw" and not other.files.exists("raw.txt")

        down = box.download_url("up.txt", use_signature_expiration=60)
        for url, says in ((down.replace("path=up.txt", "path=raw.txt"), "invalid signature"),
                          (down.replace("signature_expiration=", "signature_expiration=1"), "invalid signature"),
                          (box.upload_url("up.txt"), "invalid signature"),
                          (box.download_url("up.txt", use_signature_expiration=-5), "already expired")):
            r = requests.get(url)
            assert r.status_code == 401 and says in r.json()["message"], r.text
        assert requests.post(down, data=b"x", headers={"Content-Type": "application/octet-stream"}).status_code == 401
        ids = {"E2b-Sandbox-Id": other.sandbox_id}
        assert requests.get(down, headers=ids).json()["message"] == "invalid signature"
        bare = down.split("&signature")[0]
        assert requests.get(bare, headers=ids).json()["message"] == "missing signature query parameter"
        assert requests.get(bare).status_code == 400
        gone = other.download_url("si gn+ed/ü.txt")
    finally:
        other.kill()
    assert requests.get(gone).status_code == 401


def test_sandbox_files_internal_routes_are_not_there(box, raw):
    for path in ("/init", "/freeze", "/unfreeze", "/collapse", "/fsfreeze", "/fsthaw", "//init", "/./freeze",
                 "/files/../init", "/init/"):
        r = raw("POST", path, json={})
        assert r.status_code == 404 and r.json()["code"] == 404, path
    assert raw("GET", "/envs").json() == {"E2B_SANDBOX": "true", "E2B_SANDBOX_ID": box.sandbox_id,
                                          "E2B_TEMPLATE_ID": "base", "WHO": "azlon"}
    assert raw("GET", "/envs", headers={"X-Access-Token": "ea_0"}).status_code == 401


# ---- names ----

def test_sandbox_files_metadata_stays_with_the_file(e2b, box, raw):
    meta = {"Author": "Ann O'Nymous <a@b>", "run-id": "7", "v1.2": ""}
    want = {"author": "Ann O'Nymous <a@b>", "run-id": "7", "v1.2": ""}
    try:
        made = box.files.write("meta.txt", "x", metadata=meta)
    except e2b.SandboxException as e:
        assert "extended attributes" in str(e)  # this disk has none, and says so
        pytest.skip("the file system under the sandbox carries no extended attributes")
    assert made.metadata == want and box.files.get_info("meta.txt").metadata == want
    moved = box.files.rename("meta.txt", "meta2.txt")
    assert moved.metadata == want
    assert {e.name: e.metadata for e in box.files.list(".")}["meta2.txt"] == want
    assert box.files.write("meta2.txt", "y", gzip=True, metadata={"only": "this"}).metadata == {"only": "this"}
    assert box.files.write("meta2.txt", "z").metadata is None and box.files.get_info("meta2.txt").metadata is None
    both = box.files.write_files([{"path": "m/1", "data": ""}, {"path": "m/2", "data": ""}], metadata={"k": "v"})
    assert [m.metadata for m in both] == [{"k": "v"}] * 2
    box.commands.run("python3 -c \"import os; os.setxattr('m/1', 'user.e2b.own', b'1'); os.setxattr('m/1', 'user.x', b'2')\"")
    assert box.files.get_info("m/1").metadata == {"k": "v", "own": "1"}
    octet = {"Content-Type": "application/octet-stream"}
    for bad in ({"X-Metadata-" + "k" * 247: "v"}, {"X-Metadata-a": "ü".encode()}, {"X-Metadata-a": "v" * 4096}):
        assert raw("POST", "/files?path=bad", data=b"", headers={**octet, **bad}).status_code == 400, bad
    assert not box.files.exists("bad")


def test_sandbox_files_list_depth_and_links(e2b, box):
    box.commands.run("mkdir -p t/a/b/c; echo hi >t/a/file; chmod 640 t/a/file; ln -s a/file t/l; ln -s a t/d; "
                     "ln -s nowhere t/broken; mkfifo t/pipe")

    def names(depth):
        return [e.path.removeprefix("/home/user/t/") for e in box.files.list("t", depth=depth) if e.type]
    # what is neither file nor directory, itself or where it leads, the package leaves out
    assert names(1) == ["a", "d", "l"]
    assert names(2) == ["a", "a/b", "a/file", "d", "l"]
    assert names(9) == ["a", "a/b", "a/b/c", "a/file", "d", "l"]
    assert box.files.get_info("t/broken").symlink_target == "/home/user/t/broken"
    link = box.files.get_info("t/l")
    assert (link.type.value, link.symlink_target, link.permissions) == ("symlink", "/home/user/t/a/file", "Lrwxrwxrwx")
    assert link.mode == 0o640 and link.size == len("a/file")
    assert box.files.read("t/l") == "hi\n"
    assert box.files.get_info("t/d").symlink_target == "/home/user/t/a"
    assert [e.name for e in box.files.list("t/d")] == ["b", "file"]
    info = box.files.get_info("t/a/file")
    assert (info.size, info.mode, info.permissions, info.owner, info.group) == (3, 0o640, "-rw-r-----", "user", "user")
    assert info.symlink_target is None
    with pytest.raises(e2b.InvalidArgumentException, match="not a directory"):
        box.files.list("t/a/file")
    with pytest.raises(e2b.FileNotFoundException):
        box.files.list("t/none")
    with pytest.raises(e2b.SandboxException, match="many levels"):
        box.commands.run("ln -s self t/self")
        box.files.list("t/self")


def test_sandbox_files_make_move_remove(e2b, box):
    assert box.files.make_dir("mk/a/b") is True and box.files.make_dir("mk/a/b") is False
    box.files.write("mk/file", "1")
    with pytest.raises(e2b.InvalidArgumentException):
        box.files.make_dir("mk/file")
    assert box.files.rename("mk/file", "mk/new/place").path == "/home/user/mk/new/place"
    box.files.write("mk/other", "2")
    box.files.rename("mk/other", "mk/new/place")
    assert box.files.read("mk/new/place") == "2" and not box.files.exists("mk/other")
    with pytest.raises(e2b.FileNotFoundException):
        box.files.rename("mk/other", "x")
    box.commands.run("mkdir -p mk/locked/in; chmod 0 mk/locked; ln -s /etc mk/etc")
    box.files.remove("mk")
    box.files.remove("mk")
    assert not box.files.exists("mk") and box.files.exists("/etc/passwd")


# ---- watching ----

def events_of(handle, wanted):
    """All events until one with this name and type came."""
    got = []

    def there():
        got.extend(handle.get_new_events())
        return wanted in [(e.name, e.type.value) for e in got]
    until(there)
    return [(e.name, e.type.value) for e in got], got


def test_sandbox_files_watch_by_asking(e2b, box):
    box.files.write("w/old", "1")
    handle = box.files.watch_dir("w")
    assert handle.get_new_events() == []
    # what a call did is there when it has returned
    box.files.write("w/new", "n")
    assert [(e.name, e.type.value) for e in handle.get_new_events()] == [("new", "create"), ("new", "write")]
    box.files.write("w/old", "2")
    assert [(e.name, e.type.value) for e in handle.get_new_events()] == [("old", "write")]
    box.files.rename("w/old", "w/moved")
    assert [(e.name, e.type.value) for e in handle.get_new_events()] == [("old", "rename"), ("moved", "create")]
    box.files.remove("w/moved")
    assert [(e.name, e.type.value) for e in handle.get_new_events()] == [("moved", "remove")]
    box.commands.run("chmod 600 w/new; mkdir w/sub; echo x >w/sub/deep; echo y >>w/new")
    got, _ = events_of(handle, ("new", "write"))
    assert got == [("new", "chmod"), ("sub", "create"), ("new", "write")]
    assert all(e.entry is None for e in handle.get_new_events())
    handle.stop()
    with pytest.raises(e2b.SandboxException):
        handle.get_new_events()


def test_sandbox_files_watch_below_with_entries(box):
    box.files.write("deep/a/b/seen", "1")
    handle = box.files.watch_dir("deep", recursive=True, include_entry=True)
    box.files.write("deep/a/b/seen", "22")
    box.files.write("deep/x/y/z", "333")
    got, events = events_of(handle, ("x/y/z", "create"))
    assert got[0] == ("a/b/seen", "write") and ("x", "create") in got and ("x/y", "create") in got
    entry = events[0].entry
    assert (entry.path, entry.size, entry.type.value) == ("/home/user/deep/a/b/seen", 2, "file")
    # what is new is watched too, and so is what moved in or got another name
    box.files.write("deep/x/y/z", "4444")
    assert ("x/y/z", "write") in [(e.name, e.type.value) for e in handle.get_new_events()]
    box.commands.run("mkdir -p out/c && mv out deep/in && mv deep/x deep/renamed")
    events_of(handle, ("renamed", "create"))
    box.files.write("deep/in/c/f", "")
    box.files.write("deep/renamed/y/z", "5")
    assert [(e.name, e.type.value) for e in handle.get_new_events()] == [
        ("in/c/f", "create"), ("in/c/f", "write"), ("renamed/y/z", "write")]
    box.files.remove("deep/renamed")
    got, _ = events_of(handle, ("renamed", "remove"))
    assert ("renamed/y/z", "remove") in got and ("renamed/y", "remove") in got
    handle.stop()


def test_sandbox_files_watch_refuses_what_is_no_directory(e2b, box):
    box.files.write("plain", "")
    with pytest.raises(e2b.InvalidArgumentException, match="not a directory"):
        box.files.watch_dir("plain")
    with pytest.raises(e2b.FileNotFoundException):
        box.files.watch_dir("not/there")
    handle = box.files.watch_dir(".")
    handle.stop()
    with pytest.raises(e2b.SandboxException, match="not found"):
        handle._closed = False
        handle.get_new_events()


def test_sandbox_files_watch_as_a_stream(e2b, box):
    box.files.make_dir("stream")

    async def work(b):
        got, ends, seen = [], [], asyncio.Event()

        def event(e):
            got.append((e.name, e.type.value, e.entry.size if e.entry else None))
            if e.name == "last" and e.type.value == "write":
                seen.set()
        handle = await b.files.watch_dir("stream", on_event=event, on_exit=ends.append, include_entry=True, timeout=0)
        await b.files.write("stream/f", "abc")
        await b.files.rename("stream/f", "stream/g")
        await b.files.remove("stream/g")
        await b.files.write("stream/last", "!")
        await asyncio.wait_for(seen.wait(), 10)
        await handle.stop()
        with pytest.raises(e2b.FileNotFoundException):
            await b.files.watch_dir("stream/none", on_event=event)
        short, over = asyncio.Event(), []

        def ended(e):
            over.append(e)
            short.set()
        await b.files.watch_dir("stream", on_event=event, on_exit=ended, timeout=1)
        await asyncio.wait_for(short.wait(), 10)
        return [g[:2] for g in got], ends, over
    got, ends, over = in_async_box(e2b, box, work)
    assert got[:6] == [("f", "create"), ("f", "write"), ("f", "rename"), ("g", "create"), ("g", "remove"), ("last", "create")]
    assert ends == [None] and isinstance(over[0], e2b.TimeoutException)


def test_sandbox_files_watch_says_when_events_were_lost(e2b, box):
    box.files.make_dir(FLOOD)
    handle = box.files.watch_dir(FLOOD)
    box.commands.run(f"python3 -c \"\nfor i in range(20000):\n    open(f'{FLOOD}/{{i}}' + 'x' * 60, 'w').close()\n\"")
    with pytest.raises(e2b.SandboxException, match="events were lost"):
        while handle.get_new_events():
            pass
    handle.stop()
    again = box.files.watch_dir(FLOOD)
    box.files.write(f"{FLOOD}/after", "")
    assert ("after", "create") in [(e.name, e.type.value) for e in again.get_new_events()]
    again.stop()
