// The vocabulary of checks, and what a form holds of one. Pure: no element is touched here.

const KINDS_OF_FILE = ["text", "csv", "json", "xml", "html", "svg", "png", "jpg", "gif", "webp", "bmp", "pdf", "zip", "xlsx",
  "gz", "bz2", "xz", "tar", "sqlite", "elf", "wav", "parquet"];

// name: [words before the value, type]
const RUN = {
  exit: ["exit code is", "int"], stdout_contains: ["output contains", "line"],
  stdout_equals: ["output is exactly (mind the last line break)", "text"],
  stdout_matches: ["output matches the expression", "line"], stderr_empty: ["nothing on standard error", "bool"],
  max_s: ["takes at most, seconds", "number"], min_bytes: ["output has at least, bytes", "int"], contains: ["output contains too", "line"],
};
const FILE = { min_bytes: ["has at least, bytes", "int"], magic: ["is of kind", KINDS_OF_FILE], contains: ["contains", "line"] };
const HTTP = { status: ["answers with status", "int"], contains: ["answer contains", "line"] };

/** kind: its words, its main fields {name: [label, placeholder, type]}, what may be expected */
export const KINDS = {
  run: { word: "Run a command", main: { run: ["Command, as a shell line or a JSON list of words", "python3 main.py", "command"] }, expect: RUN },
  file: { word: "Look at a file", main: { file: ["Path of the file", "out/plot.png", "line"] }, expect: FILE },
  http: { word: "Ask over HTTP", main: { port: ["Port", "8000", "int"], path: ["Path", "/", "line"] }, expect: HTTP },
  text: { word: "Let the model judge", main: { text: ["A sentence that must hold", "The chart has a title", "line"] }, expect: {} },
};

const OPTIONS = { run: ["id", "hidden", "stdin", "timeout_s"], file: ["id", "hidden"], http: ["id", "hidden", "timeout_s"], text: ["id", "hidden"] };

export function kindOf(check) {
  const kinds = Object.keys(KINDS).filter((k) => k in Object(check));
  return kinds.length === 1 ? kinds[0] : "";
}

/** Why the form cannot show this list of checks, or "". The server has the last word on what is right. */
export function unshowable(list) {
  if (!Array.isArray(list)) return "The checks must be a list: [ … ].";
  for (const [i, check] of list.entries()) {
    const kind = kindOf(check), at = `Check ${i + 1}`;
    if (!kind) return `${at} must have exactly one of run, file, http, text.`;
    const members = Object.keys(check).filter((m) => m !== kind && m !== "expect" && !OPTIONS[kind].includes(m));
    const expected = [...Object.keys(check.expect || {}), ...(kind === "http" ? Object.keys(check.http).filter((m) => m !== "port" && m !== "path") : [])];
    const odd = [...members, ...expected.filter((m) => !(m in KINDS[kind].expect))];
    if (odd.length) return `${at}: a check of this kind has no ${odd.join(", ")}.`;
  }
  return "";
}

/** A check as fields: {kind, main: {name: text}, expect: [[name, text]], id, hidden, stdin, timeout_s}. */
export function toFields(check) {
  const kind = kindOf(check), inner = kind === "http" ? check.http : check;
  const text = (v) => (typeof v === "string" ? v : JSON.stringify(v));
  const main = {};
  for (const name of Object.keys(KINDS[kind].main)) main[name] = inner[name] === undefined ? "" : text(inner[name]);
  const expect = { ...check.expect };
  if (kind === "http") for (const name of ["status", "contains"]) if (inner[name] !== undefined) expect[name] = inner[name];
  return {
    kind, main, expect: Object.entries(expect).map(([name, v]) => [name, text(v)]),
    id: check.id || "", hidden: check.hidden === true, stdin: check.stdin || "", timeout_s: check.timeout_s === undefined ? "" : String(check.timeout_s),
  };
}

/** What stands in a field as a value. What is no number stays text: the server then says what is wrong. */
function value(text, type) {
  const t = text.trim();
  if (type === "bool") return t !== "false";
  if (type === "int" || type === "number") return t !== "" && Number.isFinite(Number(t)) ? Number(t) : t;
  if (type === "command" && t.startsWith("[")) {
    try {
      const words = JSON.parse(t);
      if (Array.isArray(words) && words.every((w) => typeof w === "string")) return words;
    } catch { /* a shell may begin with [ too */ }
  }
  return text;
}

/** Members come in the order of the contract's own example: a recording knows a request by its very letters. */
export function fromFields(f) {
  const kind = KINDS[f.kind], check = {}, main = {}, may = OPTIONS[f.kind];
  if (f.id.trim()) check.id = f.id.trim();
  for (const [name, [, , type]] of Object.entries(kind.main))
    if (f.main[name] !== "" || f.kind !== "http") main[name] = value(f.main[name], type);
  if (f.kind === "http") check.http = main;
  else Object.assign(check, main);
  if (may.includes("stdin") && f.stdin) check.stdin = f.stdin;
  const expect = {};
  for (const [name, text] of f.expect) expect[name] = value(text, kind.expect[name][1]);
  if (Object.keys(expect).length) check.expect = expect;
  if (may.includes("timeout_s") && f.timeout_s.trim()) check.timeout_s = value(f.timeout_s, "int");
  if (f.hidden) check.hidden = true;
  return check;
}

/** One line to know a check by. */
export function describe(check) {
  const kind = kindOf(check);
  if (kind === "run") return Array.isArray(check.run) ? check.run.join(" ") : check.run;
  if (kind === "file") return `file ${check.file}`;
  if (kind === "http") return `http://localhost:${check.http?.port}${check.http?.path || "/"}`;
  return kind === "text" ? check.text : "";
}
