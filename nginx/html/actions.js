// What can be done with a run: the row of buttons, and the questions behind them.
import { el, fill, announce, isOver } from "./dom.js";
import { parse, ofRun } from "./address.js";
import { post, send, runPath, onceId, Once } from "./api.js";
import { ask, area, line, choice } from "./dialog.js";
import { forget, remember } from "./asked.js";
import { problemBox, isAbort } from "./problem.js";
import { draft } from "./new.js";

/** A signal to a run; its id makes sending it twice harmless. */
export function signalRun(id, type, more = {}) {
  return post(runPath(id, "signal"), { type, signal_id: onceId(), ...more });
}

export class Actions {
  /** request: what was asked, or null; refresh: called when the run may be another now; iterations: their numbers */
  constructor(node, problem, id, { request, refresh, iterations }) {
    Object.assign(this, { node, problem, id, request, refresh, iterations, shown: "", busy: false });
  }

  render(run) {
    this.run = run;
    if (this.shown === run.status) return;
    const had = this.node.contains(document.activeElement), first = !this.shown;
    this.shown = run.status;
    fill(this.node, ...(isOver(run) ? this.#over() : this.#open(run)));
    if (had && !first) (this.node.querySelector("button") || document.getElementById("run-title")).focus();
  }

  #button(text, onclick, cls = "") {
    return el("button", { type: "button", class: cls, onclick }, text);
  }

  #open(run) {
    const stopping = run.status === "cancelling";
    return [
      run.status === "paused" ? this.#button("Resume", () => this.#do("resume", "The run goes on"))
        : !stopping && this.#button("Pause", () => this.#do("pause", "The run will pause")),
      !stopping && this.#button("Message …", () => this.#message()),
      !stopping && this.#button("Limits …", () => this.#limits()),
      this.#button("Fork …", () => this.fork()),
      stopping ? this.#button("Stop now", () => this.#cancel("now"), "danger") : this.#button("Cancel", () => this.#cancel("graceful"), "danger"),
    ];
  }

  #over() {
    return [
      this.#button("Fork …", () => this.fork()),
      this.request?.user_prompt && this.#button("Ask again", () => {
        draft.fromRequest(this.request);
        location.hash = "#/";
      }),
      this.#button("Delete …", () => this.#delete(), "danger"),
    ];
  }

  /** Whoever went on while the server was asked is not called back. */
  #isHere() {
    return parse(location.hash).id === this.id;
  }

  /** Something that is done at once; what goes wrong stands below the buttons. */
  async #try(work, said) {
    // the second click of two is no other wish
    if (this.busy) return;
    this.busy = true;
    this.problem.replaceChildren();
    try {
      await work();
      announce(said);
      this.refresh();
    } catch (e) {
      if (!isAbort(e)) this.problem.append(problemBox(e));
    } finally {
      this.busy = false;
    }
  }

  #do(type, said) {
    return this.#try(() => signalRun(this.id, type), said);
  }

  #cancel(mode) {
    return this.#try(() => post(runPath(this.id, "cancel"), { mode }), "The run is being stopped");
  }

  #message() {
    const text = area("Message to the model", { rows: 4, required: true, hint: "It is shown to the model with the next attempt." });
    ask({ where: this.problem, title: "Say something to the run", yes: "Send", body: [text.node], act: async () => {
      await signalRun(this.id, "message", { text: text.value() });
      announce("The message was sent");
      this.refresh();
    } });
  }

  #limits() {
    const names = [["iterations", "Iterations"], ["tokens", "Tokens"], ["wall_s", "Seconds in all"], ["sandbox_s", "Seconds of sandbox"]];
    const fields = names.map(([name, label]) => [name, line(label, { value: String(this.run.limits[name] ?? ""), inputmode: "numeric" })]);
    ask({ where: this.problem, title: "Set new limits", yes: "Set", body: fields.map(([, f]) => f.node), act: async () => {
      const limits = {};
      for (const [name, field] of fields) {
        const text = field.value();
        if (text && text !== String(this.run.limits[name])) limits[name] = /^\d+$/.test(text) ? Number(text) : text;
      }
      await signalRun(this.id, "set_limits", { limits });
      announce("The limits were set");
      this.refresh();
    } });
  }

  /** A new run that starts from the files of an iteration. */
  fork(iteration) {
    const known = this.iterations(), last = iteration ?? this.run.best_iteration ?? known[known.length - 1] ?? 1;
    const numbers = known.includes(last) ? known : [...known, last];
    const from = choice("Start from", numbers.map((n) => [String(n), n ? `iteration ${n}` : "the inputs"]), String(last));
    const asked = this.request;
    const prompt = area("Prompt", { rows: 5, value: asked?.user_prompt || "", hint: "Empty: as it was." });
    const conditions = area("Test conditions", { rows: 2, value: asked?.test_conditions || "", hint: "Empty: as they were." });
    const model = line("Model", { placeholder: this.run.model.name }), once = new Once();
    ask({ where: this.problem, title: "Fork this run", yes: "Start the fork", body: [
      el("p", { class: "hint" }, "A new run that begins with the files of this one. What you leave as it is stays as it was."),
      from.node, prompt.node, conditions.node, model.node], act: async () => {
      const changed = {};
      if (prompt.value().trim() && prompt.value() !== asked?.user_prompt) changed.user_prompt = prompt.value();
      if (conditions.value().trim() && conditions.value() !== asked?.test_conditions) changed.test_conditions = conditions.value();
      if (model.value()) changed.model = model.value();
      const body = { iteration: Number(from.value()), ...changed, mode: "async" };
      const run = await post(runPath(this.id, "fork"), body, { headers: { "Idempotency-Key": once.key(JSON.stringify(body)) } });
      if (!this.#isHere()) return;
      remember(run.workflow_id, changed.user_prompt ?? asked?.user_prompt);
      location.hash = ofRun(run.workflow_id);
    } });
  }

  #delete() {
    ask({ where: this.problem, title: "Delete this run?", yes: "Delete", danger: true,
      body: [el("p", {}, "The run, its log and all its files are removed for good.")], act: async () => {
        await send("DELETE", runPath(this.id));
        forget(this.id);
        announce("The run was deleted");
        if (this.#isHere()) location.hash = "#/runs";
      } });
  }
}
