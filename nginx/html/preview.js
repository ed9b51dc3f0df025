// One file, looked at: text, tables, images. Nothing of it is ever run: text is text, and images come as
// data: into <img>, where no script of an SVG runs and nothing is fetched.
import { el, fill, bytes, when, announce } from "./dom.js";
import { head, send, post, filePath, savable } from "./api.js";
import { problemBox, isAbort } from "./problem.js";
import { draft } from "./new.js";

const TEXT_BYTES = 256 * 1024, IMAGE_BYTES = 8 * 1024 * 1024, TABLE_ROWS = 200, LINK_S = 3600;
const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"];

/** Rows of a CSV, quotes and all; stops after max rows. */
export function parseCsv(text, max) {
  const rows = [];
  let row = [], cell = "", quoted = false;
  for (let i = 0; i < text.length && rows.length < max; i++) {
    const ch = text[i];
    if (quoted) {
      if (ch !== '"') cell += ch;
      else if (text[i + 1] === '"') { cell += ch; i++; } else quoted = false;
    } else if (ch === '"' && cell === "") quoted = true;
    else if (ch === "," || ch === "\n") {
      row.push(cell.replace(/\r$/, ""));
      cell = "";
      if (ch === "\n") { rows.push(row); row = []; }
    } else cell += ch;
  }
  if ((cell || row.length) && rows.length < max) rows.push([...row, cell]);
  return rows;
}

function table(text) {
  const rows = parseCsv(text, TABLE_ROWS + 1), [heads = [], ...body] = rows;
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" },
    el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((h) => el("th", { scope: "col" }, h)))),
      el("tbody", {}, ...body.map((r) => el("tr", {}, ...r.map((c) => el("td", {}, c)))))),
    rows.length > TABLE_ROWS ? el("p", { class: "hint" }, `The first ${TABLE_ROWS} rows.`) : null);
}

function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error("The image cannot be read."));
    reader.readAsDataURL(blob);
  });
}

export class Preview {
  constructor(node, id, signal) {
    Object.assign(this, { node, id, signal, key: "" });
  }

  shows(file, iteration) {
    return Boolean(file) && this.key === `${file.sha256} ${file.path} ${iteration}`;
  }

  missing(path, iteration) {
    this.key = "";
    this.node.hidden = false;
    fill(this.node, el("p", { class: "empty" }, el("bdi", {}, path), ` is not among the files of ${iteration ? `iteration ${iteration}` : "now"}.`));
  }

  async open(file, iteration, focus) {
    if (this.shows(file, iteration)) {
      if (focus) this.title.focus();
      return;
    }
    const path = filePath(this.id, file.path, { iteration }), problem = el("div");
    const body = el("div", { class: "preview-body" }, el("p", { class: "empty" }, "…"));
    const buttons = el("div", { class: "row" }, ...this.#buttons(file, iteration, problem));
    this.key = `${file.sha256} ${file.path} ${iteration}`;
    this.title = el("h3", { tabindex: "-1" }, el("bdi", {}, file.path));
    this.node.hidden = false;
    fill(this.node, this.title, el("p", { class: "hint" }, [bytes(file.size), file.mime.split(";")[0], file.executable && "executable", when(file.modified)].filter(Boolean).join(" · ")),
      buttons, problem, body);
    if (focus) this.title.focus({ preventScroll: true });
    if (focus) this.title.scrollIntoView({ block: "nearest" });
    // somebody may go on to another file meanwhile: what comes then goes nowhere
    try {
      body.replaceChildren(await this.#content(file, path, buttons));
    } catch (e) {
      if (isAbort(e)) return;
      body.replaceChildren(problemBox(e));
      // it is not shown: who opens it again tries again
      if (body.isConnected) this.key = "";
    }
  }

  async #content(file, path, buttons) {
    const mime = file.mime.split(";")[0];
    if (file.size === 0) return el("p", { class: "empty" }, "The file is empty.");
    if (IMAGES.includes(mime)) {
      if (file.size > IMAGE_BYTES) return el("p", { class: "empty" }, "Too large to be shown here; download it.");
      const image = await this.#image(file, path, mime);
      return mime === "image/svg+xml" ? this.#either(buttons, image, () => this.#text(path)) : image;
    }
    if (mime !== "text/csv") return this.#text(path);
    const { data, total } = await head(path, TEXT_BYTES, { signal: this.signal });
    const text = new TextDecoder().decode(data);
    return this.#either(buttons, table(text), async () => this.#pre(text, data.length, total));
  }

  async #image(file, path, mime) {
    const blob = await (await send("GET", path, { signal: this.signal })).blob();
    const image = el("img", { class: "shown", alt: `${file.path}, as an image`, src: await dataUrl(new Blob([blob], { type: mime })) });
    image.onerror = () => image.replaceWith(el("p", { class: "empty" }, "This is no image that can be shown; download it."));
    return image;
  }

  async #text(path) {
    const { data, total } = await head(path, TEXT_BYTES, { signal: this.signal });
    if (data.subarray(0, 8192).includes(0)) return el("p", { class: "empty" }, "This is no text; download it.");
    return this.#pre(new TextDecoder().decode(data), data.length, total);
  }

  #pre(text, n, total) {
    return el("div", {}, el("pre", { tabindex: "0", "aria-label": "Content" }, text),
      n < total ? el("p", { class: "hint" }, `The first ${bytes(n)} of ${bytes(total)}.`) : null);
  }

  /** Two ways to see it, one button. */
  #either(buttons, first, second) {
    const place = el("div", {}, first);
    let other = null;
    const button = el("button", { type: "button", "aria-pressed": "false", onclick: async () => {
      const isText = () => button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!isText()));
      place.replaceChildren(isText() ? other || "…" : first);
      if (!isText() || other) return;
      try {
        other = await second();
        if (isText()) place.replaceChildren(other);
      } catch (e) {
        if (!isAbort(e) && isText()) place.replaceChildren(problemBox(e));
      }
    } }, "As text");
    buttons.prepend(button);
    return place;
  }

  #buttons(file, iteration, problem) {
    const name = file.path.split("/").pop(), fail = (e) => isAbort(e) || problem.replaceChildren(problemBox(e));
    const download = savable(el("a", { class: "button" }, "Download"), filePath(this.id, file.path, { iteration, download: 1 }), name, fail);
    return [download,
      el("button", { type: "button", onclick: () => this.#link(file, iteration, problem).catch(fail) }, "Link for others"),
      iteration === "" && el("button", { type: "button", onclick: () => {
        draft.addInput(`${this.id}/${file.path}`);
        location.hash = "#/";
        announce("The file is among those of a new run");
      } }, "Use in a new run")].filter(Boolean);
  }

  /** A signed link: good for whoever has it, for an hour. */
  async #link(file, iteration, place) {
    const wanted = { path: file.path, ttl_s: LINK_S, ...(iteration !== "" && { iteration: Number(iteration) }) };
    const made = await post(`${filePath(this.id)}/links`, wanted, { signal: this.signal });
    // whoever looks at another file by now is not given the link to this one
    if (!place.isConnected) return;
    const url = new URL(made.url, location.href).href;
    const input = el("input", { readonly: true, value: url, "aria-label": "Link", onfocus: (e) => e.target.select() });
    const copied = await navigator.clipboard?.writeText(url).then(() => "Copied. ", () => "") || "";
    place.replaceChildren(el("div", { class: "field link" }, input, el("p", { class: "hint", role: "status" }, `${copied}Good for whoever has it, until ${when(made.expires_at)}.`)));
    input.focus();
  }
}
