// One line of the event log.
import { el, clock, checkWords, statusWord, count } from "./dom.js";

const STATUS = { queued: "queued", running: "running", awaiting_input: "waiting for a person", paused: "paused", cancelling: "being stopped" };

const WORDS = {
  "run.status": (d) => (d.signal ? `a person: ${d.signal.type.replaceAll("_", " ")}${d.signal.text ? `, “${d.signal.text}”` : ""}; ` : "") + `the run is ${STATUS[d.status] || d.status}`,
  "iteration.start": (d) => `iteration ${d.iteration} of ${d.max_iterations} begins${d.strategy && d.strategy !== "normal" ? ` (${d.strategy})` : ""}`,
  "llm.done": (d) => `the model replied: ${count(d.tokens_out ?? 0, "token")}${d.calls > 1 ? ` in ${d.calls} calls` : ""}`,
  "files.changed": (d) => `${count(d.count ?? 0, "file")} changed by the ${d.by || "program"}${d.paths?.length ? `: ${d.paths.join(", ")}` : ""}`,
  "sandbox.start": (d) => `the program ran: ${d.text || d.kind}`,
  check: (d) => `check ${d.id} ${checkWords(d.status)[1]}${d.message && d.status !== "pass" ? `: ${d.message}` : ""}`,
  verdict: (d) => `verdict: ${d.n_passed} of ${d.n_total} passed`,
  usage: (d) => `used so far: ${count(d.llm_calls, "call")}, ${d.tokens_in + d.tokens_out} tokens, ${d.sandbox_s} s of sandbox`,
  "input.needed": (d) => `a person is asked: ${d.kind === "approve" ? "may this be run?" : "what does the model reply?"}`,
  warning: (d) => `warning: ${d.message}`,
  "run.finished": (d) => `the run is over: ${statusWord(d.status).toLowerCase()}${d.reason ? ` (${d.reason.replaceAll("_", " ")})` : ""}`,
};

export function eventLine(type, data) {
  return el("li", { "data-seq": data.seq }, el("span", { class: "hint" }, `${data.seq} · ${clock(data.t)} `),
    WORDS[type] ? WORDS[type](data) : `${type} ${JSON.stringify(data)}`);
}
