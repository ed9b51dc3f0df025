// The page: a view for each address, the theme, the health of the server.
import { el, announce } from "./dom.js";
import { parse } from "./address.js";
import { session } from "./session.js";
import { startIdentity } from "./identity.js";
import { problemBox, isAbort } from "./problem.js";
import * as newRun from "./new.js";
import * as runs from "./runs.js";

const $ = (id) => document.getElementById(id);
let leave = new AbortController();
let started = false;

async function show() {
  const to = parse(location.hash), main = $("main");
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  document.title = "Azlon";
  for (const a of document.querySelectorAll("[data-page]")) {
    if (a.dataset.page === to.page) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  try {
    if (to.page === "new") await newRun.show(main, to.query, signal);
    else if (to.page === "runs") await runs.show(main, to.query, signal);
    else if (to.page === "run") {
      main.replaceChildren(el("p", { class: "empty" }, "Loading …"));
      await (await import("./run.js")).show(main, to.id, to.query, signal, show);
    }
    else main.replaceChildren(el("h1", { tabindex: "-1" }, "There is no such page"), el("p", {}, el("a", { href: "#/" }, "Start a run")));
  } catch (e) {
    if (signal.aborted || isAbort(e)) return;
    main.replaceChildren(el("h1", { tabindex: "-1" }, "This page cannot be shown"), problemBox(e, { retry: show }));
  }
  if (signal.aborted) return;
  main.dataset.ready = to.page;
  performance.mark("azlon-ready");
  const heading = main.querySelector("h1");
  if (document.title === "Azlon" && heading) document.title = `${heading.textContent} · Azlon`;
  // a new page is announced by its heading; not the first one, where a reader starts at the top
  if (started && heading && !main.contains(document.activeElement)) heading.focus({ preventScroll: true });
  if (started && to.page !== "run") scrollTo(0, 0);
  started = true;
}

// ---- the theme ----

const THEMES = ["system", "light", "dark"];

function theme() {
  return document.documentElement.dataset.theme || "system";
}

function showTheme() {
  $("theme").setAttribute("aria-label", `Theme: ${theme()}. Change it`);
  $("theme").title = `Theme: ${theme()}`;
  $("theme").firstElementChild.textContent = { system: "◐", light: "☀", dark: "☾" }[theme()];
}

function nextTheme() {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try { localStorage.setItem("azlon.theme", next); } catch { /* for this page only */ }
  showTheme();
  announce(`Theme: ${next}`);
}

// ---- health ----

async function health() {
  try {
    const response = await fetch("/run_workflow/health/ready");
    const { down = [] } = await response.json();
    $("health").textContent = response.ok ? "All parts are up" : `Not available now: ${down.join(", ")}`;
    $("health").className = response.ok ? "" : "error";
  } catch {
    $("health").textContent = "The server cannot be reached";
    $("health").className = "error";
  }
}

$("skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("main").focus();
});
$("theme").addEventListener("click", nextTheme);
addEventListener("hashchange", show);
addEventListener("pageshow", (event) => event.persisted && session.recall());
// another caller sees other runs
session.addEventListener("change", (event) => event.detail === "identity" && show());
showTheme();
startIdentity();
// a view of a run is to be there at once; where its modules do not come, who goes to one is told
show().then(health).then(() => import("./run.js")).catch(() => {});
