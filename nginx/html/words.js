// Sentences for what the server says in words of programs.
import { count } from "./dom.js";

export const PHASES = ["prepare", "generate", "execute", "check", "judge", "finalize"];

const PHASE = { prepare: "preparing", generate: "writing code", execute: "running it", check: "checking", judge: "judging", finalize: "storing" };

export function phaseWord(phase) {
  return PHASE[phase] || phase || "";
}

/** A reply that no model gave is never shown as one. */
export function modelWords({ name, provenance }) {
  if (provenance === "manual" || name === "manual") return "replied to by hand";
  return [{ recording: "REPLAY of", local: "local model" }[provenance], name].filter(Boolean).join(" ");
}

const REASON = {
  checks_failed: "The checks did not pass.",
  iterations_exhausted: "The limit of iterations was reached before the checks passed.",
  budget_exhausted: "The budget of tokens or time was used up.",
  stuck: "The attempts no longer made progress.",
  llm_unavailable: "The model could not be reached.",
  llm_not_configured: "No model had an answer: none is connected, or the recording knows no such request.",
  bad_model_output: "The model gave no reply that could be used.",
  sandbox_unavailable: "The sandbox could not be reached.",
  store_unavailable: "The file store could not be reached.",
  engine_unavailable: "The workflow engine gave the run up.",
  user_cancelled: "It was stopped on request.",
  bad_input: "The files of the start could not be used.",
  unverified: "What was asked could not be verified.",
};

/** How a run that is over came out. */
export function outcome(run) {
  if (run.status === "succeeded") {
    const n = run.checks.length, best = run.best_iteration;
    return `${n ? `All ${count(n, "check")} passed` : "It passed"}${best ? ` in iteration ${best}` : " before any code was written"}.`;
  }
  // what the server says in a whole sentence needs no other
  if (/^[A-Z].*\.$/s.test(run.message || "")) return run.message;
  const sentence = REASON[run.reason] || (run.reason ? `Reason: ${run.reason.replaceAll("_", " ")}.` : "It did not succeed.");
  return run.message ? `${sentence} ${run.message}` : sentence;
}
