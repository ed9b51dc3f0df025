// The list of own runs: newest first, by status, page by page; open ones are kept up to date.
import { el, use, find, refocus, badge, when, ago, setText, STATUSES, statusWord, isOver } from "./dom.js";
import { ofRun } from "./address.js";
import { get, Newest } from "./api.js";
import { session } from "./session.js";
import { problemBox, isAbort } from "./problem.js";
import { titleOf } from "./asked.js";

const PAGE = 20, MOST = 200, LATEST = 4, AGAIN_MS = 4000;

function listPath(status, cursor, limit) {
  const query = new URLSearchParams({ limit, ...(status && { status }), ...(cursor && { cursor }) });
  return `/run_workflow?${query}`;
}

export function title(run) {
  return titleOf(run.workflow_id) || `Run of ${when(run.created_at)}`;
}

function summary(run) {
  if (isOver(run)) return run.reason ? run.reason.replaceAll("_", " ") : "";
  return `${run.progress.percent} % · iteration ${run.progress.iteration} of ${run.progress.max_iterations}`;
}

function rowOf(run) {
  const link = el("a", { class: "run-row", href: ofRun(run.workflow_id) },
    el("span", { class: "run-name" }, title(run)), badge(run.status),
    el("span", { class: "hint run-when", title: when(run.created_at) }), el("span", { class: "hint run-more" }),
    el("progress", { max: "100", value: "0", "aria-label": "Progress", hidden: true }));
  const row = el("li", { "data-run": run.workflow_id }, link);
  update(row, run);
  return row;
}

function update(row, run) {
  badge(run.status, find(row, ".badge"));
  setText(find(row, ".run-when"), `${ago(run.created_at)} · …${run.workflow_id.slice(-6)}`);
  setText(find(row, ".run-more"), summary(run));
  const bar = find(row, "progress");
  bar.hidden = isOver(run);
  bar.value = run.progress?.percent || 0;
  row.dataset.open = String(!isOver(run));
}

/** Rows in place by id, so that a focus stays where it is. */
function merge(list, runs) {
  let before = null;
  for (const run of runs) {
    let row = list.querySelector(`[data-run="${CSS.escape(run.workflow_id)}"]`);
    if (row) update(row, run);
    else {
      row = rowOf(run);
      if (before) before.after(row);
      else list.prepend(row);
    }
    before = row;
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

/** The few that stand beside the form. */
export async function latest(section, list, signal) {
  try {
    const { runs } = await get(listPath("", "", LATEST), { signal });
    merge(list, runs);
    section.hidden = runs.length === 0;
    if (runs.length) session.accepted(runs[0].user_id);
  } catch (e) {
    if (isAbort(e)) return;
    section.before(problemBox(e));
  }
}

export async function show(main, query, signal) {
  const root = use("runs-view"), chosen = document.activeElement?.id === "status";
  main.replaceChildren(root);
  const list = find(root, "#runs"), older = find(root, "#older"), none = find(root, "#none"), select = find(root, "#status");
  const problem = find(root, "#runs-problem");
  const status = STATUSES.includes(query.get("status")) ? query.get("status") : "";
  const newest = new Newest();
  let cursor = "";
  select.append(...STATUSES.map((s) => el("option", { value: s }, statusWord(s))));
  select.value = status;
  // by keyboard each status on the way to the one that is meant is chosen
  if (chosen) select.focus();
  select.addEventListener("change", () => { location.hash = select.value ? `#/runs?status=${select.value}` : "#/runs"; });

  async function first() {
    const isNews = newest.ask();
    problem.replaceChildren();
    try {
      // all that is shown, as far as one answer goes
      const page = await get(listPath(status, "", Math.min(MOST, Math.max(PAGE, list.children.length))), { signal });
      if (!isNews()) return;
      const told = new Set(page.runs.map((r) => r.workflow_id)), rows = [...list.children];
      const end = page.next_cursor ? rows.findLastIndex((row) => told.has(row.dataset.run)) : rows.length;
      // what was removed, or has another status now, goes; what is further back than was told stays
      for (const row of rows.slice(0, end)) if (!told.has(row.dataset.run)) row.remove();
      merge(list, page.runs);
      if (list.children.length <= page.runs.length) cursor = page.next_cursor || "";
      if (page.runs.length) session.accepted(page.runs[0].user_id);
      none.hidden = list.children.length > 0;
      none.textContent = status ? `No run is ${statusWord(status).toLowerCase()}.` : "No runs yet. Start one, or try an example.";
      older.hidden = !cursor;
    } catch (e) {
      if (isAbort(e) || !isNews()) return;
      problem.replaceChildren(problemBox(e, { retry: first }));
    }
  }

  async function next() {
    older.disabled = true;
    problem.replaceChildren();
    try {
      const page = await get(listPath(status, cursor, PAGE), { signal });
      // what is newer may have gone meanwhile, and these have moved up
      const shown = new Set([...list.children].map((row) => row.dataset.run));
      const rows = page.runs.filter((run) => !shown.has(run.workflow_id)).map(rowOf);
      list.append(...rows);
      cursor = page.next_cursor || "";
      older.hidden = !cursor;
      find(rows[0] || list, "a")?.focus();
    } catch (e) {
      if (!isAbort(e)) problem.replaceChildren(problemBox(e, { retry: next }));
    } finally {
      older.disabled = false;
      refocus(older);
    }
  }

  find(root, "#refresh").addEventListener("click", first);
  older.addEventListener("click", next);
  await first();
  follow();

  async function follow() {
    while (!signal.aborted) {
      await pause(AGAIN_MS, signal);
      if (!signal.aborted && !document.hidden && !session.refusal && list.querySelector(`:nth-child(-n+${MOST})[data-open="true"]`)) await first();
    }
  }
}
