// What the chosen row says, whole: its figures, then each of its texts, page by page where they are long.

const PICTURE = /^data:image\/(png|jpeg);base64,[A-Za-z0-9+/]+=*$/;
const some = (value) => (value ? number(value) : "");
const FIGURES = [
  ["Model calls", (use) => some(use[0])], ["Tokens", tokens], ["… read", (use) => some(use[1])],
  ["… of these from the provider's cache", (use) => some(use[6])],
  ["… written", (use) => some(use[2])], ["Cost", cost],
];

class Detail {
  constructor(model, element, { choose, leave, ask, stop }) {
    this.model = model;
    this.choose = choose;
    this.ask = ask;
    this.stop = stop;
    this.element = element;
    this.element.addEventListener("keydown", (event) => event.key === "Escape" && leave());
    this.pattern = null;
    this.views = [];
  }

  /** Show a row; `pattern` marks what was searched for. */
  show(row, pattern = this.pattern) {
    this.row = row;
    this.pattern = pattern;
    this.views = row.parts.map(([title, index, how]) => this.part(title, index, how));
    this.head = el("div", {}, ...this.about(row));
    this.element.replaceChildren(this.head, ...this.views.map((view) => view.element));
    this.element.scrollTop = 0;
    const cut = this.model.textsOf(row).filter((index) => this.model.cut.has(index));
    if (cut.length) this.ask(cut);
  }

  /** Show what has changed in the row; what is being read stays where it is. */
  update() {
    const { row, views } = this;
    const same = views.length === row.parts.length
      && views.every((view, at) => view.title === row.parts[at][0] && view.how === row.parts[at][2]);
    if (!same) {
      const top = this.element.scrollTop;
      this.show(row);
      this.element.scrollTop = top;
      return;
    }
    if (!this.head.contains(document.activeElement)) this.head.replaceChildren(...this.about(row));
    for (const [at, [, index]] of row.parts.entries()) views[at].take?.(this.model.texts[index], this.model.cut.get(index));
  }

  about(row) {
    const stop = row.state === "running" && row.kind !== "cell" && row.kind !== "turn" ? this.stop(row) : null;
    return [
      el("p", { class: "path" }, ...this.path(row)),
      el("h2", { class: look(row) }, `${name(row)} `, el("span", { class: `badge ${look(row)}` }, ending(row))),
      ...(stop ? [stop] : []), this.facts(row), this.figures(row),
    ];
  }

  path(row) {
    const steps = [];
    for (let above = row.parent; above; above = above.parent) {
      const target = above;
      steps.unshift(el("button", { class: "link", on: { click: () => this.choose(target) } }, name(above)), " › ");
    }
    return steps;
  }

  facts(row) {
    const began = row.start === null || !row.level ? "" : `${duration(row.start)} into the run`;
    const model = this.model.texts[row.model];
    const rest = row.facts.filter(([key]) => key !== "Ended");
    const silent = idle(row) && `${idle(row).slice(5)} ago`;
    const why = whyOf(this.model, row)[1];
    const facts = [["Evidence", why], ["Model", model], ["Began", began], ["Took", duration(took(row))], ["Last event", silent], ...rest];
    return el(
      "dl", { class: "facts" },
      ...facts.flatMap(([key, value]) => (value ? [el("dt", {}, key), el("dd", {}, el("bdi", {}, value))] : [])),
    );
  }

  figures(row) {
    if (!row.whole[0]) return "";
    const both = row.children.length && String(row.own) !== String(row.whole);
    const head = both ? ["", "Own", "Whole (with all below)"] : ["", "Used"];
    const uses = both ? [row.own, row.whole] : [row.whole];
    const rows = FIGURES.filter(([, say]) => !["", "$0"].includes(say(row.whole)));
    return el(
      "table", { class: "figures" },
      el("thead", {}, el("tr", {}, ...head.map((text) => (text ? el("th", { scope: "col" }, text) : el("td"))))),
      el("tbody", {}, ...rows.map(([title, say]) => el(
        "tr", {}, el("th", { scope: "row" }, title), ...uses.map((use) => el("td", {}, say(use))),
      ))),
    );
  }

  part(title, index, how) {
    if (how === "image") {
      const source = this.model.images[index];
      const image = () => el("img", { src: source, alt: "A picture the cell made" });
      const picture = PICTURE.test(source) ? image() : "(no picture)";
      return { title, how, element: el("section", { class: "part" }, el("h3", {}, title), picture), text: "" };
    }
    return new Part(title, this.model.texts[index], how, { pattern: () => this.pattern, length: this.model.cut.get(index) });
  }

  /** Where the pattern is in the row: which part, and at which character. */
  places() {
    if (!this.pattern) return [];
    const places = [];
    for (const [part, view] of this.views.entries()) {
      for (const found of view.text.matchAll(this.pattern)) {
        places.push([part, found.index]);
        if (places.length === MARKS) return places;
      }
    }
    return places;
  }

  /** Bring a place into view. */
  goTo([part, at]) {
    for (const mark of this.element.querySelectorAll("mark.here")) mark.classList.remove("here");
    this.views[part].goTo(at);
  }
}
