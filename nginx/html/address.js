// Addresses of views: #/ · #/runs?status= · #/run/ID?file=&iteration= · #ID, as the azlon program prints it.
const RUN_ID = /^user-[A-Za-z0-9_]{1,32}-[0-9]{1,14}-[a-z2-7]{26}$/;

/** {page: "new" | "runs" | "run" | "none", query, and of a run its id} */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?");
  const params = new URLSearchParams(query), parts = path.split("/").filter(Boolean);
  if (RUN_ID.test(parts[0] || "")) return { page: "run", id: parts[0], query: params };
  if (parts[0] === "run" && RUN_ID.test(parts[1] || "")) return { page: "run", id: parts[1], query: params };
  if (parts[0] === "runs" && parts.length === 1) return { page: "runs", query: params };
  return { page: parts.length && path !== "main" ? "none" : "new", query: params };
}

/** The address of a run, and of what is looked at in it. */
export function ofRun(id, { file = "", iteration = "" } = {}) {
  const query = new URLSearchParams({ ...(file && { file }), ...(iteration !== "" && { iteration }) });
  return `#/run/${id}${query.size ? `?${query}` : ""}`;
}
