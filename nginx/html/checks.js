// The editor of checks: a card for each, or the list as JSON. The cards and the text are the state.
import { el, use, part, newId, announce } from "./dom.js";
import { KINDS, toFields, fromFields, unshowable } from "./vocabulary.js";

function option(value, text, chosen) {
  const o = el("option", { value }, text);
  o.selected = value === chosen;
  return o;
}

function mainFields(card, kind, values = {}) {
  part(card, "main").replaceChildren(...Object.entries(KINDS[kind].main).map(([name, [label, placeholder, type]]) =>
    el("label", {}, label, el("input", {
      "data-main": name, value: values[name] || "", placeholder, spellcheck: "false", autocomplete: "off",
      class: type === "command" ? "code" : "", inputmode: type === "int" ? "numeric" : null,
    }))));
}

function control(name, type, value, id) {
  const has = { "data-expect": name, id };
  if (Array.isArray(type)) return el("select", has, ...type.map((t) => option(t, t, value.toLowerCase())));
  if (type === "bool") return el("select", has, option("true", "yes", value), option("false", "does not matter", value));
  if (type === "text") return el("textarea", { ...has, rows: "2", class: "code", spellcheck: "false", value });
  return el("input", { ...has, value, spellcheck: "false", autocomplete: "off", inputmode: type === "int" ? "numeric" : null });
}

function addExpectation(card, name, value = "") {
  const kind = part(card, "kind").value, [words, type] = KINDS[kind].expect[name], id = newId("expect");
  const row = el("li", { class: "row" }, el("label", { for: id }, words), control(name, type, value, id),
    el("button", { type: "button", class: "icon", "aria-label": `Do not expect that ${words}`, onclick: () => {
      row.remove();
      offer(card);
      card.dispatchEvent(new Event("input", { bubbles: true }));
      part(card, "add").focus();
    } }, el("span", { "aria-hidden": "true" }, "✕")));
  part(card, "expectations").append(row);
  offer(card);
  return row;
}

/** What can be expected besides. */
function offer(card) {
  const kind = part(card, "kind").value, add = part(card, "add");
  const had = new Set([...card.querySelectorAll("[data-expect]")].map((n) => n.dataset.expect));
  const left = Object.entries(KINDS[kind].expect).filter(([name]) => !had.has(name));
  add.replaceChildren(option("", "…", ""), ...left.map(([name, [words]]) => option(name, words, "")));
  part(card, "add-box").hidden = left.length === 0;
  for (const node of card.querySelectorAll("[data-only]")) node.hidden = !node.dataset.only.split(" ").includes(kind);
}

function read(card) {
  const of = (selector, key) => [...card.querySelectorAll(selector)].map((n) => [n.dataset[key], n.value]);
  return fromFields({
    kind: part(card, "kind").value, main: Object.fromEntries(of("[data-main]", "main")), expect: of("[data-expect]", "expect"),
    id: part(card, "id").value, hidden: part(card, "hidden").checked, stdin: part(card, "stdin").value, timeout_s: part(card, "timeout_s").value,
  });
}

export class Checks {
  constructor(root) {
    this.list = root.querySelector("#checks");
    this.raw = root.querySelector("#checks-raw");
    this.json = root.querySelector("#checks-json");
    this.error = root.querySelector("#checks-error");
    this.toggle = root.querySelector("#checks-toggle");
    this.adder = root.querySelector("#add-check");
    this.adder.addEventListener("click", () => {
      const card = this.#add({ run: "", expect: { exit: 0 } });
      part(card, "kind").focus();
      announce(`Check ${this.list.children.length} added`);
    });
    this.toggle.addEventListener("click", () => this.#switch());
    this.json.addEventListener("input", () => this.#fail(""));
  }

  get isRaw() { return !this.raw.hidden; }

  /** The list; throws a sentence where the text is no JSON. */
  get value() {
    if (!this.isRaw) return [...this.list.children].map(read);
    if (!this.json.value.trim()) return [];
    try {
      return JSON.parse(this.json.value);
    } catch (e) {
      throw new Error(`The checks are not JSON: ${e.message}`);
    }
  }

  /** To be written on; it need not be JSON yet. */
  get text() { return this.json.value; }
  set text(text) {
    this.#mode(true);
    this.json.value = text;
  }

  /** What value threw, where it can be mended. */
  complain(e) {
    this.#fail(e.message);
    this.json.focus();
  }

  set value(list) {
    this.#fail("");
    const shown = !unshowable(list);
    this.#mode(!shown);
    this.list.replaceChildren();
    if (shown) for (const check of list) this.#add(check);
    else this.json.value = JSON.stringify(list, null, 2);
  }

  #add(check) {
    const fields = toFields(check), card = use("check-card"), kind = part(card, "kind");
    kind.append(...Object.entries(KINDS).map(([name, k]) => option(name, k.word, fields.kind)));
    mainFields(card, fields.kind, fields.main);
    part(card, "id").value = fields.id;
    part(card, "stdin").value = fields.stdin;
    part(card, "timeout_s").value = fields.timeout_s;
    part(card, "hidden").checked = fields.hidden;
    card.querySelector(".options").open = Boolean(fields.stdin);
    for (const [name, text] of fields.expect) addExpectation(card, name, text);
    offer(card);
    kind.addEventListener("change", () => {
      mainFields(card, kind.value);
      part(card, "expectations").replaceChildren();
      if (kind.value === "run") addExpectation(card, "exit", "0");
      offer(card);
    });
    const add = part(card, "add");
    add.addEventListener("change", () => {
      if (add.value) addExpectation(card, add.value, add.value === "exit" ? "0" : "").querySelector("[data-expect]").focus();
    });
    part(card, "remove").addEventListener("click", () => {
      const next = card.nextElementSibling || card.previousElementSibling;
      card.remove();
      this.#number();
      this.list.dispatchEvent(new Event("input", { bubbles: true }));
      (next ? part(next, "kind") : this.adder).focus();
    });
    this.list.append(card);
    this.#number();
    return card;
  }

  #number() {
    for (const [i, card] of [...this.list.children].entries()) {
      card.setAttribute("aria-label", `Check ${i + 1}`);
      card.dataset.loc = `checks.${i}`;
      part(card, "remove").setAttribute("aria-label", `Remove check ${i + 1}`);
    }
  }

  #mode(raw) {
    this.raw.hidden = !raw;
    this.list.hidden = raw;
    this.adder.hidden = raw;
    this.toggle.setAttribute("aria-pressed", String(raw));
  }

  #switch() {
    let list;
    try { list = this.value; } catch (e) { return this.complain(e); }
    if (!this.isRaw) {
      this.json.value = JSON.stringify(list, null, 2);
      this.#mode(true);
      this.json.focus();
      return;
    }
    const why = unshowable(list);
    this.#fail(why && `${why} The form cannot show that; as JSON it is sent as it is.`);
    if (!why) this.value = list;
  }

  #fail(text) {
    this.error.textContent = text;
    this.error.hidden = !text;
  }
}
