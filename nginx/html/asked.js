// What this browser asked for: the server does not tell a run's prompt. A convenience for titles and
// for asking again; nothing depends on it.

const NAME = "azlon.asked", KEPT = 40, BYTES = 20000;

function all() {
  try { return JSON.parse(localStorage.getItem(NAME)) || {}; } catch { return {}; }
}

export function remember(id, request) {
  const entries = Object.entries({ ...all(), [id]: { at: Date.now(), request } });
  if (JSON.stringify(request).length > BYTES) entries[entries.length - 1][1].request = { user_prompt: request.user_prompt.slice(0, 200) };
  entries.sort((a, b) => b[1].at - a[1].at);
  try { localStorage.setItem(NAME, JSON.stringify(Object.fromEntries(entries.slice(0, KEPT)))); } catch { /* no room, no memory */ }
}

/** The request of a run, or null. */
export function askedFor(id) {
  return all()[id]?.request || null;
}

/** A line to call a run by. */
export function titleOf(id) {
  const line = askedFor(id)?.user_prompt?.trim().split("\n")[0] || "";
  return line.length > 90 ? `${line.slice(0, 88)}…` : line;
}

export function forget(id) {
  try {
    const left = id ? all() : {};
    delete left[id];
    localStorage.setItem(NAME, JSON.stringify(left));
  } catch { /* nothing was kept */ }
}
