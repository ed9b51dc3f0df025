"""Removal of directories, of many files, of all."""
import pytest

from files_stores import blob_key, files, keys, plant_run  # noqa: F401

USER = "remover"


def delete(stack, path, user=USER):
    return stack.request("DELETE", path, user=user).status_code


def paths(stack, run, user=USER):
    out, cursor = [], ""
    while True:
        page = stack.get(f"/files/{run}?limit=1000&cursor={cursor}", user=user).json()
        out += [f["path"] for f in page["files"]]
        cursor = page["next_cursor"]
        if not cursor:
            return out


def test_directory_of_a_run(files):  # noqa: F811
    tree = {p: p.encode() for p in ("d/a", "d/deep/er/b", "d.txt", "d e/x", "other")}
    run = plant_run(files, USER, tree)
    assert delete(files, f"/files/{run}/d", user="somebody") == 404
    assert delete(files, f"/files/{run}/d/deep/") == 204
    assert paths(files, run) == ["d e/x", "d.txt", "d/a", "other"]
    assert delete(files, f"/files/{run}/d") == 204
    assert paths(files, run) == ["d e/x", "d.txt", "other"]
    assert files.get(f"/files/{run}/d/a", user=USER).status_code == 404
    assert delete(files, f"/files/{run}/d") == 404
    left = {k for k in keys(files, USER) if k.startswith(run)}
    assert left == {f"{run}/.azlon/manifest"} | {
        blob_key(run, p.encode()) for p in ("d e/x", "d.txt", "other")}


def test_directory_of_a_set(files):  # noqa: F811
    for p in ("in/a", "in/b/c", "in.txt"):
        assert files.request("PUT", f"/files/inputs/default/{p}", user="setter", data=p).ok
    assert delete(files, "/files/inputs/default/in", user="setter") == 204
    left = files.get("/files/inputs/default", user="setter").json()["files"]
    assert [f["path"] for f in left] == ["in.txt"]


def test_equal_bytes_elsewhere_stay(files):  # noqa: F811
    run = plant_run(files, USER, {"d/a": b"same", "keep": b"same"})
    assert delete(files, f"/files/{run}/d") == 204
    assert files.get(f"/files/{run}/keep", user=USER).content == b"same"


@pytest.mark.parametrize("what", ["directory", "run", "all"])
def test_more_than_a_page_of_them(files, what):  # noqa: F811
    user = f"many-{what}"
    run = plant_run(files, user, {f"many/{i:04d}.txt": b"%d" % i for i in range(1100)})
    assert len(paths(files, run, user)) == 1100
    if what == "directory":
        assert delete(files, f"/files/{run}/many", user) == 204
        assert paths(files, run, user) == []
        assert {k for k in keys(files, user) if k.startswith(run)} == {f"{run}/.azlon/manifest"}
    elif what == "run":
        assert delete(files, f"/files/{run}", user) == 204
        assert not {k for k in keys(files, user) if k.startswith(run)}
    else:
        assert delete(files, "/files", user) == 204
        assert files.get(f"/files/{run}/many/0001.txt", user=user).status_code == 404
