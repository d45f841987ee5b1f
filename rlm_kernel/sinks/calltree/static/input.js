// What of the input some model has read: the region with a strip for each text.

const SHADES = ["read1", "read2", "read3", "read4", "unread", "ink", "dim"];
const KEYS = [["unread", "no model read this"], ["read1", "read once"], ["read2", "twice"], ["read3", "3 times"], ["read4", "more often"]];
const HINT = "Only what was sent word for word counts; code may have searched all of it.";

class Input {
  /** `choose` shows rows; `reading` asks the kernel to compare, where there is one: its `can`, `ask()` and `busy`. */
  constructor(model, section, { choose, reading }) {
    this.model = model;
    this.section = section;
    this.choose = choose;
    this.reading = reading;
    this.strips = [];
    this.row = null;
    this.said = el("span", {});
    this.button = el("button", { on: { click: () => this.ask() } });
    this.marks = el("div", { class: "dim marks" });
    this.list = el("div", { class: "strips" });
    this.tip = el("div", { class: "tip", hidden: "" });
    this.probe = el("i", { class: "probe", hidden: "" });
    this.told = el("div", { class: "dim", role: "status" });
    this.legend = el(
      "div", { class: "keys dim" },
      ...KEYS.map(([kind, text]) => el("span", { class: `key ${kind}` }, text)), el("span", { class: "hint" }, HINT),
    );
    section.replaceChildren(
      el("div", { class: "bar" }, el("h2", {}, "Input"), this.said, this.button), this.legend, this.list, this.told,
      this.marks, this.tip, this.probe,
    );
    new ResizeObserver(() => section.clientWidth === this.width || this.draw()).observe(section);
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
      matchMedia(query).addEventListener("change", () => this.draw());
    }
    this.update();
  }

  ask() {
    this.reading.ask();
    this.update();
  }

  /** Take what the kernel has said. */
  update() {
    const { input } = this.model.run;
    this.section.hidden = !input;
    if (!input) return;
    const { can, busy } = this.reading;
    this.button.hidden = !(input.bytes && can);
    this.button.disabled = Boolean(busy);
    said(this.button, busy ? "Comparing the input with what models were sent …" : "Show what was read");
    const missing = `What of it was read was not looked at. In Python: rlm_kernel.coverage("${this.model.run.id}")`;
    said(this.said, input.say ?? input.why ?? (can ? size(input.bytes) : `${size(input.bytes)}. ${missing}`));
    this.legend.hidden = this.list.hidden = !input.documents;
    if (input.documents && input !== this.input) this.show(input);
    this.input = input;
  }

  show(input) {
    const nodes = new Map(this.model.rows.filter(({ kind }) => NODES.has(kind)).map((row) => [row.id, row]));
    const readers = input.readers.map((id) => nodes.get(id));
    this.readers = readers.filter(Boolean);
    const act = { look: (strip, part, x) => this.look(strip, part, x), pick: (part) => this.pick(part) };
    this.strips = input.documents.map((text) => new Strip(text, readers, act));
    const texts = (amount, rest) => amount && el("div", { class: "dim" }, `${number(amount)} more text${amount === 1 ? "" : "s"}, ${rest}`);
    const more = [texts(input.more, "of which less was read"), texts(input.short, "too short to say whether they were read")];
    this.list.replaceChildren(
      ...this.strips.map(({ element }) => element), ...more.filter(Boolean),
    );
    this.draw();
    if (this.row) this.mark(this.row);
  }

  /** Show what is known of a part, above the strips. */
  look(strip, part, x = 0) {
    this.tip.hidden = !part;
    if (!part) return;
    this.tip.replaceChildren(partSaid(part), ...(part.read ? [el("br"), el("span", { class: "dim" }, "Click to see these rows.")] : []));
    const frame = this.section.getBoundingClientRect();
    const place = strip.slider.getBoundingClientRect();
    const left = place.left - frame.left + x;
    this.tip.style.left = `${Math.max(0, Math.min(left, frame.width - this.tip.offsetWidth))}px`;
    this.tip.style.top = `${place.bottom - frame.top + 4}px`;
  }

  pick(part) {
    said(this.told, part.read && part.rows.length ? "" : partSaid(part));
    if (part.rows.length) this.choose(part.rows);
  }

  /** Mark what a row has read; of a cell, a turn or a child also what the calls below it have. */
  mark(row) {
    this.row = row;
    if (!this.strips.length) return;
    const below = (reader) => {
      if (row.kind === "run") return reader === row;
      for (let each = reader; each; each = each.parent) if (each === row) return true;
      return false;
    };
    const rows = new Set(this.readers.filter(below));
    for (const strip of this.strips) strip.mark(rows);
    const parts = this.strips.flatMap((strip) => [...strip.marked]);
    const from = number(Math.min(...parts.map(({ start }) => start)));
    const to = number(Math.max(...parts.map(({ end }) => end)));
    const one = this.strips.filter((strip) => strip.marked.size).length === 1;
    const where = one ? ` between characters ${from} and ${to}` : "";
    const who = row.kind === "run" ? "the root model" : name(row);
    const sentence = el("span", { class: "key marked" }, `Marked below the strip: what ${who} read${where}.`);
    this.marks.replaceChildren(...(parts.length ? [sentence] : []));
  }

  draw() {
    this.width = this.section.clientWidth;
    if (!this.width || !this.strips.length) return;
    const colours = Object.fromEntries(SHADES.map((key) => [key, colourOf(this.probe, key)]));
    for (const strip of this.strips) strip.draw(colours);
  }
}

const NODES = new Set(["run", "call", "child"]);
const size = (bytes) => (bytes < 1e6 ? `${number(bytes)} bytes` : `${(bytes / 1e6).toFixed(1)} MB`);

/** Change a text only when it is another one: a screen reader would say it again. */
function said(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A colour of the style sheet as a canvas knows it: what it is depends on the theme. */
function colourOf(element, name) {
  element.style.color = `var(--rlm-${name})`;
  const { color } = getComputedStyle(element);
  element.style.color = "";
  return color;
}
