"""axe-core, the rules of accessibility that can be told by a program, run inside a page."""
import functools
import os
import pathlib

from conftest import ROOT

# colour contrast and landmarks included; no rule is left out
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@functools.cache
def source():
    npm = pathlib.Path(os.environ.get("AZLON_NPM", ROOT / "build/npm"))
    return (npm / "node_modules/axe-core/axe.min.js").read_text()


def violations(page):
    """[what, where] of each. The script comes through the debugger, so the page's policy stays in force."""
    page.evaluate(source() + ";0")
    found = page.evaluate("tags => axe.run(document, {runOnly: tags, resultTypes: ['violations']})", RULES)
    return [(f"{v['id']}: {v['help']}", [n["target"] for n in v["nodes"]][:5], v["nodes"][0]["failureSummary"]) for v in found["violations"]]
