"""Files in S3 beside boto3 and a plain nginx, on one MinIO of this host."""
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import time

import boto3.s3.transfer
import requests

from conftest import BIN, ROOT, Stack
from files_stores import bucket_of, plant_run
from minio_peer import Minio

TOOL = BIN.parent / "tests/tools/store_tool"
USER = "bench"


def program():
    named = os.environ.get("AZLON_MINIO")
    if named:
        return pathlib.Path(named)
    subprocess.run([str(ROOT / "fcgi/spawn/setup.sh"), "minio", str(ROOT / "build/minio")], check=True)
    return ROOT / "build/minio/bin/minio"


def tool(m, *args, stdin=subprocess.DEVNULL):
    """Seconds, CPU seconds and peak KiB of one call of the store port."""
    env = {"PATH": os.environ["PATH"], "MINIO_ROOT_USER": m.access, "MINIO_ROOT_PASSWORD": m.secret}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    t = time.monotonic()
    p = subprocess.Popen([TOOL, f"s3:{m.url}", USER, *args], env=env, stdin=stdin, stdout=subprocess.DEVNULL)
    peak = 0
    while p.poll() is None:
        with contextlib.suppress(OSError, TypeError):  # it may just have ended
            peak = max(peak, int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{p.pid}/status").read_text())[1]))
        time.sleep(0.002)
    took = time.monotonic() - t
    if p.returncode:
        raise RuntimeError(f"store_tool {args[0]} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak


def presigned(m, key):
    url = m.client().generate_presigned_url("get_object", Params={"Bucket": bucket_of(USER), "Key": key}, ExpiresIn=3600)
    return url.removeprefix(m.url)


def proxy(m, path):
    """What a plain nginx needs to pass one object on."""
    quoted = path.replace("$", "%24")
    return (f"location = /object {{ proxy_pass http://up{quoted}; proxy_http_version 1.1; proxy_set_header Connection ''; "
            f"proxy_set_header Host {m.host}; proxy_buffers 8 64k; proxy_buffer_size 16k; proxy_max_temp_file_size 0; }}")


def downloads(s, m, tmp, row, h):
    big = h.big_file(tmp)
    h.curl(f"{s.url}/files/inputs/default/big.bin", "-T", str(big))
    stored = m.client().list_objects_v2(Bucket=bucket_of(USER), Prefix="input/default/.azlon/blobs/")["Contents"]
    path = presigned(m, max(stored, key=lambda o: o["Size"])["Key"])
    plain, mine, mem, cpu = [], [], [], 0.0
    with h.nginx(tmp, proxy(m, path), before=f"upstream up {{ server {m.host}; keepalive 32; }}") as port:
        for _ in range(9):
            plain.append(h.curl(f"http://127.0.0.1:{port}/object")[0])
            c = h.cpu_s(h.ours(s))
            t, n = h.curl(f"{s.url}/files/inputs/default/big.bin")
            cpu += h.cpu_s(h.ours(s)) - c
            assert n == 256 << 20, n
            mine.append(t)
            mem.append(h.mem_kib(s.pid("files"), "Rss"))
    rate = statistics.median(plain) / statistics.median(mine)
    row("s3: download of 256 MiB against nginx over MinIO", ">= 85 %, no CPU, flat",
        rate >= 0.85 and cpu / 9 <= 0.02 and mem[-1] - mem[0] <= 256,
        f"{rate * 100:.0f} % ({256 / statistics.median(mine):.0f} MiB/s of {256 / statistics.median(plain):.0f} MiB/s), "
        f"{cpu / 9 * 1000:.0f} ms CPU each, files RSS {mem[0]} -> {mem[-1]} KiB",
        "curl GET /files/inputs/default/big.bin; the same object through a plain nginx that proxies MinIO, 9 times each, alternating")

    body = os.urandom(4096)
    wid = plant_run(s, USER, {"small.bin": body})
    path = presigned(m, f"{wid}/.azlon/blobs/{hashlib.sha256(body).hexdigest()}")
    plain, mine = [], []
    with h.nginx(tmp, proxy(m, path), before=f"upstream up {{ server {m.host}; keepalive 32; }}") as port:
        for _ in range(5):
            for at, to, out in ((port, "/object", plain), (s.port, f"/files/{wid}/small.bin", mine)):
                o, cmd = h.load(at, "closed", 8, 2, "GET", to)
                if o["errors"]:
                    raise RuntimeError(f"{o['errors']} errors reading {to}")
                out.append(o["rate"])
    rate = statistics.median(a / b for a, b in zip(mine, plain))
    row("s3: files of 4 KiB against nginx over MinIO", ">= 85 %", rate >= 0.85,
        f"{rate * 100:.0f} % ({statistics.median(mine):.0f}/s of {statistics.median(plain):.0f}/s)", cmd.replace(wid, "ID") + "; the same object through a plain nginx, in turn")


def uploads(s, m, tmp, row, h):
    big = tmp / "gib.bin"
    with big.open("wb") as out, h.big_file(tmp).open("rb") as piece:
        for _ in range(4):
            piece.seek(0)
            while chunk := piece.read(1 << 20):
                out.write(chunk)
    client, mine, theirs, through, peak = m.client(), [], [], [], 0
    tool(m, "put", "first", stdin=subprocess.DEVNULL)
    for _ in range(3):
        with big.open("rb") as f:
            t, _, p = tool(m, "put", "gib", stdin=f)
        mine.append(t)
        peak = max(peak, p)
        t = time.monotonic()
        client.upload_file(str(big), bucket_of(USER), "gib-boto3")
        theirs.append(time.monotonic() - t)
        through.append(h.curl(f"{s.url}/files/inputs/default/gib.bin", "-T", str(big))[0])
        rss = h.mem_kib(s.pid("files"), "Rss")
    rate = statistics.median(theirs) / statistics.median(mine)
    row("s3: upload of 1 GiB against boto3.upload_file", ">= 85 %, <= 24 MiB RSS", rate >= 0.85 and peak <= 24 << 10,
        f"{rate * 100:.0f} % ({statistics.median(mine):.1f} s, boto3 {statistics.median(theirs):.1f} s), peak {peak / 1024:.1f} MiB",
        "store_tool put; Client.upload_file(), 3 times each, in turn")
    rate = statistics.median(theirs) / statistics.median(through)
    row("s3: the same through nginx and files", ">= 85 %, <= 24 MiB RSS", rate >= 0.85 and rss <= 24 << 10,
        f"{rate * 100:.0f} % ({statistics.median(through):.1f} s), files RSS {rss / 1024:.1f} MiB", "curl -T gib.bin /files/inputs/default/gib.bin")
    big.unlink()


BOTO_PUTS = """
import sys, time, concurrent.futures, boto3
from botocore.config import Config
url, access, secret, bucket, threads = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=url, aws_access_key_id=access, aws_secret_access_key=secret, region_name="us-east-1",
                  config=Config(s3={"addressing_style": "path"}, max_pool_connections=int(threads)))
s3.list_buckets()
t = time.monotonic()
with concurrent.futures.ThreadPoolExecutor(int(threads)) as pool:
    list(pool.map(lambda i: s3.put_object(Bucket=bucket, Key=f"run/.azlon/theirs/{i:05d}", Body=bytes(4096)), range(1000)))
print(time.monotonic() - t)
"""
BOTO_LIST = """
import sys, time, boto3
from botocore.config import Config
url, access, secret, bucket = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=url, aws_access_key_id=access, aws_secret_access_key=secret, region_name="us-east-1",
                  config=Config(s3={"addressing_style": "path"}))
s3.list_buckets()
t, c = time.monotonic(), time.process_time()
n = sum(len(p.get("Contents", [])) for p in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="many/"))
assert n == 10000, n
print(time.monotonic() - t, time.process_time() - c)
"""


def boto(m, code, *args):
    import sys
    out = subprocess.run([sys.executable, "-c", code, m.url, m.access, m.secret, bucket_of(USER), *args], check=True, capture_output=True, text=True)
    return [float(x) for x in out.stdout.split()]


def bare_puts(m):
    """Seconds of 1,000 puts, one after the other, that cost a client next to nothing: what the server itself takes."""
    sign = m.client().generate_presigned_url
    paths = [sign("put_object", Params={"Bucket": bucket_of(USER), "Key": f"run/.azlon/bare/{i:05d}"})[len(m.url):] for i in range(1000)]
    with contextlib.closing(http.client.HTTPConnection(m.host)) as peer:
        t = time.monotonic()
        for p in paths:
            peer.request("PUT", p, body=bytes(4096))
            r = peer.getresponse()
            r.read()
            assert r.status == 200, r.status
        return time.monotonic() - t


def small(s, m, tmp, row, h):
    bare = statistics.median(bare_puts(m) for _ in range(3))
    for threads in ("1", "8"):
        mine, theirs = [], []
        for _ in range(3):
            mine.append(tool(m, "puts", "run/.azlon/blobs/", "1000", "4096", threads)[0])
            theirs += boto(m, BOTO_PUTS, threads)
        rate = statistics.median(theirs) / statistics.median(mine)
        row(f"s3: 1000 puts of 4 KiB, {threads} at once, against boto3", ">= 3 x", rate >= 3,
            f"{rate:.1f} x ({1000 / statistics.median(mine):.0f}/s, boto3 {1000 / statistics.median(theirs):.0f}/s"
            + (f", presigned puts of a bare loop {1000 / bare:.0f}/s)" if threads == "1" else ")"),
            f"store_tool puts PREFIX 1000 4096 {threads}; put_object() of as many threads, 3 times each, in turn")
    tool(m, "puts", "many/.azlon/blobs/", "10000", "0", "16")
    mine, mine_cpu, theirs, theirs_cpu = [], [], [], []
    for _ in range(5):
        t, c, _ = tool(m, "list", "many/")
        mine.append(t)
        mine_cpu.append(c)
        t, c = boto(m, BOTO_LIST)
        theirs.append(t)
        theirs_cpu.append(c)
    a, b, ca, cb = map(statistics.median, (mine, theirs, mine_cpu, theirs_cpu))
    row("s3: listing 10,000 objects against boto3", "no slower, <= 1/4 of its CPU", a <= b and ca <= cb / 4,
        f"{a * 1000:.0f} ms, boto3 {b * 1000:.0f} ms; CPU {ca * 1000:.0f} ms, {cb * 1000:.0f} ms (its start-up not counted, ours is)",
        "store_tool list many/; list_objects_v2 pages, 5 times each, in turn")


def zips(s, m, tmp, row, h):
    wid = plant_run(s, USER, {f"d{i % 20}/f{i:04d}.bin": os.urandom(20480) for i in range(2000)})
    files = [f["path"] for f in requests.get(f"{s.url}/files/{wid}?limit=1000", headers={"X-User-ID": USER}).json()["files"]]
    one, all_ = [], []
    for _ in range(3):
        with requests.Session() as http:
            http.headers["X-User-ID"] = USER
            t = time.monotonic()
            for f in files[:500]:
                http.get(f"{s.url}/files/{wid}/{f}").raise_for_status()
            one.append((time.monotonic() - t) * 4)
        all_.append(h.curl(f"{s.url}/files/{wid}?format=zip")[0])
    store = m.client()
    keys = [f"{wid}/.azlon/blobs/{o['sha256']}" for o in json.loads(
        store.get_object(Bucket=bucket_of(USER), Key=f"{wid}/.azlon/manifest")["Body"].read())["files"]]
    t = time.monotonic()
    for k in keys[:500]:
        store.get_object(Bucket=bucket_of(USER), Key=k)["Body"].read()
    boto_s = (time.monotonic() - t) * 4
    a, b = statistics.median(all_), statistics.median(one)
    row("s3: zip of 2000 x 20 KiB against gets in turn", "faster", a < b and a < boto_s,
        f"{a:.2f} s, gets through nginx {b:.2f} s, of boto3 {boto_s:.2f} s (500 of them times 4)", "curl GET /files/ID?format=zip; GET of each file, one connection")


def measure(tmp, row, h):
    """h: bench.py's own helpers."""
    m = Minio(program()).start()
    s = Stack(AZLON_RATE="100000", AZLON_BURST="100000", AZLON_CONNS="5000", **m.env)
    s.minio = m
    try:
        s.start()
        requests.put(f"{s.url}/files/inputs/default/seed", data=b"x", headers={"X-User-ID": USER}).raise_for_status()
        for part in (downloads, uploads, small, zips):
            part(s, m, tmp, row, h)
    finally:
        s.close()
        m.close()
