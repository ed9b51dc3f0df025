// Checks and how they came out: one line each, the words beside the mark.
import { el, fill, plain, milliseconds, checkWords } from "./dom.js";
import { describe } from "./vocabulary.js";

/** One result: {id, status, ms, message, what, expected, got}. */
export function checkLine(c, { details = false } = {}) {
  const [mark, word] = checkWords(c.status);
  const node = el("li", { class: `check-line is-${c.status}`, "data-check": c.id },
    el("span", { class: "mark", "aria-hidden": "true" }, mark),
    el("span", { class: "check-name" }, el("strong", {}, c.id), el("span", { class: "word" }, ` ${word}`),
      c.ms ? el("span", { class: "hint" }, ` ${milliseconds(c.ms)}`) : null,
      c.hidden ? el("span", { class: "hint" }, " · hidden from the model") : null));
  const text = el("div", { class: "check-text" });
  if (c.what) text.append(el("p", { class: "hint what" }, c.what));
  if (c.message && c.status !== "pass") text.append(el("p", {}, plain(c.message)));
  if (details && c.status === "fail" && (c.expected || c.got))
    text.append(el("dl", { class: "versus" }, ...["expected", "got"].filter((name) => c[name]).flatMap((name) =>
      [el("dt", {}, name), el("dd", {}, el("pre", { tabindex: "0", "aria-label": `${name} by ${c.id}` }, plain(c[name])))])));
  if (text.childNodes.length) node.append(text);
  return node;
}

/** The ids that the server gives to checks without one: c1, c2, … past those that are taken. */
export function withIds(checks) {
  const taken = new Set(checks.map((c) => c?.id));
  let last = 0;
  return checks.map((c) => {
    if (c?.id) return c;
    do last++; while (taken.has(`c${last}`));
    return { ...c, id: `c${last}` };
  });
}

/** All checks of a run as they stand now. */
export class CheckList {
  constructor(node, asked) {
    this.node = node;
    this.now = new Map();
    this.what = new Map();
    this.lines = new Map();
    for (const c of withIds(Array.isArray(asked) ? asked : [])) {
      this.now.set(c.id, { id: c.id, status: "waiting" });
      this.what.set(c.id, describe(c));
    }
    this.#render();
  }

  /** A result, out of an event or the run. */
  set(results) {
    for (const r of results) this.now.set(r.id, { ...this.now.get(r.id), id: r.id, status: r.status, ms: r.ms, message: r.message });
    this.#render();
  }

  /** What each of them looks at, where a verdict tells it. */
  describe(checks) {
    for (const c of checks) if (c.what) this.what.set(c.id, c.what);
    this.#render();
  }

  get words() {
    const all = [...this.now.values()], passed = all.filter((c) => c.status === "pass").length;
    return all.length ? `${passed} of ${all.length} checks passed` : "";
  }

  /** Only lines that are another now are made anew: these are seen to change. */
  #render() {
    const lines = [];
    for (const c of this.now.values()) {
      const shown = { ...c, what: this.what.get(c.id) }, key = JSON.stringify(shown), old = this.lines.get(c.id);
      if (old?.key === key) {
        lines.push(old.node);
        continue;
      }
      const node = checkLine(shown);
      if (old && old.status !== c.status) node.classList.add("changed");
      this.lines.set(c.id, { key, node, status: c.status });
      lines.push(node);
    }
    if (lines.length) lines.forEach((n, i) => { if (this.node.children[i] !== n) this.node.insertBefore(n, this.node.children[i] || null); });
    while (this.node.children.length > lines.length) this.node.lastChild.remove();
    if (!lines.length) fill(this.node, el("li", { class: "empty" }, "None have run yet."));
  }
}
