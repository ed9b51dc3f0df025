// A question in a dialog of its own: Escape and Close end it, the focus goes back to who asked.
import { el, use, part, newId, refocus } from "./dom.js";
import { problemBox, isAbort } from "./problem.js";

/** Fields for a dialog: {node, value()}; where: an element to describe it. */
export function area(label, { value = "", rows = 6, hint = "", code = false, required = false } = {}) {
  const id = newId("f");
  const input = el("textarea", { id, rows, value, required, class: code ? "code" : "", spellcheck: code ? "false" : null, "aria-describedby": hint ? `${id}-hint` : null });
  return { node: el("div", { class: "field" }, el("label", { for: id }, label), input, hint && el("p", { class: "hint", id: `${id}-hint` }, hint)), value: () => input.value };
}

export function line(label, { value = "", placeholder = "", inputmode = null } = {}) {
  const id = newId("f");
  const input = el("input", { id, value, placeholder, inputmode, autocomplete: "off", spellcheck: "false" });
  return { node: el("div", { class: "field" }, el("label", { for: id }, label), input), value: () => input.value.trim() };
}

export function choice(label, options, value) {
  const id = newId("f");
  const input = el("select", { id }, ...options.map(([v, text]) => el("option", { value: v }, text)));
  input.value = value;
  return { node: el("div", { class: "field" }, el("label", { for: id }, label), input), value: () => input.value };
}

/**
 * Ask, and do: act() runs when the answer is yes; the dialog closes when it is done and shows what
 * went wrong when it is not; in where, if it was closed meanwhile.
 */
export function ask({ title, yes, body, danger = false, act, where }) {
  const dialog = use("dialog"), form = dialog.querySelector("form"), button = part(dialog, "yes"), id = newId("d");
  part(dialog, "title").textContent = title;
  part(dialog, "title").id = id;
  dialog.setAttribute("aria-labelledby", id);
  part(dialog, "body").append(...body);
  button.textContent = yes;
  button.classList.toggle("danger", danger);
  part(dialog, "no").addEventListener("click", () => dialog.close());
  // it is about what is shown: whoever goes on, by the browser's buttons say, is asked no more
  const end = () => dialog.close();
  addEventListener("hashchange", end);
  dialog.addEventListener("close", () => {
    removeEventListener("hashchange", end);
    dialog.remove();
    // the button that asked may be gone
    refocus(document.querySelector("main h1"));
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    part(dialog, "problem").replaceChildren();
    try {
      await act();
      dialog.close();
    } catch (e) {
      if (!isAbort(e)) (dialog.open ? part(dialog, "problem") : where).replaceChildren(problemBox(e));
    } finally {
      button.disabled = false;
      refocus(button);
    }
  });
  document.body.append(dialog);
  dialog.showModal();
  // what harms is never what Enter does at once
  if (danger) part(dialog, "no").focus();
}
