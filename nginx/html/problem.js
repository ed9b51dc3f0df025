// A problem, as people can use it: what happened, what to do, what to quote.
import { el, count } from "./dom.js";
import { Problem } from "./api.js";
import { openIdentity } from "./identity.js";

const HINTS = {
  401: "Sign in with an API key or an ID token; what you typed stays as it is.",
  404: "It may have been removed, or it is somebody else's, or this server has no such route.",
  405: "This server does not have this route.",
  429: "The limit is per user or per address; others are not affected.",
};

function place(loc) {
  return loc.filter((p, i) => i || p !== "body").map((p) => (typeof p === "number" ? `no. ${p + 1}` : p)).join(" › ");
}

/** Of anything that was thrown: an element with role alert. retry: a function, or nothing. */
export function problemBox(thrown, { retry, extra } = {}) {
  const p = thrown instanceof Problem ? thrown : new Problem({ title: "Unexpected error", detail: String(thrown?.message || thrown) });
  const signedOut = p.status === 401;
  const box = el("div", { class: "problem", role: "alert" },
    el("p", { class: "problem-title" }, el("span", { "aria-hidden": "true" }, signedOut ? "○ " : "! "),
      signedOut ? (p.code === "token_expired" ? "Your sign-in has expired" : "You are signed out") : p.title),
    el("p", {}, p.detail));
  if (p.errors.length)
    box.append(el("ul", {}, ...p.errors.map((e) => el("li", {}, el("strong", {}, place(e.loc || [])), ` ${e.msg}`))));
  if (HINTS[p.status]) box.append(el("p", { class: "hint" }, HINTS[p.status]));
  if (p.retryAfter) box.append(el("p", { class: "hint" }, `Try again in ${count(p.retryAfter, "second")}.`));
  const facts = [p.status && `status ${p.status}`, p.code && `code ${p.code}`, p.where, p.requestId && `request ${p.requestId}`].filter(Boolean);
  if (facts.length) box.append(el("p", { class: "hint facts" }, facts.join(" · ")));
  const buttons = [
    signedOut && el("button", { type: "button", class: "main", onclick: openIdentity }, "Sign in"),
    retry && el("button", { type: "button", onclick: retry }, "Try again"),
  ].filter(Boolean);
  if (buttons.length) box.append(el("div", { class: "row" }, ...buttons));
  if (extra) box.append(extra);
  return box;
}

/** No model: said plainly, with the three ways out. actions: what the buttons do. */
export function noModel(problem, actions) {
  return el("div", { class: "problem calm", role: "alert" },
    el("p", { class: "problem-title" }, el("span", { "aria-hidden": "true" }, "○ "), "No model is connected to this server"),
    el("p", {}, problem.detail),
    el("ol", { class: "ways" },
      el("li", {}, el("strong", {}, "Connect one. "), "Who runs the server sets ", el("code", {}, "OPENAI_API_KEY"), " (or ",
        el("code", {}, "OPENAI_BASE_URL"), ") and ", el("code", {}, "AZLON_MODEL"), ", then starts it again."),
      el("li", {}, el("strong", {}, "Play a recording. "), "An example fills in the form with the request it was recorded with. ",
        el("button", { type: "button", onclick: actions.example }, "Choose an example")),
      el("li", {}, el("strong", {}, "Reply by hand. "), "You are the model: each question is shown to you and waits for your answer. ",
        el("button", { type: "button", onclick: actions.manual }, "Reply by hand"))),
    problem.requestId ? el("p", { class: "hint facts" }, `status ${problem.status} · code ${problem.code} · request ${problem.requestId}`) : null);
}

/** Leaving a view ends its requests; that is nobody's problem. */
export function isAbort(thrown) {
  return thrown?.name === "AbortError";
}
