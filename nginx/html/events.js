// The event log of a run, live. EventSource can send no headers, so this is fetch: frames are parsed
// here, and after a break the log goes on behind the last event that was seen.
import { Problem, send, runPath } from "./api.js";

const SILENT_MS = 45000; // three pings missed
const FIRST_MS = 500, LONGEST_MS = 15000;
/** No further try would mend these. */
export const FINAL = [401, 403, 404, 405];

/** Bytes in any split, frames out: {id, type, data}. */
export class Frames {
  #rest = "";
  #frame = { id: "", type: "", data: [] };

  push(text) {
    const out = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (this.#frame.data.length) out.push({ ...this.#frame, data: this.#frame.data.join("\n") });
        this.#frame = { id: "", type: "", data: [] };
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "id") this.#frame.id = value;
      else if (field === "event") this.#frame.type = value;
      else if (field === "data") this.#frame.data.push(value);
    }
    return out;
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    // the network is back, or the view is gone: no reason to wait
    addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}

/** One connection; true when the log is at its end. */
async function connection(id, at, signal, onevent, onopen) {
  const silent = new AbortController();
  let timer = setTimeout(() => silent.abort(), SILENT_MS);
  try {
    const response = await send("GET", runPath(id, "events"), {
      headers: { Accept: "text/event-stream", ...(at.seq && { "Last-Event-ID": String(at.seq) }) },
      signal: AbortSignal.any([signal, silent.signal]),
    });
    if (response.status === 204) return true;
    onopen();
    const reader = response.body.getReader(), decoder = new TextDecoder(), frames = new Frames();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return false;
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENT_MS);
      for (const frame of frames.push(decoder.decode(value, { stream: true }))) {
        const seq = Number(frame.id) || 0;
        if (seq && seq <= at.seq) continue;
        if (seq) at.seq = seq;
        onevent(frame.type, JSON.parse(frame.data));
        if (frame.type === "run.finished") {
          reader.cancel().catch(() => {});
          return true;
        }
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Follow a run to its end. onevent(type, data) for each event, once; onstate("live" | "lost", seconds
 * until the next try). Throws the Problem that no further try would mend.
 */
export async function follow(id, { signal, onevent, onstate }) {
  const at = { seq: 0 };
  let wait = FIRST_MS;
  while (!signal.aborted) {
    let asked = 0;
    const before = at.seq;
    try {
      if (await connection(id, at, signal, onevent, () => onstate("live"))) return;
    } catch (e) {
      if (signal.aborted) return;
      if (e instanceof Problem && FINAL.includes(e.status)) throw e;
      if (e instanceof Problem) asked = e.retryAfter * 1000;
    }
    if (at.seq > before) wait = FIRST_MS;
    const ms = Math.max(asked, wait);
    onstate("lost", Math.ceil(ms / 1000));
    await pause(ms, signal);
    wait = Math.min(wait * 2, LONGEST_MS);
  }
}
