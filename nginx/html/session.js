// Who calls. A token lives in sessionStorage (this tab, gone with it); the name that a server of the
// dev identity believes is no secret and is kept.

const TOKEN = "azlon.token", USER = "azlon.user";

function read(storage, name) {
  try { return storage().getItem(name) || ""; } catch { return ""; }
}

function write(storage, name, value) {
  try { value ? storage().setItem(name, value) : storage().removeItem(name); } catch { /* for this page only */ }
}

class Session extends EventTarget {
  #token = read(() => sessionStorage, TOKEN);
  #user = read(() => localStorage, USER);
  /** "": not known yet; "dev": nobody has to prove anything; "token": somebody has */
  mode = this.#token ? "token" : "";
  /** the latest 401, until something is accepted */
  refusal = null;
  /** as the server says it */
  knownAs = "";
  /** another number for each: an answer may come when somebody else is there */
  caller = 0;

  get user() { return this.#user; }
  get hasToken() { return this.#token !== ""; }

  headers() {
    if (this.#token) return { Authorization: `Bearer ${this.#token}` };
    return this.#user ? { "X-User-ID": this.#user } : {};
  }

  /** Does a request need headers, so that a plain link would not do? */
  get needsHeaders() { return Object.keys(this.headers()).length > 0; }

  set(user, token) {
    this.#user = user;
    this.#token = token;
    this.caller++;
    this.knownAs = "";
    this.refusal = null;
    this.mode = token ? "token" : "";
    write(() => localStorage, USER, user);
    write(() => sessionStorage, TOKEN, token);
    this.#changed("identity");
  }

  /** A page that was laid aside as it was and is shown again: somebody may have signed out meanwhile. */
  recall() {
    const user = read(() => localStorage, USER), token = read(() => sessionStorage, TOKEN);
    if (user !== this.#user || token !== this.#token) this.set(user, token);
  }

  /** A request that needs an identity went through. */
  accepted(user) {
    const mode = this.#token ? "token" : "dev", known = user || this.knownAs;
    if (mode === this.mode && !this.refusal && known === this.knownAs) return;
    this.mode = mode;
    this.refusal = null;
    this.knownAs = known;
    this.#changed("state");
  }

  refused(problem) {
    this.mode = "token";
    this.refusal = problem;
    this.#changed("state");
  }

  /** The name to show: what the server said, what the token claims, what was typed. */
  get name() {
    if (this.refusal) return "";
    if (this.mode !== "token") return this.#user || "anonymous";
    return this.knownAs || claimed(this.#token) || (this.#token.startsWith("azk_") ? `key ${this.#token.slice(4, 10)}…` : "signed in");
  }

  /** kind: "identity" (another caller), "state" (what is known of the same) */
  #changed(kind) {
    this.dispatchEvent(new CustomEvent("change", { detail: kind }));
  }
}

// Only to be shown: nobody but the server verifies it.
function claimed(token) {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    return String(claims.email || claims.name || claims.sub || "");
  } catch {
    return "";
  }
}

export const session = new Session();
