// The iterations of a run: verdicts, checks, logs, and what changed from one to another.
import { el, use, part, fill, setText, plain, bytes, milliseconds, count } from "./dom.js";
import { get, send, head, runPath, savable, Newest } from "./api.js";
import { problemBox, isAbort } from "./problem.js";
import { checkLine } from "./checklist.js";

const LOG_BYTES = 256 * 1024, DIFF_LINES = 4000, SOON_MS = 200;

function verdictWords(verdict) {
  if (!verdict) return "under way";
  const some = verdict.n_total ? `${verdict.n_passed} of ${count(verdict.n_total, "check")} passed` : "";
  return verdict.passed ? some || "passed" : some || "not passed";
}

function diffNode(text) {
  const lines = text.split("\n"), pre = el("pre", { class: "diff", tabindex: "0", "aria-label": "Changes, as a unified diff" });
  if (lines[lines.length - 1] === "") lines.pop();
  for (const line of lines.slice(0, DIFF_LINES)) {
    const kind = /^(\+\+\+|---|diff |Binary )/.test(line) ? "name" : line.startsWith("@@") ? "place" : line[0] === "+" ? "add" : line[0] === "-" ? "del" : "";
    pre.append(el("span", { class: kind || "same" }, line), "\n");
  }
  return lines.length > DIFF_LINES ? el("div", {}, pre, el("p", { class: "hint" }, `The first ${DIFF_LINES} of ${lines.length} lines.`)) : pre;
}

export class Timeline {
  /** hooks: fork(n), files(n), told(iterations) */
  constructor(list, id, signal, hooks) {
    Object.assign(this, { list, id, signal, hooks });
    this.rows = new Map();
    this.notes = new Map();
    this.timer = 0;
    this.newest = new Newest();
    signal.addEventListener("abort", () => clearTimeout(this.timer));
  }

  get numbers() { return [...this.rows.keys()].sort((a, b) => a - b); }

  /** What an event said of an iteration before its verdict is stored. */
  note(n, text) {
    if (!n) return;
    if (text) this.notes.set(n, text);
    const row = this.#row(n);
    const node = part(row.node, "diagnosis");
    setText(node, this.notes.get(n) || "");
    node.hidden = !this.notes.get(n);
  }

  refreshSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), SOON_MS);
  }

  async refresh() {
    const isNews = this.newest.ask();
    try {
      const { iterations } = await get(runPath(this.id, "iterations"), { signal: this.signal });
      if (!isNews()) return;
      for (const it of iterations) this.#update(it);
      this.problem?.remove();
      this.hooks.told(iterations);
    } catch (e) {
      if (isAbort(e) || !isNews()) return;
      this.problem?.remove();
      this.problem = problemBox(e, { retry: () => this.refresh() });
      this.list.after(this.problem);
    }
  }

  #row(n) {
    let row = this.rows.get(n);
    if (row) return row;
    const node = use("iteration-item"), details = node.querySelector("details");
    row = { n, node, details, version: "", loaded: "", pane: null };
    part(node, "name").textContent = n ? `Iteration ${n}` : "What came in";
    part(node, "verdict").textContent = verdictWords(null);
    part(node, "mark").textContent = "○";
    details.addEventListener("toggle", () => details.open && this.#load(row));
    this.rows.set(n, row);
    // newest first
    const after = [...this.list.children].find((li) => Number(li.dataset.n) < n);
    node.dataset.n = n;
    if (after) after.before(node);
    else this.list.append(node);
    return row;
  }

  #update(it) {
    const row = this.#row(it.iteration), v = it.verdict, version = JSON.stringify(v);
    this.note(it.iteration);
    if (row.version === version) return;
    row.version = version;
    setText(part(row.node, "verdict"), it.iteration === 0 && !v ? "the files of the start" : verdictWords(v));
    setText(part(row.node, "mark"), v ? (v.passed ? "✓" : "✗") : "○");
    row.node.className = v ? (v.passed ? "is-pass" : "is-fail") : "";
    fill(part(row.node, "checks"), ...(v?.checks || []).map((c) => checkLine(c)));
    if (row.details.open) this.#load(row);
  }

  /** How the program ran, what checks expected and got, and the buttons; again where the verdict is another one. */
  async #load(row) {
    const key = `${row.version}|${row.n}`;
    if (row.loaded === key) return;
    row.loaded = key;
    try {
      const it = await get(runPath(this.id, "iterations", row.n), { signal: this.signal });
      // there is another verdict by now, and what belongs to it is on its way
      if (row.loaded !== key) return;
      const run = part(row.node, "run"), ran = it.run;
      if (it.verdict?.checks) fill(part(row.node, "checks"), ...it.verdict.checks.map((c) => checkLine(c, { details: true })));
      run.hidden = !ran;
      if (ran) setText(run, [ran.text, Number.isInteger(ran.ms) && milliseconds(ran.ms), ran.language].filter(Boolean).join(" · "));
      this.#offer(row, it);
    } catch (e) {
      if (row.loaded !== key) return;
      row.loaded = "";
      if (!isAbort(e)) part(row.node, "pane").replaceChildren(problemBox(e, { retry: () => this.#load(row) }));
    }
  }

  /** The buttons anew, those that are pressed or have the focus too. */
  #offer(row, it) {
    const node = part(row.node, "buttons"), had = [...node.children];
    const focused = had.indexOf(document.activeElement), open = had.findIndex((b) => b.getAttribute("aria-expanded") === "true");
    fill(node, ...this.#buttons(row, it));
    node.children[open]?.setAttribute("aria-expanded", "true");
    node.children[focused]?.focus();
  }

  #buttons(row, it) {
    const log = (name, words) => {
      const n = it.logs[name]?.bytes || 0;
      return n ? this.#pane(row, `${words} (${bytes(n)})`, () => this.#log(row, name, it.logs[name], words))
        : el("button", { type: "button", disabled: true }, `${words}: none`);
    };
    return [
      row.n > 0 && log("stdout", "Output"), row.n > 0 && log("stderr", "Errors"),
      row.n > 0 && this.#pane(row, "Changes", () => this.#diff(row, row.n - 1)),
      row.n > 0 && this.#pane(row, "Prompt", () => this.#log(row, "prompt", {}, "Prompt")),
      row.n > 0 && this.#pane(row, "Reply", () => this.#log(row, "reply", {}, "Reply")),
      it.files.length > 0 && el("button", { type: "button", onclick: () => this.hooks.files(row.n) }, count(it.files.length, "file")),
      el("button", { type: "button", onclick: () => this.hooks.fork(row.n) }, "Fork from here …"),
    ];
  }

  /** A button that shows something below, and takes it away again. */
  #pane(row, words, make) {
    const button = el("button", { type: "button", "aria-expanded": "false", onclick: async () => {
      const pane = part(row.node, "pane"), open = button.getAttribute("aria-expanded") === "true";
      for (const b of part(row.node, "buttons").querySelectorAll("[aria-expanded]")) b.setAttribute("aria-expanded", "false");
      pane.replaceChildren();
      // what another button was pressed for may come after it
      row.pane = open ? null : make;
      if (open) return;
      button.setAttribute("aria-expanded", "true");
      try {
        const made = await make();
        if (row.pane === make) pane.replaceChildren(made);
      } catch (e) {
        if (!isAbort(e) && row.pane === make) pane.replaceChildren(problemBox(e));
      }
    } }, words);
    return button;
  }

  async #log(row, name, log, words) {
    const path = runPath(this.id, "iterations", row.n, "logs", name);
    const { data, total } = await head(path, LOG_BYTES, { signal: this.signal });
    const said = [total > data.length && `The first ${bytes(data.length)} of ${bytes(total)}.`, log.cut && "The program wrote more than is kept."].filter(Boolean);
    const problem = el("div");
    return el("div", {}, said.length ? el("p", { class: "hint" }, said.join(" ")) : null,
      el("pre", { tabindex: "0", "aria-label": `${words} of iteration ${row.n}` }, plain(new TextDecoder().decode(data))),
      el("p", {}, savable(el("a", {}, `Save ${name}`), path, `${name}-${row.n}.txt`, (e) => problem.replaceChildren(problemBox(e)))), problem);
  }

  async #diff(row, against) {
    const others = [...new Set([...this.numbers, against])].filter((n) => n !== row.n).sort((a, b) => a - b);
    const select = el("select", {}, ...others.map((n) => el("option", { value: n }, n ? `iteration ${n}` : "what came in")));
    const body = el("div");
    select.value = against;
    const load = async () => {
      const { value } = select;
      try {
        const response = await send("GET", `${runPath(this.id, "iterations", row.n, "diff")}?against=${value}`, { signal: this.signal });
        const text = await response.text(), cut = response.headers.get("X-Azlon-Cut");
        if (value !== select.value) return;
        fill(body, text ? diffNode(text) : el("p", { class: "empty" }, "Nothing differs."),
          cut && el("p", { class: "hint" }, `Not all of it: the limit of ${cut} was reached.`));
      } catch (e) {
        if (!isAbort(e) && value === select.value) body.replaceChildren(problemBox(e));
      }
    };
    select.addEventListener("change", load);
    await load();
    return el("div", {}, el("label", { class: "inline" }, "compared with ", select), body);
  }
}
