// One run: how it stands, live. The run object is the truth; events say at once what is new and when
// to ask for it again.
import { el, use, find, fill, setText, plain, badge, announce, isOver, duration, clock, when, count, statusWord } from "./dom.js";
import { get, runPath, Newest } from "./api.js";
import { parse, ofRun } from "./address.js";
import { session } from "./session.js";
import { problemBox, isAbort } from "./problem.js";
import { askedFor, remember } from "./asked.js";
import { title } from "./runs.js";
import { follow, FINAL } from "./events.js";
import { CheckList } from "./checklist.js";
import { Timeline } from "./timeline.js";
import { Files } from "./files.js";
import { Actions } from "./actions.js";
import { Waiting } from "./waiting.js";
import { eventLine } from "./eventline.js";
import { outcome, PHASES, phaseWord, modelWords } from "./words.js";

const SOON_MS = 120, AGAIN_MS = 4000, EVENTS_SHOWN = 500;

class RunView {
  /** request: what it was asked for, or null where that is not told */
  constructor(root, run, request, query, signal) {
    Object.assign(this, { root, run, signal, id: run.workflow_id, asked: 0, live: null, warnings: new Set(), timer: 0, said: "", newest: new Newest() });
    this.checks = new CheckList(find(root, "#run-checks"), request?.checks);
    this.timeline = new Timeline(find(root, "#timeline"), this.id, signal, {
      fork: (n) => this.actions.fork(n),
      files: (n) => this.#toFiles(n),
      told: (iterations) => {
        this.files.iterations(iterations.map((it) => it.iteration));
        const latest = iterations.filter((it) => it.verdict?.checks).pop();
        if (latest) this.checks.describe(latest.verdict.checks);
      },
    });
    this.files = new Files(root, this.id, signal, (path, iteration) => this.#moved(path, iteration));
    this.actions = new Actions(find(root, "#actions"), find(root, "#action-problem"), this.id, { request, refresh: () => this.refresh(), iterations: () => this.timeline.numbers });
    this.waiting = new Waiting(find(root, "#input"), this.id, signal, { refresh: () => this.refresh(), files: (n) => this.#toFiles(n) });
    find(root, "#run-id").textContent = this.id;
    this.#forked(run.forked_from);
    fill(find(root, "#phases"), ...PHASES.map((p) => el("li", { "data-phase": p }, phaseWord(p))));
    this.#showAsked(request);
    this.render(run);
    this.files.path = query.get("file") || "";
    this.files.iterations([]);
    this.files.of(query.get("iteration") || "");
    this.timeline.refresh();
    this.timer2 = setInterval(() => this.#meta(), 1000);
    signal.addEventListener("abort", () => {
      clearInterval(this.timer2);
      clearTimeout(this.timer);
    });
  }

  #toFiles(n) {
    this.files.of(n);
    find(this.root, "#files-title").scrollIntoView({ block: "start" });
    find(this.root, "#of-iteration").focus({ preventScroll: true });
  }

  /** The address of what is looked at; a reload comes back to it. */
  #moved(path, iteration) {
    // it may be that of the next view already, which is shown only after the event that tells of it
    if (this.signal.aborted || parse(location.hash).id !== this.id) return;
    history.replaceState(null, "", ofRun(this.id, { file: path, iteration }));
  }

  #forked(from) {
    if (!from) return;
    find(this.root, "#notices").append(el("p", { class: "hint" }, "Forked from ", el("a", { href: ofRun(from.workflow_id, { iteration: from.iteration }) },
      from.iteration ? `iteration ${from.iteration}` : "the start", " of an earlier run"), "."));
  }

  #showAsked(request) {
    const box = find(this.root, "#asked");
    box.hidden = !request;
    if (!request) return;
    const rest = Object.fromEntries(Object.entries(request).filter(([name]) => name !== "user_prompt" && name !== "test_conditions"));
    fill(find(this.root, "#asked-body"), request.user_prompt && el("h3", {}, "Prompt"),
      request.user_prompt && el("pre", { class: "asked", tabindex: "0", "aria-label": "Prompt" }, request.user_prompt),
      request.test_conditions && el("h3", {}, "Test conditions"),
      request.test_conditions && el("pre", { class: "asked", tabindex: "0", "aria-label": "Test conditions" }, request.test_conditions),
      Object.keys(rest).length > 0 && el("h3", {}, "Everything else"),
      Object.keys(rest).length > 0 && el("pre", { tabindex: "0", "aria-label": "Everything else" }, JSON.stringify(rest, null, 2)));
  }

  refreshSoon(ms = SOON_MS) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), ms);
  }

  async refresh() {
    const isNews = this.newest.ask();
    try {
      const run = await get(runPath(this.id), { signal: this.signal });
      if (!isNews()) return;
      this.render(run);
      this.#line("");
    } catch (e) {
      if (isAbort(e) || !isNews()) return;
      this.#line(e.message);
      // it may have been the last event that asked
      if (!FINAL.includes(e.status)) this.refreshSoon(Math.max(AGAIN_MS, (e.retryAfter || 0) * 1000));
    }
  }

  /** What is not right with the connection; empty: all is. */
  #line(text) {
    const node = find(this.root, "#line");
    node.hidden = !text;
    setText(node, text);
  }

  render(run) {
    const before = this.run;
    this.run = run;
    if (isOver(run)) this.live = null;
    const name = title(run);
    setText(find(this.root, "#run-title"), name);
    badge(run.status, find(this.root, "#badge"));
    this.#progress();
    this.#meta();
    this.checks.set(run.checks);
    for (const text of run.warnings) this.#warn(text);
    this.actions.render(run);
    this.waiting.render(run, this.asked);
    document.title = `${isOver(run) ? statusWord(run.status) : `${run.progress.percent} %`} · ${name} · Azlon`;
    if (isOver(run) && !isOver(before)) {
      announce(`${statusWord(run.status)}. ${outcome(run)}`);
      this.files.refreshSoon();
      this.timeline.refreshSoon();
    }
  }

  #progress() {
    const run = this.run, over = isOver(run), phase = over ? "" : this.live?.phase || run.phase, p = run.progress;
    const bar = find(this.root, "#bar"), at = PHASES.indexOf(phase);
    bar.value = p.percent;
    bar.className = `is-${run.status}`;
    find(this.root, "#phases").hidden = over;
    for (const [i, li] of [...find(this.root, "#phases").children].entries()) {
      li.className = i < at ? "done" : "";
      if (i === at) li.setAttribute("aria-current", "step");
      else li.removeAttribute("aria-current");
    }
    const place = Number.isInteger(run.queue_position) ? ` · number ${run.queue_position} in the queue` : "";
    const words = over ? outcome(run)
      : [`${p.percent} %`, p.iteration ? `iteration ${p.iteration} of ${p.max_iterations}` : "", phase && phaseWord(phase)].filter(Boolean).join(" · ") + place;
    setText(find(this.root, "#now"), words);
    this.#wait(p.waiting);
    this.#tail(over ? "" : plain(this.live?.tail ?? p.tail));
    const said = over ? "" : `${p.iteration ? `Iteration ${p.iteration}: ` : ""}${phaseWord(phase)}`;
    if (said && said !== this.said) announce(said);
    this.said = said || this.said;
  }

  /** Why it is not working, where it is not. */
  #wait(waiting) {
    const text = !waiting ? "" : waiting.reason === "no_worker" ? "No worker is there at the moment: the run waits for one; nothing is lost."
      : `A step failed (${waiting.reason.replaceAll("_", " ")}) and is tried again${waiting.next_at ? ` at ${clock(waiting.next_at)}` : ""}${waiting.attempt ? `, try ${waiting.attempt}` : ""}.`;
    let node = find(this.root, "#waiting");
    if (!text) return node?.remove();
    if (!node) {
      node = el("p", { id: "waiting", class: "notice" });
      find(this.root, "#notices").prepend(node);
    }
    setText(node, text);
  }

  #tail(text) {
    const pre = find(this.root, "#tail"), follows = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 8;
    find(this.root, "#tail-panel").hidden = !text;
    setText(pre, text || "");
    if (follows) pre.scrollTop = pre.scrollHeight;
  }

  #meta() {
    const run = this.run, u = run.usage;
    const end = run.finished_at ? new Date(run.finished_at) : Date.now();
    const parts = [
      modelWords(run.model),
      run.created_at && `asked ${when(run.created_at)}`,
      run.started_at && `${duration((end - new Date(run.started_at)) / 1000)}${run.finished_at ? "" : " so far"}`,
      u.llm_calls ? `${count(u.llm_calls, "call")} of the model` : "",
      u.tokens_in + u.tokens_out ? `${(u.tokens_in + u.tokens_out).toLocaleString("en")} tokens` : "",
      u.sandbox_s ? `${duration(u.sandbox_s)} of sandbox` : "",
    ];
    setText(find(this.root, "#meta"), parts.filter(Boolean).join(" · "));
  }

  #warn(text) {
    if (!text || this.warnings.has(text)) return;
    this.warnings.add(text);
    find(this.root, "#notices").append(el("p", { class: "notice" }, el("span", { "aria-hidden": "true" }, "! "), el("strong", {}, "Warning: "), text));
  }

  // ---- events ----

  onevent(type, data) {
    if (type === "progress") {
      this.live = data;
      this.#progress();
      return;
    }
    this.live = null;
    this.#log(type, data);
    // the log of a run that is over is read from its start: how checks came out is known
    if (type === "check" && !isOver(this.run)) {
      this.checks.set([data]);
      announce(this.checks.words);
    }
    if (type === "iteration.start") this.timeline.note(data.iteration, "");
    if (type === "llm.done") this.timeline.note(data.iteration, data.diagnosis);
    if (type === "files.changed") this.files.refreshSoon();
    if (type === "files.changed" || type === "verdict") this.timeline.refreshSoon();
    if (type === "warning") this.#warn(data.message);
    if (type === "input.needed") this.asked = data.seq;
    if (!isOver(this.run)) this.refreshSoon();
  }

  #log(type, data) {
    const list = find(this.root, "#events");
    list.append(eventLine(type, data));
    if (list.children.length > EVENTS_SHOWN) list.firstChild.remove();
  }

  async follow() {
    try {
      await follow(this.id, {
        signal: this.signal,
        onevent: (type, data) => this.onevent(type, data),
        onstate: (state, s) => this.#line(state === "live" ? "" : `The connection was lost; the next try is in ${count(s, "second")}. The run goes on.`),
      });
      if (!this.signal.aborted && !isOver(this.run)) await this.refresh();
    } catch (e) {
      if (!isAbort(e)) find(this.root, "#action-problem").replaceChildren(problemBox(e, { retry: () => location.reload() }));
    }
  }
}

/** retry: shows the view anew, where it could not be shown */
export async function show(main, id, query, signal, retry) {
  let run, request;
  try {
    [run, request] = await Promise.all([get(runPath(id), { signal }), askedFor(id, signal).catch(() => null)]);
  } catch (e) {
    if (isAbort(e)) throw e;
    main.replaceChildren(el("h1", { tabindex: "-1" }, e.status === 404 ? "There is no such run" : "The run cannot be shown"),
      problemBox(e, { retry }), el("p", {}, el("a", { href: "#/runs" }, "Your runs")));
    return;
  }
  // the run may have been there, and the next view be shown before what was asked for came
  signal.throwIfAborted();
  const root = use("run-view");
  main.replaceChildren(root);
  session.accepted(run.user_id);
  remember(id, request?.user_prompt);
  new RunView(root, run, request, query, signal).follow();
}
