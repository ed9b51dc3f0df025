"""The same store on a second S3 server, versitygw, so that nothing here rests on what MinIO alone lets
pass: the contract, both directions with boto3 and the minio package, and whole runs. Part of test-full."""
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import SimpleNamespace

import pytest

from conftest import FULL
from files_stores import bucket_of
from s3_checks import LARGE, SET, SMALL, ask, away, get, left, listed, put, stack_on, store_is, sums, told
from s3_proxy import Fault, Proxy
from test_s3_contract import test_the_contract_holds_on_minio as test_the_contract_holds  # noqa: F401
from test_s3_run import (  # noqa: F401
    files, run, test_every_file_comes_back_with_its_bytes_and_its_tag, test_nobody_else_sees_them, test_people_with_s3_tools_find_the_final_tree,
    test_ranges_and_conditions_are_weighed_against_our_tag, test_the_failure_of_the_first_program_is_kept,
    test_the_run_succeeds_and_its_numbers_are_exact, test_the_zip_holds_the_tree)
from test_s3_sdk import (  # noqa: F401
    Tool, s3, test_a_body_of_several_parts_is_theirs_and_ours, test_a_name_means_the_same_object_to_all, test_an_empty_object,
    test_an_object_is_never_also_a_directory, test_only_the_first_of_two_writers_wins,
    test_the_bucket_is_the_one_everybody_computes, test_thousands_are_listed_in_order_and_removed_whole,
    test_users_do_not_reach_each_other_even_by_name, tool)
from test_s3_sdk import test_links_and_what_nginx_is_given_open_the_object as links_open_the_object
from versitygw_peer import versitygw, versitygw_program  # noqa: F401

pytestmark = pytest.mark.skipif(not FULL, reason="a server more to build")


@pytest.fixture(scope="module")
def minio(versitygw):  # noqa: F811
    """What the tests of the other files take for their server."""
    return versitygw


@pytest.fixture(scope="module")
def s3_stack(versitygw):  # noqa: F811
    with stack_on(versitygw) as s:
        yield s


# ---- the adapter alone ----

def test_a_download_that_is_cut_goes_on_where_it_was(versitygw, tool):  # noqa: F811
    tool("put", "big.bin", data=LARGE)
    with closing(Proxy(versitygw)) as proxy:
        through = Tool(SimpleNamespace(url=proxy.url, access=versitygw.access, secret=versitygw.secret))
        proxy.script(Fault("cut", "GET", "/big.bin", n=2 << 20, times=3))
        assert through("get", "big.bin") == LARGE
        assert proxy.done["cut"] == 3 and proxy.asked("GET", "/big.bin") == 4


def test_links_and_what_nginx_is_given_open_the_object(versitygw):  # noqa: F811
    """Of a process that asked the server nothing yet, so that it must be told the region."""
    tool = Tool(versitygw, AZLON_S3_REGION=versitygw.region)  # noqa: F811
    links_open_the_object(versitygw, tool)
    tool("rmbucket")


def test_a_file_in_the_way_is_told_by_the_server_too(versitygw, tool, s3):  # noqa: F811
    """Two writers at the same moment get past our own look."""
    with closing(Proxy(versitygw)) as proxy:
        through = Tool(SimpleNamespace(url=proxy.url, access=versitygw.access, secret=versitygw.secret))
        tool("put", "a", data=b"file")
        proxy.script(Fault("status", "HEAD", "/a$", code=404))
        assert "conflict" in through("put", "a/b", data=b"x", code=1)
        assert proxy.done["status"] == 1
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket_of(tool.user))["Contents"]] == ["a"]


@pytest.mark.parametrize("wrong", [{"access": "nobody"}, {"secret": "not-the-secret"}], ids=["user", "password"])
def test_wrong_keys_are_named_whatever_is_asked(versitygw, tool, wrong):  # noqa: F811
    tool("put", "k", data=SMALL)
    own = {"url": versitygw.url, "access": versitygw.access, "secret": versitygw.secret}
    stranger = Tool(SimpleNamespace(**{**own, **wrong}))
    for what in (["ping"], ["get", "k"], ["list"], ["rm", "k"], ["put", "l"]):
        assert "MINIO_ROOT_USER" in stranger(*what, code=1), what
    assert tool("get", "k") == SMALL


# ---- a whole stack ----

def test_what_is_uploaded_comes_back_whole_and_in_ranges_and_goes(s3_stack):
    user = "second"
    assert put(s3_stack, user, "d/small ü+&.bin", SMALL).ok and put(s3_stack, user, "large.bin", LARGE).ok
    assert listed(s3_stack, user) == sums({"d/small ü+&.bin": SMALL, "large.bin": LARGE})
    for name, body in (("d/small ü+&.bin", SMALL), ("large.bin", LARGE)):
        assert get(s3_stack, user, name).content == body
        r = get(s3_stack, user, name, headers={"Range": "bytes=900-949"})
        assert (r.status_code, r.content, r.headers["Content-Range"]) == (206, body[900:950], f"bytes 900-949/{len(body)}")
    assert ask(s3_stack, "DELETE", f"{SET}/large.bin", user).status_code == 204
    assert listed(s3_stack, user) == sums({"d/small ü+&.bin": SMALL}) and get(s3_stack, user, "large.bin").status_code == 404
    assert ask(s3_stack, "DELETE", "/files", user).status_code == 204
    assert left(s3_stack, user) == set()


def test_many_who_add_to_one_set_at_once_all_arrive(s3_stack):
    """By conditions of this server, not under a lock of ours."""
    user, tree = "together", {f"{i}.bin": SMALL[i:] for i in range(16)}
    with ThreadPoolExecutor(8) as pool:
        assert all(r.ok for r in pool.map(lambda f: put(s3_stack, user, *f), tree.items()))
    assert listed(s3_stack, user) == sums(tree)
    assert "ev=store.no_conditions" not in (s3_stack.var / "log/files.log").read_text()
    assert ask(s3_stack, "DELETE", "/files", user).status_code == 204


def test_it_finds_out_by_itself_that_there_is_no_sts_and_says_so_once(s3_stack, run):  # noqa: F811
    for part in ("files", "worker"):
        log = (s3_stack.var / "log" / f"{part}.log").read_text()
        assert len(re.findall(r" ev=store\.sts .*MINIO_ROOT_USER", log)) == 1, part


@pytest.mark.parametrize("name", ["MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"])
def test_wrong_keys_are_said_by_the_stack(versitygw, name):  # noqa: F811
    with stack_on(versitygw, **{name: "not-the-right-one"}) as s:
        with told(s, "MINIO_ROOT_USER"):
            store_is(s, "down")
            for r in (put(s, "locked-out", "k", SMALL), ask(s, "GET", SET, "locked-out"), get(s, "locked-out", "k")):
                assert away(r)
