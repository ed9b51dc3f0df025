// What runs were asked for. The server tells it, one by one; for lists the first line of each run that
// was seen is kept in this browser, and in this tab what a person is about to reply to one.
import { get, runPath } from "./api.js";

const NAME = "azlon.asked", REPLY = "azlon.reply", KEPT = 200, LENGTH = 90;

function all() {
  try { return JSON.parse(localStorage.getItem(NAME)) || {}; } catch { return {}; }
}

/** The request of a run, as it would be sent again. */
export function askedFor(id, signal) {
  return get(runPath(id, "request"), { signal });
}

/** prompt: may be null, where nobody here may read it */
export function remember(id, prompt) {
  const line = (prompt || "").trim().split("\n")[0];
  if (!line) return;
  const title = line.length > LENGTH ? `${line.slice(0, LENGTH - 2)}…` : line;
  const entries = Object.entries({ ...all(), [id]: { at: Date.now(), title } });
  entries.sort((a, b) => b[1].at - a[1].at);
  try { localStorage.setItem(NAME, JSON.stringify(Object.fromEntries(entries.slice(0, KEPT)))); } catch { /* no room, no memory */ }
}

/** A line to call a run by. */
export function titleOf(id) {
  return all()[id]?.title || "";
}

/** What is being written to a run that waits, until it is sent: survives a reload and a sign-in. */
export const reply = {
  /** about: what the run waits for */
  read(id, about) {
    try {
      const kept = JSON.parse(sessionStorage.getItem(REPLY));
      return kept.id === id && kept.about === about ? kept.text : "";
    } catch { return ""; }
  },
  write(id, about, text) {
    try { sessionStorage.setItem(REPLY, JSON.stringify({ id, about, text })); } catch { /* then it does not survive */ }
  },
  drop(id, about) {
    if (this.read(id, about)) this.write(id, about, "");
  },
};

export function forget(id) {
  try {
    if (!id) sessionStorage.removeItem(REPLY);
    const left = id ? all() : {};
    delete left[id];
    localStorage.setItem(NAME, JSON.stringify(left));
  } catch { /* nothing was kept */ }
}
