"""Who the page is for: signed out, in with a key or a token, expired, in somebody else's name."""
import re
import time

from playwright.sync_api import expect

from browser import chromium, visit  # noqa: F401
from conftest import example
from holding import ALL, sign_in, signed_in  # noqa: F401


def test_signed_out_says_what_to_do_and_keeps_what_was_typed(visit, signed_in):  # noqa: F811
    v = visit(stack=signed_in, user=None).allow(401)
    page = v.page
    expect(page.locator("#who")).to_contain_text("Signed out")
    page.locator("#prompt").fill("My long prompt")
    page.locator("#conditions").fill("It holds.")
    page.get_by_role("button", name="Start the run").click()
    said = page.locator("#new-problem").get_by_role("alert")
    expect(said).to_contain_text("You are signed out")
    expect(said).to_contain_text("code unauthorized")
    v.shot("signed-out-light")
    key = signed_in.api_key("alice", ALL)["key"]
    said.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("dialog", name="Who you are")).to_be_visible()
    # a name is nothing to this server
    expect(page.locator("#user-id")).to_be_hidden()
    v.shot("sign-in-light")
    page.locator("#token").fill("azk_ with blanks")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#identity-error")).to_contain_text("no blanks")
    page.locator("#token").fill(key)
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#who")).not_to_contain_text("Signed out")
    expect(page.locator("#prompt")).to_have_value("My long prompt")


def test_a_key_starts_watches_and_saves_and_stays_in_its_tab(visit, signed_in):  # noqa: F811
    key = signed_in.api_key("alice", ALL)["key"]
    v = visit(stack=signed_in, user=None).allow(401)
    page = v.page
    sign_in(page, key)
    v.fill_example("Shift the digits")
    v.start()
    v.becomes("Succeeded")
    expect(page.locator("#who")).to_contain_text("alice")
    # a plain link could not carry the key: the bytes come through the page
    with page.expect_download() as archive:
        page.get_by_role("link", name="Download zip").click()
    assert archive.value.path().read_bytes()[:2] == b"PK"
    kept = page.evaluate("() => [JSON.stringify(localStorage), document.cookie, JSON.stringify(sessionStorage)]")
    assert key not in kept[0] + kept[1] and key in kept[2]
    assert key not in page.url and key not in page.content()
    page.reload()
    v.becomes("Succeeded")
    # what was typed and not sent is as much the user's as what was
    v.go("/#/")
    page.locator("#prompt").fill("What nobody else is to read")
    other = visit(stack=signed_in, user=None).allow(401).page
    expect(other.locator("#who")).to_contain_text("Signed out")
    page.locator("#who").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#who")).to_contain_text("Signed out")
    expect(page.locator("#prompt")).to_have_value("")
    page.reload()
    expect(page.locator("#prompt")).to_have_value("")
    kept = page.evaluate("() => JSON.stringify(localStorage) + JSON.stringify(sessionStorage)")
    assert not [word for word in (key, "circular_shift", "nobody else") if word in kept], "nothing of the user is left"


def test_an_id_token_and_its_end(visit, signed_in):  # noqa: F811
    v = visit(stack=signed_in, user=None).allow(401)
    page = v.page
    sign_in(page, signed_in.keys.token("bob"))
    expect(page.locator("#who")).to_contain_text("bob")
    v.go("/#/runs")
    expect(page.locator("#none")).to_contain_text("No runs yet")
    past = int(time.time()) - 4000
    sign_in(page, signed_in.keys.token("bob", iat=past, auth_time=past, exp=past + 3000))
    expect(page.get_by_role("alert").first).to_contain_text("Your sign-in has expired")
    sign_in(page, signed_in.keys.token("bob"))
    expect(page.locator("#none")).to_contain_text("No runs yet")


def test_a_key_that_may_only_read_is_told_so(visit, signed_in):  # noqa: F811
    wid = signed_in.start_run(example("human-eval-127"), user="carol")
    signed_in.finish(wid, user="carol")
    v = visit(stack=signed_in, user=None).allow(401, 403)
    page = v.page
    sign_in(page, signed_in.api_key("carol", "runs:read,files:read")["key"])
    v.shows_run(wid)
    page.locator(".file", has_text="solution.py").click()
    expect(page.locator("#preview pre")).to_contain_text("intersection")
    page.get_by_role("button", name="Link for others").click()
    expect(page.locator("#preview").get_by_role("alert")).to_contain_text("code insufficient_scope")


def test_another_users_run_is_not_there(visit, signed_in):  # noqa: F811
    wid = signed_in.start_run(example("human-eval-127"), user="dora")
    v = visit(stack=signed_in, user=None).allow(401, 404)
    sign_in(v.page, signed_in.keys.token("eve"))
    expect(v.page.locator("#who")).to_contain_text("eve")
    v.go(f"/#/run/{wid}")
    expect(v.page.get_by_role("heading", name="There is no such run")).to_be_visible()
    expect(v.page.get_by_role("alert")).to_contain_text("status 404")


def test_in_the_dev_identity_a_name_is_enough(visit, stack):  # noqa: F811
    wid = stack.start_run(example("human-eval-127"), user="frank")
    stack.finish(wid, user="frank")
    v = visit("/#/runs", user=None)
    page = v.page
    expect(page.locator("#who")).to_contain_text("anonymous")
    page.locator("#who").click()
    expect(page.locator("#token")).to_be_hidden()
    expect(page.get_by_role("dialog")).to_contain_text("everybody is who they say they are")
    page.locator("#user-id").fill("Fränk")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#identity-error")).to_be_visible()
    page.locator("#user-id").fill("frank")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#who")).to_contain_text("frank")
    expect(page.locator("#runs > li")).to_have_count(1)
    page.locator("#runs a").click()
    v.becomes("Succeeded")
    with page.expect_download() as archive:
        page.get_by_role("link", name="Download zip").click()
    assert re.fullmatch(rf"{wid}\.zip", archive.value.suggested_filename)
    page.reload()
    v.becomes("Succeeded")
