"""The page for everybody: by keyboard alone, for screen readers, on a phone, light and dark."""
import re

import pytest
from playwright.sync_api import expect

from axe_check import violations
from browser import PHONE, chromium, visit  # noqa: F401
from conftest import example


@pytest.fixture(scope="module")
def finished(stack):
    wid = stack.start_run(example("human-eval-065"), user="visitor")
    stack.finish(wid, user="visitor")
    return wid


def focused(page):
    return page.evaluate("() => { const a = document.activeElement; return a.id || (a === document.body ? '' : a.textContent.trim()) }")


def tab_to(page, what, most=40):
    """The Tab key alone; what: an id, or words of a button or link."""
    for _ in range(most):
        page.keyboard.press("Tab")
        now = focused(page)
        if what in now:
            # who uses the keyboard sees where it is
            assert page.evaluate("() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2 }"), now
            return
    raise AssertionError(f"{what} is not reached with Tab")


def test_a_run_is_started_and_read_by_keyboard_alone(visit):  # noqa: F811
    v = visit()
    page = v.page
    page.keyboard.press("Tab")
    assert focused(page) == "skip"
    page.keyboard.press("Enter")
    assert focused(page) == "main"
    tab_to(page, "prompt")
    page.keyboard.type("Hello")
    tab_to(page, "Shift the digits")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Start the run")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/#/run/*")
    # a new page begins at its heading
    expect(page.locator("#run-title")).to_be_focused()
    v.becomes("Succeeded")
    tab_to(page, "Iteration 2")
    page.keyboard.press("Enter")
    expect(page.locator("#timeline").get_by_role("button", name=re.compile("^Output"))).to_be_visible()
    tab_to(page, "solution.py")
    page.keyboard.press("Enter")
    expect(page.locator("#preview h3")).to_be_focused()
    expect(page.locator("#preview pre")).to_contain_text("circular_shift")


def test_a_check_is_added_by_keyboard_and_its_removal_loses_no_focus(visit):  # noqa: F811
    page = visit().page
    tab_to(page, "add-check")
    page.keyboard.press("Enter")
    expect(page.locator("#checks").get_by_role("combobox", name="Kind")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.type("true")
    page.get_by_role("button", name="Remove check 1").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#add-check")).to_be_focused()


def test_landmarks_and_names(visit, finished):  # noqa: F811
    v = visit(f"/#/run/{finished}")
    page = v.page
    v.becomes("Succeeded")
    for role in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(role)).to_have_count(1)
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    assert page.locator("h1").count() == 1
    assert page.title().startswith("Succeeded · ")
    for region in ("Progress", "Checks", "Iterations", "Files"):
        expect(page.get_by_role("region", name=region, exact=True)).to_be_visible()
    bar = page.get_by_role("progressbar", name="Progress of the run")
    assert bar.evaluate("b => [b.value, b.max]") == [100, 100]
    # the state is a word, not a colour
    expect(page.locator("#badge")).to_have_text(re.compile("Succeeded"))
    expect(page.locator("[data-check='unit-tests']").first).to_contain_text("passed")
    v.go("/#/runs")
    expect(page.get_by_role("link", name="Runs")).to_have_attribute("aria-current", "page")
    assert page.evaluate("() => document.documentElement.lang") == "en"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("how", ["desktop", "phone"])
def test_no_rule_of_accessibility_is_broken(visit, finished, scheme, how):  # noqa: F811
    v = visit(None, color_scheme=scheme, **(PHONE if how == "phone" else {}), reduced_motion="reduce").allow(409)
    page = v.page

    def clean(name):
        # on a phone nothing is wider than the screen
        wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{name}: {wide} px too wide"
        found = violations(page)
        assert not found, (name, found)
        v.shot(f"{name}-{scheme}-{how}")

    v.go("/")
    clean("a11y-new")
    v.fill_example("Four years of weather")
    page.get_by_text("Limits, network and people").click()
    for options in page.get_by_text("Options", exact=True).all():
        options.click()
    clean("a11y-filled")
    page.locator("#model-kind").select_option("")
    page.get_by_role("button", name="Start the run").click()
    expect(page.get_by_role("alert").filter(has_text="No model is connected")).to_be_visible()
    clean("a11y-no-model")
    page.locator("#who").click()
    expect(page.get_by_role("dialog", name="Who you are")).to_be_visible()
    clean("a11y-identity")
    page.keyboard.press("Escape")
    v.shows_run(finished)
    v.becomes("Succeeded")
    for summary in page.locator("#timeline summary").all():
        summary.click()
    page.locator("#timeline").get_by_role("button", name=re.compile("^Output")).first.click()
    page.locator(".file", has_text="solution.py").click()
    expect(page.locator("#preview pre")).to_be_visible()
    clean("a11y-run")
    page.get_by_role("button", name="Fork …").click()
    clean("a11y-fork")
    page.keyboard.press("Escape")
    v.go("/#/runs")
    expect(page.locator("#runs > li").first).to_be_visible()
    clean("a11y-runs")


def test_the_theme_is_the_systems_until_one_is_chosen(visit):  # noqa: F811
    def ground(page):
        return page.evaluate("() => getComputedStyle(document.body).backgroundColor")

    light, dark = (visit(color_scheme=s).page for s in ("light", "dark"))
    assert ground(light) != ground(dark)
    button = light.get_by_role("button", name=re.compile("^Theme"))
    button.click()
    assert ground(light) != ground(dark)
    button.click()
    expect(button).to_have_accessible_name(re.compile("dark"))
    assert ground(light) == ground(dark)
    light.reload()
    assert ground(light) == ground(dark), "before and after the scripts ran"
    button.click()
    assert ground(light) != ground(dark)
