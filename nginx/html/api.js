// One way to the server: who calls, problems as errors, bodies as JSON.
import { session } from "./session.js";

/** What went wrong, as the server said it (RFC 9457) or as it was found here. */
export class Problem extends Error {
  constructor(said) {
    super(said.detail);
    this.name = "Problem";
    Object.assign(this, { title: "Error", status: 0, code: "", requestId: "", retryAfter: 0, errors: [], where: "" }, said);
  }
}

async function problemOf(response, where) {
  const said = (await response.json().catch(() => null)) || {};
  const after = Number(response.headers.get("Retry-After")) || Number(said.retry_after_s) || 0;
  return new Problem({
    title: String(said.title || response.statusText || "Error"), status: response.status, code: String(said.code || ""),
    detail: String(said.detail || `The server answered ${response.status}.`),
    requestId: String(said.request_id || response.headers.get("X-Request-Id") || ""),
    retryAfter: after, errors: Array.isArray(said.errors) ? said.errors : [], where,
  });
}

function unreachable(where) {
  return new Problem({ title: "No connection", detail: "The server cannot be reached. Nothing that it accepted is lost.", where });
}

/** What an answer tells of who asked; caller: who that was. */
function settle(response, problem, caller) {
  if (caller !== session.caller) return;
  if (problem?.status === 401) session.refused(problem);
  else if (response.ok) session.accepted();
}

/** A request; what is not 2xx is thrown as a Problem. */
export async function send(method, path, { json, body, headers = {}, signal } = {}) {
  const where = `${method} ${path.split("?")[0]}`, { caller } = session;
  let response;
  try {
    response = await fetch(path, {
      method, signal,
      body: json === undefined ? body : JSON.stringify(json),
      headers: { ...session.headers(), ...(json !== undefined && { "Content-Type": "application/json" }), ...headers },
    });
  } catch (e) {
    throw e.name === "AbortError" ? e : unreachable(where);
  }
  const problem = response.ok ? null : await problemOf(response, where);
  // nobody waits for it any more
  signal?.throwIfAborted();
  settle(response, problem, caller);
  if (problem) throw problem;
  return response;
}

export async function get(path, how) {
  return (await send("GET", path, how)).json();
}

export async function post(path, json, how = {}) {
  const response = await send("POST", path, { ...how, json });
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/** The first bytes of something large: {text, bytes, total}. */
export async function head(path, limit, how = {}) {
  const response = await send("GET", path, { ...how, headers: { ...how.headers, Range: `bytes=0-${limit - 1}` } });
  const data = new Uint8Array(await response.arrayBuffer());
  const total = Number((response.headers.get("Content-Range") || "").split("/")[1]) || data.length;
  return { data, total, mime: (response.headers.get("Content-Type") || "").split(";")[0] };
}

/** A form with files; only XMLHttpRequest tells how far an upload is. */
export function upload(path, form, { onprogress, signal } = {}) {
  const xhr = new XMLHttpRequest(), where = `POST ${path}`, { caller } = session;
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    xhr.open("POST", path);
    for (const [name, value] of Object.entries(session.headers())) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (e) => e.lengthComputable && onprogress?.(e.loaded, e.total);
    xhr.onerror = () => reject(unreachable(where));
    xhr.onabort = () => reject(new DOMException("aborted", "AbortError"));
    xhr.onload = resolve;
    signal?.addEventListener("abort", () => xhr.abort(), { once: true });
    xhr.send(form);
  }).then(async () => {
    const headers = {};
    for (const name of ["Content-Type", "Retry-After", "X-Request-Id"])
      if (xhr.getResponseHeader(name)) headers[name] = xhr.getResponseHeader(name);
    const response = new Response(xhr.responseText, { status: xhr.status, statusText: xhr.statusText, headers });
    const problem = response.ok ? null : await problemOf(response, where);
    settle(response, problem, caller);
    if (problem) throw problem;
    const said = await response.json();
    signal?.throwIfAborted();
    return said;
  });
}

/** Save what is at path. A link sends no headers, so where some are needed the bytes come through here. */
export async function save(path, name, how) {
  const url = URL.createObjectURL(await (await send("GET", path, how)).blob());
  const a = document.createElement("a");
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

/** A link that saves: the browser's own download where nobody has to say who asks. */
export function savable(a, path, name, onproblem) {
  a.href = path;
  a.download = name;
  a.onclick = (event) => {
    if (!session.needsHeaders) return;
    event.preventDefault();
    save(path, name).catch(onproblem);
  };
  return a;
}

export function runPath(id, ...more) {
  return ["/run_workflow", id, ...more].map((p, i) => (i ? encodeURIComponent(p) : p)).join("/");
}

export function filePath(id, path = "", query = {}) {
  const q = new URLSearchParams(Object.entries(query).filter(([, v]) => v !== "" && v !== null && v !== undefined));
  const tail = path ? `/${path.split("/").map(encodeURIComponent).join("/")}` : "";
  return `/files/${encodeURIComponent(id)}${tail}${q.size ? `?${q}` : ""}`;
}

/** A name for a request that may be sent twice. randomUUID() is not there on plain HTTP from elsewhere. */
export function onceId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

/** Of answers to what is asked again and again: those that are newer than all that came. */
export class Newest {
  #asked = 0;
  #shown = 0;

  /** When it is asked; what is returned tells, when the answer is there, whether it is news. */
  ask() {
    const n = ++this.#asked;
    return () => {
      if (n < this.#shown) return false;
      this.#shown = n;
      return true;
    };
  }
}

/** Keys for what is sent: the same text again has the same key, and is done once. */
export class Once {
  #text;
  #key;

  constructor({ text = null, key = "" } = {}) {
    this.#text = text;
    this.#key = key;
  }

  /** For the next one, which is to go on with it. */
  get kept() { return { text: this.#text, key: this.#key }; }

  key(text) {
    if (text !== this.#text) {
      this.#text = text;
      this.#key = onceId();
    }
    return this.#key;
  }
}
