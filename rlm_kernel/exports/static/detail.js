// What the chosen row says, whole: its figures, then each of its texts, page by page where they are long.

const PAGE_CHARACTERS = 20_000;
const MARKS = 2000;
const PICTURE = /^data:image\/(png|jpeg);base64,[A-Za-z0-9+/]+=*$/;
const some = (value) => (value ? number(value) : "");
const FIGURES = [
  ["Model calls", (use) => some(use[0])], ["Tokens", tokens], ["… read", (use) => some(use[1])],
  ["… of these from the provider's cache", (use) => some(use[6])],
  ["… written", (use) => some(use[2])], ["Cost", cost],
];

class Detail {
  constructor(model, { choose, leave }) {
    this.model = model;
    this.choose = choose;
    this.element = document.getElementById("detail");
    this.element.addEventListener("keydown", (event) => event.key === "Escape" && leave());
    this.pattern = null;
    this.views = [];
  }

  /** Show a row; `pattern` marks what was searched for. */
  show(row, pattern = this.pattern) {
    this.row = row;
    this.pattern = pattern;
    this.views = row.parts.map(([title, index, how]) => this.part(title, index, how));
    this.element.replaceChildren(
      el("p", { class: "path" }, ...this.path(row)),
      el("h2", { class: look(row) }, `${name(row)} `, el("span", { class: `badge ${look(row)}` }, ending(row))),
      this.facts(row), this.figures(row), ...this.views.map((view) => view.element),
    );
    this.element.scrollTop = 0;
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
    const facts = [["Model", model], ["Began", began], ["Took", duration(took(row))], ...rest];
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
      el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))),
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
      return { element: el("section", { class: "part" }, el("h3", {}, title), picture), text: "" };
    }
    return new Part(title, this.model.texts[index], how, () => this.pattern);
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

/** One text: a title, its size, a button that copies it, and the text or a page of it. */
class Part {
  constructor(title, text, how, pattern) {
    this.text = text;
    this.pattern = pattern;
    this.page = 0;
    this.pre = el("pre", { class: how, ...(how === "code" ? { dir: "ltr" } : {}), tabindex: "0", "aria-label": title });
    this.pages = el("span", { class: "pages" });
    const button = el("button", { "aria-label": `Copy: ${title}` }, "Copy");
    button.addEventListener("click", async () => {
      button.textContent = (await copied(text)) ? "Copied" : "Could not copy";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    const size = el("small", {}, `${number(text.length)} character${text.length === 1 ? "" : "s"}`);
    this.element = el(
      "section", { class: "part" },
      el("div", { class: "bar" }, el("h3", {}, title), size, this.pages, button), this.pre,
    );
    this.draw();
  }

  /** Where a page begins; a sign of two code units is not cut. */
  bound(page) {
    const at = page * PAGE_CHARACTERS;
    const code = this.text.charCodeAt(at);
    return code >= 0xdc00 && code <= 0xdfff ? at + 1 : at;
  }

  draw() {
    const from = this.bound(this.page);
    const text = this.text.slice(from, this.bound(this.page + 1));
    this.pre.replaceChildren(...this.marked(text, from));
    const count = Math.ceil(this.text.length / PAGE_CHARACTERS);
    if (count < 2) return;
    const turn = (step, sign, title) => {
      const button = el("button", { "aria-label": title, on: { click: () => this.turnTo(this.page + step) } }, sign);
      button.disabled = this.page + step < 0 || this.page + step >= count;
      return button;
    };
    this.pages.replaceChildren(
      turn(-1, "‹", "Previous page"),
      ` page ${number(this.page + 1)} of ${number(count)} `,
      turn(1, "›", "Next page"),
    );
  }

  turnTo(page) {
    this.page = page;
    this.draw();
    this.pre.scrollTop = 0;
  }

  marked(text, from) {
    const pattern = this.pattern();
    if (!pattern) return [text];
    const pieces = [];
    let last = 0;
    for (const found of text.matchAll(pattern)) {
      if (pieces.length > 2 * MARKS) break;
      pieces.push(text.slice(last, found.index), el("mark", { "data-at": from + found.index }, found[0]));
      last = found.index + found[0].length;
    }
    return [...pieces, text.slice(last)];
  }

  goTo(at) {
    let page = Math.floor(at / PAGE_CHARACTERS);
    if (at < this.bound(page)) page -= 1;
    if (page !== this.page) this.turnTo(page);
    const mark = this.pre.querySelector(`mark[data-at="${at}"]`);
    mark?.classList.add("here");
    (mark ?? this.element).scrollIntoView({ block: "center" });
  }
}

/** Put a text on the clipboard; from a file some browsers only know the old way. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el("textarea", { class: "away" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
