// What this browser asked for: the server does not tell a run's prompt. A convenience for titles and
// for asking again; nothing depends on it.

const NAME = "azlon.asked", KEPT = 40, BYTES = 20000;

function all() {
  try { return JSON.parse(localStorage.getItem(NAME)) || {}; } catch { return {}; }
}

export function remember(id, request) {
  // of a long one only its beginning, as a title: it is never to be taken for the whole
  const kept = JSON.stringify(request).length > BYTES ? { title: request.user_prompt.slice(0, 200) } : { request };
  const entries = Object.entries({ ...all(), [id]: { at: Date.now(), ...kept } });
  entries.sort((a, b) => b[1].at - a[1].at);
  try { localStorage.setItem(NAME, JSON.stringify(Object.fromEntries(entries.slice(0, KEPT)))); } catch { /* no room, no memory */ }
}

/** The request of a run, or null where it is not kept, or not all of it. */
export function askedFor(id) {
  return all()[id]?.request || null;
}

/** A line to call a run by. */
export function titleOf(id) {
  const { request, title } = all()[id] || {};
  const line = (request?.user_prompt || title || "").trim().split("\n")[0];
  return line.length > 90 ? `${line.slice(0, 88)}…` : line;
}

export function forget(id) {
  try {
    const left = id ? all() : {};
    delete left[id];
    localStorage.setItem(NAME, JSON.stringify(left));
  } catch { /* nothing was kept */ }
}
