// Elements, and how things are said. Text is only ever set as text; nothing parses markup.

/** An element. Names that begin with "on" are listeners; false and null leave an attribute out. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "disabled" || name === "hidden" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

/** A copy of what a template holds. */
export function use(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

export function find(root, selector) {
  return root.querySelector(selector);
}

/** The element of a template's copy that has data-part=name. */
export function part(root, name) {
  return root.querySelector(`[data-part="${name}"]`);
}

/** An id for a label, unique in the page. */
let ids = 0;
export function newId(prefix) {
  return `${prefix}-${++ids}`;
}

/** Tell people who do not see the screen; the latest word wins. */
let saying = 0;
export function announce(text) {
  const live = document.getElementById("live");
  clearTimeout(saying);
  saying = setTimeout(() => { live.textContent = text; }, 80);
}

/** Put nodes in place of root's content, only where it would change anything. */
export function fill(root, ...children) {
  root.replaceChildren(...children.filter(Boolean));
}

/** Where nothing has the focus, as what had it was disabled or is gone: here it goes on. */
export function refocus(node) {
  if (document.activeElement === document.body) node?.focus({ preventScroll: true });
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Without what terminals would take for commands. */
export function plain(text) {
  return text.replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, "").replace(/\r(?=\n)/g, "");
}

// ---- how things are said ----

export function bytes(n) {
  if (n < 1024) return `${n} B`;
  const units = ["KiB", "MiB", "GiB"];
  let value = n, unit = "";
  while (value >= 1024 && units.length) {
    value /= 1024;
    unit = units.shift();
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

export function duration(s) {
  if (s < 60) return `${Math.max(0, Math.round(s))} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} min ${Math.round(s % 60)} s`;
  return `${Math.floor(m / 60)} h ${m % 60} min`;
}

export function milliseconds(ms) {
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
}

const dayTime = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const clockTime = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

export function when(iso) {
  return iso ? dayTime.format(new Date(iso)) : "";
}

export function clock(iso) {
  return iso ? clockTime.format(new Date(iso)) : "";
}

export function ago(iso) {
  const s = (Date.now() - new Date(iso)) / 1000;
  if (s < 50) return "just now";
  if (s < 5400) return `${Math.max(1, Math.round(s / 60))} min ago`;
  if (s < 129600) return `${Math.round(s / 3600)} h ago`;
  return `${Math.round(s / 86400)} days ago`;
}

export function count(n, one, many = `${one}s`) {
  return `${n} ${n === 1 ? one : many}`;
}

// ---- states, never by colour alone ----

const STATUS = {
  queued: ["○", "Queued"], running: ["◌", "Running"], awaiting_input: ["?", "Waits for you"],
  paused: ["‖", "Paused"], cancelling: ["◌", "Stopping"], succeeded: ["✓", "Succeeded"],
  failed: ["✗", "Failed"], cancelled: ["–", "Cancelled"], timed_out: ["✗", "Out of time"],
};
const CHECK = { pass: ["✓", "passed"], fail: ["✗", "failed"], skipped: ["–", "skipped"], unverified: ["?", "not verified"], waiting: ["○", "not run yet"] };

export const STATUSES = Object.keys(STATUS);

export function statusWord(status) {
  return (STATUS[status] || ["", status])[1];
}

export function badge(status, node = el("span")) {
  const [mark, word] = STATUS[status] || ["", status];
  node.className = `badge is-${status}`;
  fill(node, el("span", { "aria-hidden": "true" }, mark), ` ${word}`);
  return node;
}

export function checkWords(status) {
  return CHECK[status] || ["?", status];
}

export function isOver(run) {
  return ["succeeded", "failed", "cancelled", "timed_out"].includes(run.status);
}
