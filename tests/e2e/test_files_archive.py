"""Archives of many objects, and of trees that break while they are sent."""
import io
import random
import tarfile
import zipfile

import pytest
import requests

from conftest import until
from files_stores import blob_key, delete_object, files, plant_run  # noqa: F401

USER = "archiver"
# none, small, as large as what is fetched ahead, larger
SIZES = (0, 1, 20_480, 65_536, 65_537, 300_000)


def tree(n):
    return {f"d{i % 7}/sub/{i:04d}.bin": random.Random(i).randbytes(SIZES[i % 6]) for i in range(n)}


def unpacked(fmt, body):
    if fmt == "zip":
        with zipfile.ZipFile(io.BytesIO(body)) as z:
            assert z.testzip() is None
            return {n: z.read(n) for n in z.namelist()}
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as t:
        return {m.name: t.extractfile(m).read() for m in t}


@pytest.mark.parametrize("fmt", ["zip", "tar.gz"])
def test_many_objects_arrive_in_order(files, fmt):  # noqa: F811
    want = tree(300)
    run = plant_run(files, USER, want)
    r = files.get(f"/files/{run}?format={fmt}", user=USER)
    assert r.status_code == 200, r.text
    got = unpacked(fmt, r.content)
    assert list(got) == sorted(want)
    assert got == want
    some = unpacked(fmt, files.get(f"/files/{run}?format={fmt}&prefix=d3/", user=USER).content)
    assert some == {p: b for p, b in want.items() if p.startswith("d3/")}


@pytest.mark.parametrize("fmt", ["zip", "tar.gz"])
def test_object_gone_midway_breaks_the_transfer(files, fmt):  # noqa: F811
    want = tree(60)
    run = plant_run(files, USER, want)
    delete_object(files, USER, blob_key(run, want[sorted(want)[40]]))
    with pytest.raises(requests.exceptions.RequestException):
        r = files.get(f"/files/{run}?format={fmt}", user=USER)
        # a broken transfer may also be told by a body that ends before its end
        unpacked(fmt, r.content)


def test_first_object_gone_is_a_proper_answer(files):  # noqa: F811
    want = tree(10)
    run = plant_run(files, USER, want)
    del want[sorted(want)[0]]
    first = {p: b for p, b in tree(10).items() if p not in want}
    delete_object(files, USER, blob_key(run, next(iter(first.values()))))
    r = files.get(f"/files/{run}?format=zip", user=USER)
    assert r.status_code == 503 and r.json()["code"] == "store"
    assert "Content-Disposition" not in r.headers


def test_reader_that_leaves_early(files):  # noqa: F811
    run = plant_run(files, USER, {f"{i:03d}": bytes([i]) * 400_000 for i in range(100)})

    def begun():  # who left is noticed in a moment, and a user has few at once
        with files.get(f"/files/{run}?format=zip", user=USER, stream=True) as r:
            assert r.status_code in (200, 429), r.text
            return r.status_code == 200 and r.raw.read(10)

    for _ in range(20):  # more than are made at once
        until(begun, within=5)
    until(lambda: len(files.get(f"/files/{run}?format=zip", user=USER).content) > 40_000_000, within=5)
