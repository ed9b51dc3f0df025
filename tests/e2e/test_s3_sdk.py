"""What we write to S3 others read, and the reverse: boto3 and the minio package against a real MinIO.
Our side is tests/tools/store_tool.c, the store port from the command line."""
import hashlib
import io
import os
import subprocess
import unicodedata

import pytest
import requests
from minio import Minio as MinioClient

from conftest import BIN
from files_stores import bucket_of

TOOL = BIN.parent / "tests/tools/store_tool"
USER = "Übel / user"
LONG = "/".join(["x" * 200] * 5)
NAMES = ["plain.txt", "a b+c=d&e?f#g%h.txt", "100%25/%2F", "quo'te\"s.txt", "semi;colon,comma", "tilde~!*().txt", "a//b".replace("//", "/"),
         "<&>.xml", "@home/$x", "日本語/ファイル.csv", "emoji-🙂/👩‍👩‍👧.txt", unicodedata.normalize("NFC", "é.txt"),
         unicodedata.normalize("NFD", "ü.txt"), "tab\tname", "new\nline", "del\x7f", LONG + "/" + "y" * (1024 - len(LONG) - 1 - 10)]
# our rules of names refuse what some tools cannot carry; see azlon/path.h
REFUSED = {"tab\tname", "new\nline", "del\x7f"}


class Tool:
    def __init__(self, server, user=USER, **env):
        self.env = {"PATH": os.environ["PATH"], "MINIO_ROOT_USER": server.access, "MINIO_ROOT_PASSWORD": server.secret, **env}
        self.at, self.user = f"s3:{server.url}", user

    def __call__(self, *args, data=b"", code=0):
        r = subprocess.run([TOOL, self.at, self.user, *args], input=data, capture_output=True, env=self.env, timeout=120)
        assert r.returncode == code, (args, r.stderr.decode())
        return r.stdout if code == 0 else r.stderr.decode()

    def list(self, *args):
        rows = self("list", *args).split(b"\0")[:-1]
        return {r.split(b" ", 2)[2].decode(): int(r.split(b" ")[0]) for r in rows}


@pytest.fixture
def tool(minio):
    t = Tool(minio)
    yield t
    t("rmbucket")


@pytest.fixture(scope="module")
def s3(minio):
    return minio.client()


def test_the_bucket_is_the_one_everybody_computes(tool):
    assert tool("bucket").decode().strip() == bucket_of(USER)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in REFUSED], ids=ascii)
def test_a_name_means_the_same_object_to_all(minio, tool, s3, name):
    body = os.urandom(1000) + name.encode()
    tool("put", name, data=body)
    assert tool.list() == {name: len(body)}
    # boto3
    got = s3.get_object(Bucket=bucket_of(USER), Key=name)
    assert got["Body"].read() == body
    assert got["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket_of(USER))["Contents"]] == [name]
    # the minio package
    other = MinioClient(minio.host, access_key=minio.access, secret_key=minio.secret, region=minio.region, secure=False)
    r = other.get_object(bucket_of(USER), name)
    try:
        assert r.read() == body
    finally:
        r.close()
        r.release_conn()
    # and back
    theirs = os.urandom(2000)
    other.put_object(bucket_of(USER), name, io.BytesIO(theirs), len(theirs))
    assert tool("get", name) == theirs
    s3.put_object(Bucket=bucket_of(USER), Key=name, Body=body[::-1], Metadata={"made-by": "boto3"})
    assert tool("get", name) == body[::-1]
    assert tool("get", name, "500") == body[::-1][500:]
    tool("rm", name)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket_of(USER))


@pytest.mark.parametrize("name", sorted(REFUSED), ids=ascii)
def test_a_name_that_breaks_tools_is_refused(tool, name):
    assert "bad_request" in tool("put", name, data=b"x", code=1)


def test_a_body_of_several_parts_is_theirs_and_ours(tool, s3):
    body = os.urandom((12 << 20) + 12345)
    tool("put", "big.bin", data=body)
    got = s3.get_object(Bucket=bucket_of(USER), Key="big.bin")
    assert got["Body"].read() == body
    assert got["ETag"].endswith('-3"')
    s3.upload_fileobj(io.BytesIO(body[::-1]), bucket_of(USER), "theirs.bin")  # boto3 cuts it into parts of its own
    assert tool("get", "theirs.bin") == body[::-1]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket_of(USER))
    tool("copy", "big.bin", "copy.bin")
    assert s3.get_object(Bucket=bucket_of(USER), Key="copy.bin")["Body"].read() == body


def test_an_empty_object(tool, s3):
    tool("put", "empty", data=b"")
    assert s3.head_object(Bucket=bucket_of(USER), Key="empty")["ContentLength"] == 0
    assert tool("get", "empty") == b""
    assert "range_not_satisfiable" in tool("get", "empty", "1", code=1)


def test_thousands_are_listed_in_order_and_removed_whole(tool, s3):
    tool("puts", "many/", "2500", "10", "16")
    tool("put", "many-more", data=b"stays")
    ours = list(tool.list("many/"))
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket_of(USER), Prefix="many/")
    assert ours == [o["Key"] for p in pages for o in p["Contents"]] and len(ours) == 2500
    assert tool.list("", "one") == {"many-more": 5, "many/": 0}
    tool("rmprefix", "many/")
    assert tool.list() == {"many-more": 5}


def test_an_object_is_never_also_a_directory(tool):
    tool("put", "a/b", data=b"file")
    assert "conflict" in tool("put", "a/b/c", data=b"x", code=1)
    tool("put", "d/e/f", data=b"file")
    assert "conflict" in tool("put", "d/e", data=b"x", code=1)
    assert tool.list() == {"a/b": 4, "d/e/f": 4}


def test_only_the_first_of_two_writers_wins(tool):
    tool("if", "m", "-", data=b"one")
    assert "precondition" in tool("if", "m", "-", data=b"two", code=1)
    tool("if", "m", "one", data=b"three")
    assert "precondition" in tool("if", "m", "one", data=b"four", code=1)
    assert tool("get", "m") == b"three"
    assert tool.list() == {"m": 5}  # and nothing else is left lying about


def test_links_and_what_nginx_is_given_open_the_object(minio, tool):
    name, body = "dir/a b+ü&.txt", os.urandom(500)
    tool("put", name, data=body)
    url = tool("link", name, "60", "text/x-own").decode().strip()
    r = requests.get(url, timeout=10)
    assert (r.status_code, r.content, r.headers["Content-Type"]) == (200, body, "text/x-own")
    assert r.headers["Content-Disposition"] == "inline"
    assert requests.get(url[:-1] + ("0" if url[-1] != "0" else "1"), timeout=10).status_code == 403
    target, path = tool("accel", "GET", "text/plain", name).decode().splitlines()
    assert target == "@s3"
    r = requests.get(minio.url + path, headers={"Range": "bytes=10-19"}, timeout=10)
    assert (r.status_code, r.content) == (206, body[10:20])
    assert requests.head(minio.url + path, timeout=10).status_code == 403  # it was signed for GET


def test_users_do_not_reach_each_other_even_by_name(minio, s3):
    users = ["user-1", "user-12", "User-1", "user-1/", "user-1 "]
    tools = [Tool(minio, u) for u in users]
    try:
        for u, t in zip(users, tools):
            t("put", "k", data=u.encode())
        assert len({bucket_of(u) for u in users}) == len(users)
        assert [t("get", "k").decode() for t in tools] == users
        tools[0]("rmbucket")
        assert [t("get", "k").decode() for t in tools[1:]] == users[1:]
    finally:
        for t in tools:
            t("rmbucket")


def test_links_are_signed_with_keys_of_the_one_bucket(minio, tool):
    """By STS: the session's keys open this bucket and no other. What nginx fetches is signed without."""
    tool("put", "k", data=b"mine")
    other = Tool(minio, "somebody else")
    other("put", "k", data=b"theirs")
    try:
        link = tool("link", "k", "600", "text/plain").decode().strip()
        assert "X-Amz-Security-Token=" in link and requests.get(link).content == b"mine"
        theirs = link.replace(bucket_of(USER), bucket_of("somebody else"))
        assert theirs != link and requests.get(theirs).status_code == 403
        alone = Tool(minio, AZLON_S3_STS="off")
        assert "X-Amz-Security-Token=" not in alone("link", "k", "600", "text/plain").decode()
        _, path = tool("accel", "GET", "text/plain", "k").decode().splitlines()
        assert "X-Amz-Security-Token=" not in path and requests.get(minio.url + path).content == b"mine"
    finally:
        other("rmbucket")
