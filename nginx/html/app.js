// The page: own runs, and one run live. Text is only ever set as text.
const $ = (id) => document.getElementById(id);
let source = null;

function item(list, text, cls, href) {
  const li = document.createElement("li");
  const node = href ? document.createElement("a") : document.createElement("span");
  node.textContent = text;
  if (href) node.href = href;
  if (cls) node.className = cls;
  li.append(node);
  list.append(li);
  return li;
}

function note(li, text) {
  const small = document.createElement("small");
  small.textContent = " " + text;
  li.append(small);
}

async function json(path) {
  const r = await fetch(path);
  if (!r.ok) throw new Error((await r.json().catch(() => ({}))).detail || r.statusText);
  return r.json();
}

async function showList() {
  $("list").hidden = false;
  $("run").hidden = true;
  const { runs } = await json("/run_workflow?limit=50");
  $("runs").replaceChildren();
  $("empty").hidden = runs.length > 0;
  for (const r of runs) note(item($("runs"), r.workflow_id, r.status, "#" + r.workflow_id), `${r.status} · ${r.created_at}`);
}

function showState(run) {
  $("verdict").textContent = run.reason ? `${run.status}: ${run.reason}` : run.phase ? `${run.status}: ${run.phase}` : run.status;
  $("verdict").className = run.status;
  $("bar").value = run.progress.percent;
  $("tail").hidden = !run.progress.tail;
  $("tail").textContent = run.progress.tail || "";
  $("checks").replaceChildren();
  for (const c of run.checks) {
    const li = item($("checks"), `${c.status === "pass" ? "✓" : "✗"} ${c.id}`, c.status);
    if (c.message) note(li, c.message);
  }
}

async function showFiles(id) {
  const { files } = await json(`/files/${id}?limit=200`);
  $("files").replaceChildren();
  for (const f of files)
    note(item($("files"), f.path, "", `/files/${id}/${f.path.split("/").map(encodeURIComponent).join("/")}`), `${f.size} bytes`);
}

async function showRun(id) {
  $("list").hidden = true;
  $("run").hidden = false;
  $("run-title").textContent = id;
  $("zip").href = `/files/${id}?format=zip`;
  $("events").replaceChildren();
  const refresh = async () => showState(await json(`/run_workflow/${id}`));
  await refresh();
  await showFiles(id).catch(() => {});
  source = new EventSource(`/run_workflow/${id}/events`);
  const kinds = ["run.status", "iteration.start", "llm.done", "files.changed", "sandbox.start", "check", "verdict", "usage", "input.needed", "warning", "run.finished"];
  for (const kind of kinds)
    source.addEventListener(kind, (e) => {
      const d = JSON.parse(e.data);
      note(item($("events"), `${d.seq} ${kind}`), d.id || d.message || d.status || (d.iteration ? `iteration ${d.iteration}` : ""));
      refresh();
      if (kind === "run.finished") {
        source.close();
        showFiles(id);
      }
    });
  source.addEventListener("progress", (e) => {
    const d = JSON.parse(e.data);
    $("tail").hidden = !d.tail;
    $("tail").textContent = d.tail || "";
  });
}

function route() {
  if (source) source.close();
  source = null;
  const id = location.hash.slice(1);
  (id ? showRun(id) : showList()).catch((e) => { $("verdict").textContent = e.message; });
}
addEventListener("hashchange", route);
route();
