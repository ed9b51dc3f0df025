// Files for a program: uploaded at once, each upload an input set of its own, with its progress.
import { el, bytes, count, announce } from "./dom.js";
import { upload, send } from "./api.js";
import { problemBox, isAbort } from "./problem.js";

export class Inputs {
  /** changed: called when the list has changed */
  constructor(root, signal, changed) {
    this.list = root.querySelector("#inputs");
    this.whole = root.querySelector("#whole");
    this.drop = root.querySelector("#drop");
    this.signal = signal;
    this.changed = changed;
    /** [{input, names}]: a set, or {workflow id}/{path} */
    this.entries = [];
    this.busy = 0;
    /** ends with this list */
    this.filled = new AbortController();
    const picker = root.querySelector("#files");
    picker.addEventListener("change", () => {
      this.add([...picker.files]);
      picker.value = "";
    });
    for (const type of ["dragenter", "dragover", "dragleave", "drop"])
      this.drop.addEventListener(type, (event) => {
        event.preventDefault();
        this.drop.classList.toggle("over", type === "dragenter" || type === "dragover");
        if (type === "drop") this.add([...event.dataTransfer.files]);
      });
  }

  get value() { return this.entries.map((e) => e.input); }

  restore(entries) {
    // what is on its way was meant for the list that was
    this.filled.abort();
    this.filled = new AbortController();
    this.entries = [];
    this.list.replaceChildren();
    for (const e of entries) this.#keep(e, el("li", { class: "input" }));
  }

  /** Upload as one set; resolves when it is there, or was refused (which is shown). */
  async add(files) {
    if (!files.length) return;
    const names = files.map((f) => f.name), size = files.reduce((n, f) => n + f.size, 0);
    const bar = el("progress", { max: "100", value: "0", "aria-label": `Upload of ${names.join(", ")}` });
    const said = el("span", { class: "hint" }, bytes(size));
    const stop = new AbortController();
    const cancel = el("button", { type: "button", class: "icon", "aria-label": `Stop the upload of ${names.join(", ")}`,
      onclick: () => stop.abort() }, el("span", { "aria-hidden": "true" }, "✕"));
    const item = el("li", { class: "input" }, el("bdi", {}, names.join(", ")), bar, said, cancel);
    this.list.append(item);
    const form = new FormData();
    for (const f of files) form.append("file", f, f.name);
    this.busy++;
    try {
      const set = await upload(`/files/inputs${this.whole.checked ? "?expand=0" : ""}`, form, {
        signal: AbortSignal.any([this.signal, this.filled.signal, stop.signal]),
        onprogress: (done, all) => {
          bar.value = (100 * done) / all;
          said.textContent = done < all ? `${bytes(done)} of ${bytes(all)}` : "being stored …";
        },
      });
      item.replaceChildren();
      this.#keep({ fresh: true, input: set.input_id, names: set.files.map((f) => f.path), size: set.files.reduce((n, f) => n + f.size, 0) }, item);
      announce(`${count(set.files.length, "file")} uploaded`);
    } catch (e) {
      item.remove();
      if (!isAbort(e)) this.list.append(this.#refused(e, files, names));
    } finally {
      this.busy--;
      this.changed();
    }
  }

  #refused(e, files, names) {
    const item = el("li", { class: "input refused" }, el("bdi", {}, names.join(", ")),
      el("button", { type: "button", class: "icon", "aria-label": `Put away the refusal of ${names.join(", ")}`, onclick: () => item.remove() },
        el("span", { "aria-hidden": "true" }, "✕")),
      problemBox(e, { retry: () => {
        item.remove();
        this.add(files);
      } }));
    return item;
  }

  #keep(entry, item) {
    this.entries.push(entry);
    const names = entry.names.slice(0, 5).join(", ") + (entry.names.length > 5 ? ` and ${entry.names.length - 5} more` : "");
    item.append(el("span", { class: "tick", "aria-hidden": "true" }, "✓"), el("bdi", {}, names),
      entry.size === undefined ? "" : el("span", { class: "hint" }, bytes(entry.size)),
      el("button", { type: "button", class: "icon", "aria-label": `Remove ${names}`, onclick: () => this.#remove(entry, item) },
        el("span", { "aria-hidden": "true" }, "✕")));
    if (!item.parentNode) this.list.append(item);
  }

  #remove(entry, item) {
    this.entries = this.entries.filter((e) => e !== entry);
    item.remove();
    this.changed();
    // no run has it yet; if it stays, nothing depends on it
    if (entry.fresh) send("DELETE", `/files/inputs/${entry.input}`).catch(() => {});
    this.drop.querySelector("input").focus();
  }
}
