// The form in which a person approves cells. Whatever a model wrote is a value or text, never markup.

function make(tag, props = {}, ...children) {
  const element = Object.assign(document.createElement(tag), props);
  element.append(...children);
  return element;
}

function render({ model, el }) {
  const title = make("strong");
  const code = make("textarea", { className: "code", spellcheck: false });
  const reason = make("input", { type: "text", placeholder: "why it should not run, for the model" });
  const run = make("button", { type: "button", className: "run" });
  const skip = make("button", { type: "button", textContent: "Skip" });
  const stop = make("button", { type: "button", textContent: "Stop the run" });
  const told = make("div", { className: "told", role: "status" });
  code.setAttribute("aria-label", "The cell's code");
  reason.setAttribute("aria-label", "Why the cell should not run");
  const form = make("div", { className: "form" }, title, code, make("div", { className: "row" }, run, skip, reason, stop));
  form.setAttribute("role", "group");
  const box = make("div", { className: "rlm-approve" }, told, form);
  // The notebook has keys of its own for what is typed in an output.
  for (const kind of ["keydown", "keyup", "keypress"]) box.addEventListener(kind, (event) => event.stopPropagation());

  const name = () => { run.textContent = code.value === model.get("cell").code ? "Run" : "Run as changed"; };
  const decide = (kind, more = {}) => {
    for (const one of [run, skip, stop]) one.disabled = true;
    model.send({ type: "verdict", id: model.get("cell").id, kind, ...more });
  };
  code.addEventListener("input", name);
  run.addEventListener("click", () => decide("run", { code: code.value }));
  skip.addEventListener("click", () => decide("skip", { reason: reason.value }));
  stop.addEventListener("click", () => decide("stop"));

  const draw = () => {
    const cell = model.get("cell");
    form.hidden = !cell.id;
    title.textContent = cell.id ? `May this run? ${cell.title}` : "";
    form.setAttribute("aria-label", title.textContent);
    code.value = cell.code ?? "";
    code.rows = Math.min(Math.max(code.value.split("\n").length, 2), 24);
    reason.value = "";
    for (const one of [run, skip, stop]) one.disabled = false;
    name();
    told.textContent = model.get("told");
    told.hidden = !told.textContent;
  };
  const tell = () => { told.textContent = model.get("told"); told.hidden = !told.textContent; };
  model.on("change:cell", draw);
  model.on("change:told", tell);
  draw();
  el.append(box);
  try {
    model.send({ type: "here" });
  } catch {
    form.hidden = true; // no kernel, as in a saved notebook
  }
  return () => { model.off("change:cell", draw); model.off("change:told", tell); };
}

export default { render };
