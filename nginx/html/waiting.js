// A run that waits for a person: what it asks, and the ways to answer.
import { el, fill, announce, refocus } from "./dom.js";
import { head } from "./api.js";
import { signalRun } from "./actions.js";
import { reply as kept } from "./asked.js";
import { area } from "./dialog.js";
import { problemBox, isAbort } from "./problem.js";

const PROMPT_BYTES = 512 * 1024;

function titleFor(need) {
  if (need.kind === "approve") return `May iteration ${need.iteration} be run?`;
  return need.step === "validate_output" ? `You are the model: judge iteration ${need.iteration}` : `You are the model: write iteration ${need.iteration}`;
}

export class Waiting {
  /** hooks: refresh(), files(n) */
  constructor(node, id, signal, hooks) {
    Object.assign(this, { node, id, signal, hooks, shown: "", about: "", asked: 0, text: null, pressed: false, sent: false });
  }

  /** asked: number of the latest input.needed; the same thing may be asked twice */
  render(run, asked) {
    const need = run.input_needed || null;
    const about = need ? `${need.kind} ${need.iteration} ${need.step}` : "", key = need ? `${about} ${asked}` : "";
    if (key === this.shown) return;
    // the log, when it comes, tells the number of a question that is there already
    if (about && about === this.about && !this.asked && !this.sent) return void Object.assign(this, { shown: key, asked });
    // what was typed and not sent stays, as long as it is about the same
    const typed = !about || this.sent ? "" : about === this.about ? this.text.value() : kept.read(this.id, about);
    const at = this.node.contains(document.activeElement) ? document.activeElement : null;
    const had = at || this.pressed;
    Object.assign(this, { shown: key, about, asked, pressed: false, sent: false });
    this.node.hidden = !need;
    if (!need) {
      this.node.replaceChildren();
      if (had) refocus(document.getElementById("run-title"));
      return;
    }
    const reply = need.kind === "reply";
    const prompt = el("details", { class: "more", open: reply }, el("summary", {}, reply ? "The question" : "What the model was asked"));
    const problem = el("div");
    this.text = reply ? area("Your reply, word for word as a model would give it", { value: typed, rows: 14, code: true })
      : area("A remark for the model", { value: typed, rows: 2, hint: "Goes with an approval or a rejection; may stay empty." });
    fill(this.node, el("h2", { id: "input-title" }, titleFor(need)),
      el("p", {}, reply ? "The question says what the reply must look like. Time that you take is not counted." : "Nothing of it has run yet. Look at what the model wrote, then decide."),
      prompt, this.text.node, problem,
      el("div", { class: "row" }, ...(reply
        ? [this.#button("Send the reply", "reply", "The reply was sent", "main", problem)]
        : [this.#button("Approve", "approve", "Approved", "main", problem), this.#button("Reject", "reject", "Rejected", "danger", problem),
          el("button", { type: "button", onclick: () => this.hooks.files(need.iteration) }, "Look at the files")])));
    const field = this.text.node.querySelector("textarea");
    field.addEventListener("input", () => kept.write(this.id, about, field.value));
    if (had) refocus(field);
    if (at?.matches("textarea")) field.setSelectionRange(at.selectionStart, at.selectionEnd);
    this.#question(prompt, need);
    announce(`The run waits for you: ${titleFor(need)}`);
  }

  async #question(node, need) {
    try {
      const { data } = await head(need.links.prompt, PROMPT_BYTES, { signal: this.signal });
      const text = new TextDecoder().decode(data);
      const copied = el("span", { class: "hint", role: "status" });
      node.append(el("pre", { class: "asked", tabindex: "0", "aria-label": "The question" }, text));
      // browsers lend the clipboard to safe origins only
      if (navigator.clipboard)
        node.append(el("p", { class: "row" }, el("button", { type: "button", onclick: () => navigator.clipboard.writeText(text).then(() => { copied.textContent = "Copied"; }, () => { copied.textContent = "The browser does not allow it"; }) }, "Copy the question"), copied));
    } catch (e) {
      if (isAbort(e)) return;
      // without it nobody can answer
      const box = problemBox(e, { retry: () => {
        box.remove();
        this.#question(node, need);
      } });
      node.append(box);
    }
  }

  #button(label, type, said, cls, problem) {
    return el("button", { type: "button", class: cls, onclick: async ({ currentTarget }) => {
      const buttons = [...this.node.querySelectorAll("button")], text = this.text.value(), { about } = this;
      this.pressed = true;
      problem.replaceChildren();
      for (const b of buttons) b.disabled = true;
      try {
        await signalRun(this.id, type, text.trim() ? { text } : {});
        kept.drop(this.id, about);
        // or else what is shown is the next question already
        this.sent = buttons[0].isConnected;
        announce(said);
        this.hooks.refresh();
      } catch (e) {
        if (!isAbort(e)) problem.append(problemBox(e));
        for (const b of buttons) b.disabled = false;
        this.pressed = false;
        refocus(currentTarget);
      }
    } }, label);
  }
}
