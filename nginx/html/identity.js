// Who you are: the button in the header, and its dialog.
import { session } from "./session.js";
import { forget } from "./asked.js";
import { draft } from "./new.js";

const $ = (id) => document.getElementById(id);

function show() {
  const out = session.refusal !== null;
  $("who-text").textContent = out ? "Signed out" : session.mode ? session.name : "…";
  $("who").setAttribute("aria-label", out ? "Signed out. Sign in" : `You are ${session.name}. Change who you are`);
  $("who").classList.toggle("out", out);
}

function explain() {
  if (session.refusal)
    return `${session.refusal.detail} Enter an API key (azlon keys create makes one) or a Firebase ID token.`;
  if (session.mode === "dev")
    return "This server runs with the dev identity: on this machine everybody is who they say they are.";
  if (session.hasToken) return `Signed in as ${session.name}.`;
  return "A server for others wants an API key or an ID token; one on your own machine believes a name.";
}

export function openIdentity() {
  $("identity-text").textContent = explain();
  $("user-id").value = session.user;
  $("token").value = "";
  $("token").placeholder = session.hasToken ? "kept; type to replace" : "";
  $("identity-user").hidden = session.mode === "token";
  $("identity-token").hidden = session.mode === "dev";
  $("sign-out").hidden = !session.hasToken && !session.user;
  $("sign-out").textContent = session.hasToken ? "Sign out" : "Be anonymous";
  $("identity-error").hidden = true;
  $("identity").showModal();
}

function fail(field, text) {
  $("identity-error").textContent = text;
  $("identity-error").hidden = false;
  field.focus();
}

function save(event) {
  event.preventDefault();
  const user = $("user-id").value.trim(), typed = $("token").value.trim();
  if (!/^[\x21-\x7e]{0,128}$/.test(user)) return fail($("user-id"), "A user id here has letters, digits and signs, at most 128, and no blanks.");
  if (!/^[\x21-\x7e]*$/.test(typed)) return fail($("token"), "Keys and tokens have no blanks.");
  const keep = session.hasToken && !typed;
  $("identity").close();
  if (keep || (user === session.user && !typed)) return;
  session.set(user, typed.replace(/^Bearer/i, ""));
}

export function startIdentity() {
  $("who").addEventListener("click", openIdentity);
  $("identity").querySelector("form").addEventListener("submit", save);
  $("identity-close").addEventListener("click", () => $("identity").close());
  $("sign-out").addEventListener("click", () => {
    $("identity").close();
    forget();
    draft.write({});
    session.set("", "");
  });
  session.addEventListener("change", show);
  show();
}
