// The files of a run, of now or of an iteration: a tree, a preview, the archive.
import { el, find, fill, bytes, count } from "./dom.js";
import { get, filePath, savable, Newest } from "./api.js";
import { problemBox, isAbort } from "./problem.js";
import { Preview } from "./preview.js";

const PAGE = 500, SOON_MS = 250;

/** Paths as nested maps: directories first, then files, each by name. */
export function nest(files) {
  const root = { dirs: new Map(), files: [] };
  for (const f of files) {
    const names = f.path.split("/");
    let at = root;
    for (const name of names.slice(0, -1)) {
      if (!at.dirs.has(name)) at.dirs.set(name, { dirs: new Map(), files: [] });
      at = at.dirs.get(name);
    }
    at.files.push({ ...f, name: names[names.length - 1] });
  }
  return root;
}

export class Files {
  /** moved(path, iteration): what is looked at is another file now */
  constructor(root, id, signal, moved) {
    Object.assign(this, { id, signal, moved, iteration: "", path: "", shown: "", files: [], cursor: null, listed: "", timer: 0, newest: new Newest() });
    this.tree = find(root, "#tree");
    this.problem = find(root, "#files-problem");
    this.zip = find(root, "#zip");
    this.select = find(root, "#of-iteration");
    this.preview = new Preview(find(root, "#preview"), id, signal);
    this.select.addEventListener("change", () => this.of(this.select.value));
    signal.addEventListener("abort", () => clearTimeout(this.timer));
  }

  refreshSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), SOON_MS);
  }

  /** Which iterations can be chosen. */
  iterations(numbers) {
    const options = [["", "now"], ...numbers.map((n) => [String(n), n ? `iteration ${n}` : "the start"])];
    if (this.iteration && !numbers.includes(Number(this.iteration))) options.push([this.iteration, `iteration ${this.iteration}`]);
    if (options.length === this.select.options.length) return;
    this.select.replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
    this.select.value = this.iteration;
  }

  /** Look at the tree of an iteration ("" = now), and at the file of the same path there. */
  of(iteration) {
    this.iteration = String(iteration);
    this.select.value = this.iteration;
    this.moved(this.path, this.iteration);
    return this.refresh();
  }

  async refresh() {
    const { iteration } = this, isNews = this.newest.ask();
    savable(this.zip, filePath(this.id, "", { format: "zip", iteration }), `${this.id}.zip`, (e) => this.problem.replaceChildren(problemBox(e)));
    let page;
    try {
      page = await get(filePath(this.id, "", { iteration, limit: PAGE }), { signal: this.signal });
    } catch (e) {
      if (isAbort(e)) return;
      page = e.status === 404 ? { files: [] } : { problem: e };
    }
    // another iteration may have been chosen meanwhile, and its list be there first
    if (iteration !== this.iteration || !isNews()) return;
    if (page.problem) {
      // what is listed is of the one that was chosen before
      if (this.listed !== iteration) {
        Object.assign(this, { listed: null, shown: "" });
        fill(this.tree);
      }
      this.problem.replaceChildren(problemBox(page.problem, { retry: () => this.refresh() }));
      return;
    }
    this.problem.replaceChildren();
    this.files = page.files;
    this.cursor = page.next_cursor || null;
    this.listed = iteration;
    this.#render();
    if (this.path && !this.preview.shows(this.files.find((f) => f.path === this.path), iteration)) await this.open(this.path, { focus: false });
  }

  async #more(button) {
    const { iteration, cursor, files } = this;
    try {
      const page = await get(filePath(this.id, "", { iteration, limit: PAGE, cursor }), { signal: this.signal });
      // of another list by now, or the second answer to two clicks
      if (files !== this.files) return;
      const had = button === document.activeElement;
      this.files = [...files, ...page.files];
      this.cursor = page.next_cursor || null;
      this.#render();
      if (had) this.#button(page.files[0]?.path || "")?.focus();
    } catch (e) {
      if (!isAbort(e) && files === this.files) this.problem.replaceChildren(problemBox(e));
    }
  }

  #render() {
    const key = JSON.stringify([this.iteration, this.cursor, this.files.map((f) => [f.path, f.sha256])]);
    if (key === this.shown) return;
    this.shown = key;
    const focused = this.tree.contains(document.activeElement) ? document.activeElement.dataset.path : null;
    const closed = new Set([...this.tree.querySelectorAll("details:not([open])")].map((d) => d.dataset.path));
    this.zip.hidden = this.files.length === 0;
    if (!this.files.length) return fill(this.tree, el("p", { class: "empty" }, "No files yet."));
    fill(this.tree, this.#level(nest(this.files), "", closed),
      el("p", { class: "hint" }, `${count(this.files.length, "file")}, ${bytes(this.files.reduce((n, f) => n + f.size, 0))}${this.cursor ? " so far" : ""}`),
      this.cursor && el("button", { type: "button", onclick: (event) => this.#more(event.currentTarget) }, "More files"));
    this.#mark();
    if (focused) this.#button(focused)?.focus();
  }

  #level(level, above, closed) {
    const dirs = [...level.dirs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, inner]) => {
      const path = `${above}${name}/`;
      return el("li", {}, el("details", { open: !closed.has(path), "data-path": path }, el("summary", {}, el("bdi", {}, `${name}/`)), this.#level(inner, path, closed)));
    });
    const files = level.files.map((f) => el("li", {}, el("button", { type: "button", class: "file", "data-path": f.path, onclick: () => this.open(f.path) },
      el("bdi", {}, f.name), el("span", { class: "hint" }, bytes(f.size)))));
    return el("ul", { class: "plain tree" }, ...dirs, ...files);
  }

  #button(path) {
    return this.tree.querySelector(`.file[data-path="${CSS.escape(path)}"]`);
  }

  #mark() {
    for (const b of this.tree.querySelectorAll(".file")) {
      if (b.dataset.path === this.path) b.setAttribute("aria-current", "true");
      else b.removeAttribute("aria-current");
    }
  }

  async open(path, { focus = true } = {}) {
    this.path = path;
    this.#mark();
    this.moved(path, this.iteration);
    const file = this.files.find((f) => f.path === path);
    if (file) await this.preview.open(file, this.iteration, focus);
    else this.preview.missing(path, this.iteration);
  }
}
