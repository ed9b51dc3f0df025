// A new run: the form, its draft, and what the server says to it.
import { el, use, find, announce, refocus } from "./dom.js";
import { ofRun } from "./address.js";
import { Problem, post, Once } from "./api.js";
import { session } from "./session.js";
import { problemBox, noModel, isAbort } from "./problem.js";
import { remember } from "./asked.js";
import { Checks } from "./checks.js";
import { Inputs } from "./inputs.js";
import { EXAMPLES, RECORDINGS, load } from "./examples.js";
import { latest } from "./runs.js";

const DRAFT = "azlon.draft";
// members of a request that the form has no field for: sent as they were when a run is asked again
const ALSO = { model_fallbacks: "other models", webhook: "the webhook", metadata: "the metadata", on_disconnect: "" };
const MODEL_HINTS = {
  recording: "A recording answers only the request it was made with, to the letter: choose an example to fill it in.",
  manual: "Each question to the model waits, on the page of the run, for your reply.",
};

/** What the form holds until the run is started; survives a reload, ends with the tab. */
export const draft = {
  read() {
    try { return JSON.parse(sessionStorage.getItem(DRAFT)) || {}; } catch { return {}; }
  },
  write(value) {
    try { sessionStorage.setItem(DRAFT, JSON.stringify(value)); } catch { /* then it does not survive */ }
  },
  /** A request that was sent before, to be changed and sent again. */
  fromRequest(request) {
    const inputs = (request.inputs || []).map((input) => ({ input, names: [input] }));
    this.write({ request: { ...request, inputs: undefined }, inputs });
  },
  /** One more file of an earlier run. */
  addInput(input) {
    const d = this.read();
    const inputs = (d.inputs || []).filter((e) => e.input !== input);
    this.write({ ...d, inputs: [...inputs, { input, names: [input.split("/").slice(1).join("/")] }] });
  },
};

class Form {
  /** once: the keys of what was sent */
  constructor(root, signal, once) {
    this.root = root;
    this.form = find(root, "form");
    this.problem = find(root, "#new-problem");
    this.checks = new Checks(root);
    this.inputs = new Inputs(root, signal, () => this.keep());
    this.signal = signal;
    this.once = once;
    this.wishes = 0;
    for (const name of RECORDINGS) find(root, "#recordings").append(el("option", { value: name }));
    find(root, "#model-kind").addEventListener("change", () => this.showModel(true));
    this.form.addEventListener("input", () => this.keep());
    this.form.addEventListener("change", () => this.keep());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    this.form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
      // Enter in a line is no wish to start
      else if (event.key === "Enter" && event.target.tagName === "INPUT") event.preventDefault();
    });
    // where the examples stand below the form
    find(root, "#to-examples").addEventListener("click", () => find(root, "#examples button").focus());
    find(root, "#clear").addEventListener("click", () => {
      this.wishes++;
      this.fill({}, []);
      find(root, "#prompt").focus();
      announce("The form is empty");
    });
  }

  showModel(byHand) {
    const kind = find(this.root, "#model-kind").value, hint = find(this.root, "#model-hint");
    find(this.root, "#model-named").hidden = kind !== "named";
    find(this.root, "#model-recording").hidden = kind !== "recording";
    hint.textContent = MODEL_HINTS[kind] || "";
    hint.hidden = !hint.textContent;
    if (byHand && kind === "named") find(this.root, "#model").focus();
    if (byHand && kind === "recording") find(this.root, "#recording").focus();
  }

  get model() {
    const kind = find(this.root, "#model-kind").value;
    if (kind === "named") return find(this.root, "#model").value.trim();
    if (kind === "recording") return `recording/${find(this.root, "#recording").value.trim().replace(/^recording\//, "")}`;
    return kind;
  }

  set model(model) {
    const recording = model.startsWith("recording/");
    find(this.root, "#model-kind").value = !model ? "" : recording ? "recording" : model === "manual" ? "manual" : "named";
    find(this.root, "#recording").value = recording ? model.slice(10) : "";
    find(this.root, "#model").value = recording || model === "manual" ? "" : model;
    this.showModel(false);
  }

  /** The request without its files; throws where the checks are no JSON. */
  read(checks = this.checks.value) {
    const request = { user_prompt: find(this.root, "#prompt").value, test_conditions: find(this.root, "#conditions").value };
    const limits = {}, network = {};
    if (this.model) request.model = this.model;
    if (!Array.isArray(checks) || checks.length) request.checks = checks;
    for (const input of this.root.querySelectorAll("[data-limit]")) {
      const text = input.value.trim();
      // what is no number is sent as it is: the server says what is wrong with it
      if (text) limits[input.dataset.limit] = /^\d+$/.test(text) ? Number(text) : text;
    }
    if (Object.keys(limits).length) request.limits = limits;
    const hosts = find(this.root, "#hosts").value.split(/[\s,]+/).filter(Boolean);
    if (find(this.root, "#network").value) network.default = find(this.root, "#network").value;
    if (hosts.length) network.allow = hosts;
    if (Object.keys(network).length) request.network = network;
    if (find(this.root, "#hitl").value) request.hitl = find(this.root, "#hitl").value;
    return { ...request, ...this.also };
  }

  /** text: the checks, where they are no JSON yet */
  fill(request, inputs, text) {
    find(this.root, "#prompt").value = request.user_prompt || "";
    find(this.root, "#conditions").value = request.test_conditions || "";
    this.checks.value = request.checks || [];
    if (text !== undefined) this.checks.text = text;
    this.model = request.model || "";
    for (const input of this.root.querySelectorAll("[data-limit]")) input.value = request.limits?.[input.dataset.limit] ?? "";
    const { default: reach, allow = [] } = request.network || {}, open = reach === "install" ? "" : reach || "";
    find(this.root, "#network").value = open;
    find(this.root, "#hosts").value = allow.join(" ");
    find(this.root, "#hitl").value = request.hitl || "";
    find(this.root, "#more").open = Boolean(open || allow.length || request.hitl);
    this.also = Object.fromEntries(Object.keys(ALSO).filter((name) => request[name]).map((name) => [name, request[name]]));
    const words = Object.keys(this.also).map((name) => ALSO[name]).filter(Boolean);
    find(this.root, "#also").hidden = !words.length;
    find(this.root, "#also").textContent = words.length ? `Sent along as it was: ${words.join(", ")}.` : "";
    this.inputs.restore(inputs || []);
    this.clearErrors();
    this.keep();
  }

  keep() {
    // the next form keeps its own, perhaps of somebody else
    if (this.signal.aborted) return;
    let checks = [], text;
    try { checks = this.checks.value; } catch { ({ text } = this.checks); }
    draft.write({ request: this.read(checks), inputs: this.inputs.entries, text, sent: this.once.kept });
  }

  clearErrors() {
    this.problem.replaceChildren();
    for (const field of this.root.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  }

  async start() {
    const button = find(this.root, "#start");
    // keys start it too, when the button is not to
    if (button.disabled) return;
    this.clearErrors();
    if (this.inputs.busy) return this.problem.append(el("p", { class: "notice", role: "alert" }, "Files are still on their way; start when they are there."));
    let request;
    try { request = this.read(); } catch (e) { return this.checks.complain(e); }
    if (this.inputs.value.length) request.inputs = this.inputs.value;
    // the same form sent twice, whatever became of the first answer, is one run; also when it was left meanwhile
    const key = this.once.key(JSON.stringify(request));
    this.keep();
    button.disabled = true;
    button.textContent = "Starting …";
    try {
      const run = await post("/run_workflow", { ...request, mode: "async" }, { headers: { "Idempotency-Key": key }, signal: this.signal });
      session.accepted(run.user_id);
      remember(run.workflow_id, request.user_prompt);
      draft.write({});
      location.hash = ofRun(run.workflow_id);
    } catch (e) {
      if (!isAbort(e)) this.refused(e);
    } finally {
      button.disabled = false;
      button.textContent = "Start the run";
      refocus(button);
    }
  }

  refused(e) {
    if (e instanceof Problem && e.code === "llm_not_configured")
      this.problem.append(noModel(e, {
        example: () => find(this.root, "#examples button").focus(),
        manual: () => {
          this.model = "manual";
          this.keep();
          find(this.root, "#start").focus();
        },
      }));
    else this.problem.append(problemBox(e));
    this.problem.scrollIntoView({ block: "nearest" });
    this.mark(e.errors || []);
  }

  /** Each field that the server named is marked, the first one gets the focus. */
  mark(errors) {
    const fields = errors.map(({ loc = [] }) => {
      const path = loc.slice(1);
      for (let n = path.length; n > 0; n--) {
        const found = this.root.querySelector(`[data-loc="${CSS.escape(path.slice(0, n).join("."))}"]`);
        if (found) return found;
      }
      return null;
    }).filter(Boolean);
    for (const field of fields) field.setAttribute("aria-invalid", "true");
    const first = fields[0];
    if (!first) return;
    const details = first.closest("details");
    if (details) details.open = true;
    (first.matches("input, textarea, select") ? first : first.querySelector("input, textarea, select"))?.focus();
  }

  async example(example) {
    const button = find(this.root, `[data-example="${example.name}"]`), wish = ++this.wishes;
    const isLatest = () => wish === this.wishes && !this.signal.aborted;
    button.disabled = true;
    try {
      const { request, files } = await load(example);
      if (!isLatest()) return;
      this.fill(request, []);
      await this.inputs.add(files);
      if (!isLatest()) return;
      announce(`The example ${example.title} is filled in`);
      find(this.root, "#start").focus();
    } catch (e) {
      if (isLatest()) this.problem.replaceChildren(problemBox(e));
    } finally {
      button.disabled = false;
      if (isLatest()) refocus(button);
    }
  }
}

export async function show(main, query, signal) {
  const root = use("new-view");
  main.replaceChildren(root);
  const kept = draft.read(), form = new Form(root, signal, new Once(kept.sent));
  form.fill(kept.request || {}, kept.inputs, kept.text);
  find(root, "#examples").append(...EXAMPLES.map((e) => el("li", { class: "card" },
    el("button", { type: "button", class: "example", "data-example": e.name, onclick: () => form.example(e) },
      el("strong", {}, e.title), el("span", { class: "hint" }, e.text)))));
  // the form is there; nobody who is in it already is to be brought back to its beginning when these are
  latest(find(root, "#recent"), find(root, "#recent-list"), signal);
}
