// What led to the answer: which rows, and how that is known.

const WHY = {
  answered: ["answers", "It set the answer."],
  made: ["variable", "It made a value that the answer uses."],
  quoted: ["quoted", "Its reply is in the answer, or the answer in its reply."],
  asked: ["asked", "A cell that led to the answer asked it."],
};
const UNKNOWN = "Nothing in the cells' code shows what led to this answer.";

/** The rows that led to the answer: index -> one of `WHY`. It is worked out once for what the kernel has said. */
function ledTo(model) {
  const { led } = model.run;
  if (model.led && model.led.said === led) return model.led.rows;
  const rows = new Map();
  model.led = { said: led, rows };
  const cells = new Set(led?.cells.map(String));
  const last = new Map(led?.cells);
  const quoted = new Set(led?.quoted);
  for (const row of cells.size ? model.rows : []) {
    const node = row.kind === "cell" ? nodeOf(row).id : "";
    if (!node || !cells.has(`${node},${row.id}`)) continue;
    rows.set(row.index, String(last.get(node)) === row.id ? "answered" : "made");
    for (const call of row.children) {
      if (call.kind === "call" || call.kind === "child") rows.set(call.index, quoted.has(call.id) ? "quoted" : "asked");
    }
  }
  return rows;
}

/** How it is known that a row led to the answer, in a word and in a sentence; both are empty where it did not. */
function whyOf(model, row) {
  return WHY[ledTo(model).get(row.index)] ?? ["", ""];
}

/** The run or the child that a turn or a cell is of. */
function nodeOf(row) {
  let node = row.parent;
  while (node.kind !== "child" && node.kind !== "run") node = node.parent;
  return node;
}

/** The button below the answer. A click on the answer is a click on the button, unless it was to select text. */
class Led {
  constructor(app, answer) {
    this.app = app;
    this.button = el("button", { on: { click: () => this.toggle() } }, "What led to this answer?");
    this.said = el("span", { class: "dim", role: "status" });
    answer.classList.add("asks");
    answer.addEventListener("click", () => getSelection().isCollapsed && this.toggle());
    answer.after(el("div", { class: "led" }, this.button, this.said));
    app.onShow = () => this.update();
    this.update();
  }

  get on() {
    return this.app.tree.view.show === "led";
  }

  toggle() {
    const { app } = this;
    const rows = ledTo(app.model);
    if (!rows.size) {
      this.said.textContent = UNKNOWN;
      return;
    }
    const first = (why) => app.model.inOrder().find((row) => rows.get(row.index) === why);
    app.showOnly(this.on ? "all" : "led");
    app.choose(this.on ? first("quoted") ?? first("answered") : app.tree.row);
  }

  update() {
    const { on } = this;
    this.button.setAttribute("aria-pressed", on);
    const all = [...ledTo(this.app.model).values()];
    const count = (amount, noun, many = `${noun}s`) => `${number(amount)} ${amount === 1 ? noun : many}`;
    const calls = all.filter((why) => why === "quoted" || why === "asked").length;
    const quoted = all.filter((why) => why === "quoted").length;
    const words = quoted ? `; the answer quotes ${number(quoted)} of these calls` : "";
    const asked = calls ? ` and ${count(calls, "call")}${words}` : "";
    said(this.said, on ? `${count(all.length - calls, "cell")}${asked}. Only these rows are shown now.` : "");
  }
}
