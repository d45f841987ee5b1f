// Puts the parts together: what is chosen in one is shown in the others. All of it is within one element.

/** What a page cannot do: it has no run behind it that could be asked or stopped. */
const NOBODY = { ask() {}, stop: () => null, reading: { can: false, ask() {} } };

class App {
  /** `host` may `ask` for whole texts by their indexes, and make the button that stops a row. */
  constructor(model, element, host = NOBODY) {
    this.model = model;
    this.element = element;
    this.parts = parts();
    const { parts: own } = this;
    element.replaceChildren(own.section, own.input, own.tools, own.main);
    const choose = (row) => this.choose(row);
    this.tree = new Tree(model, { ...own, prefix: `rlm-${Math.random().toString(36).slice(2)}` }, { choose, enter: () => own.detail.focus() });
    this.detail = new Detail(model, own.detail, { choose, leave: () => own.tree.focus(), ...host });
    this.timeline = new Timeline(model, own, choose);
    this.search = new Search(model, { found: (hits, done) => this.found(hits, done), status: () => this.say() });
    this.input = new Input(model, own.input, { choose: (rows) => this.chooseOf(rows), reading: host.reading });
    this.place = -1;
    this.places = [];
    this.onShow = () => {};
    this.choices();
    this.listen();
    this.choose(model.rows[0]);
  }

  /** Show a row everywhere. */
  choose(row) {
    if (this.tree.at[row.index] === undefined && this.tree.view.show !== "all") this.showOnly("all");
    this.tree.show(row);
    this.detail.show(row, this.search.pattern);
    this.version = row.version;
    this.timeline.mark(row);
    this.input.mark(row);
    this.places = this.detail.places();
    this.place = this.places.length ? 0 : -1;
    if (this.places.length) this.detail.goTo(this.places[0]);
    this.say();
  }

  /** Show some rows, and choose the first. */
  chooseOf(rows) {
    this.tree.view.read = new Set(rows.map((row) => row.index));
    this.choices();
    if (rows.length > 1) this.showOnly("read");
    this.choose(rows[0]);
  }

  /** Take in what has been found out about the run. */
  told() {
    this.input.update();
    if (this.tree.view.said === this.model.run.led) return;
    this.choices();
    this.detail.update();
  }

  /** Take in what has changed in the run. */
  take(rows) {
    this.tree.take(rows);
    if (this.tree.row.version !== this.version) this.detail.update();
    this.version = this.tree.row.version;
    this.choices();
  }

  choices() {
    const { show, order } = this.parts;
    const { priced } = this.model;
    this.element.classList.toggle("unpriced", !priced);
    this.marks();
    for (const [key, [text, test]] of Object.entries(SHOWN)) {
      const option = show.querySelector(`[value=${key}]`) ?? show.appendChild(el("option", { value: key }));
      const marked = test || key === "found" ? null : this.tree.view[key].size;
      const count = marked ?? (test && key !== "all" ? this.model.rows.filter(test).length : null);
      option.textContent = text + (count === null ? "" : ` (${number(count)})`);
      option.disabled = count === 0;
      option.hidden = marked === 0;
    }
    for (const [key, [text]] of Object.entries(ORDERS)) {
      if (order.querySelector(`[value=${key}]`) || (key === "cost" && !priced)) continue;
      order.insertBefore(el("option", { value: key }, text), key === "cost" ? order.children[1] ?? null : null);
    }
  }

  /** Note which rows led to the answer. */
  marks() {
    const { view } = this.tree;
    if (view.said === this.model.run.led) return;
    const led = [...ledTo(this.model)];
    view.said = this.model.run.led;
    view.led = new Set(led.map(([index]) => index));
    view.quoted = new Set(led.filter(([, why]) => why === "quoted").map(([index]) => index));
  }

  listen() {
    const { tree, search } = this;
    const { show, order, unfold, fold, previous, next, field } = this.parts;
    show.addEventListener("change", () => this.showOnly(show.value));
    order.addEventListener("change", () => tree.set({ order: order.value }));
    unfold.addEventListener("click", () => tree.foldAll(false));
    fold.addEventListener("click", () => tree.foldAll(true));
    previous.addEventListener("click", () => this.go(-1));
    next.addEventListener("click", () => this.go(1));
    field.addEventListener("input", () => search.typed(field.value));
    field.addEventListener("keydown", (event) => this.searchKey(event));
    this.element.addEventListener("keydown", (event) => this.slash(event));
  }

  /** Go to the search with the key for it, but where that key is a letter. */
  slash(event) {
    if (event.key !== "/" || event.ctrlKey || event.metaKey) return;
    if (event.target.closest("input, select, textarea")) return;
    event.preventDefault();
    this.parts.field.focus();
    this.parts.field.select();
  }

  searchKey(event) {
    if (event.key === "Enter") {
      if (this.parts.field.value !== this.search.query) this.search.start(this.parts.field.value);
      else this.go(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      this.parts.field.value = "";
      this.search.start("");
      this.parts.tree.focus();
    } else if (event.key === "ArrowDown") this.parts.tree.focus();
    else return;
    event.preventDefault();
  }

  /** Take in what a search has found: go to the first row at once, and mark the rows when it is done. */
  found(hits, done) {
    if (done) {
      this.tree.view.found = new Set(hits.map((row) => row.index));
      if (this.tree.view.show === "found") this.tree.refresh();
      else this.tree.draw();
    }
    const here = this.tree.row;
    if (!done && this.tree.view.show === "found") return;
    if (hits.length && !hits.includes(here)) this.choose(this.search.beside(here, 1));
    else this.choose(this.tree.row);
  }

  /** Go to the next or the previous place, in this row or beyond it. */
  go(step) {
    const place = this.place + step;
    if (this.place >= 0 && place >= 0 && place < this.places.length) {
      this.place = place;
      this.detail.goTo(this.places[place]);
    } else {
      const row = this.search.beside(this.tree.row, step);
      if (!row) return;
      this.choose(row);
      if (step < 0 && this.places.length) {
        this.place = this.places.length - 1;
        this.detail.goTo(this.places[this.place]);
      }
    }
    this.say();
  }

  say() {
    const { hits, done, query } = this.search;
    const at = hits.indexOf(this.tree.row);
    const here = at < 0 ? "" : `${number(at + 1)} of `;
    const rows = `${number(hits.length)}${done ? "" : "+"} row${hits.length === 1 ? "" : "s"}`;
    const several = this.places.length > 1 && at >= 0;
    const place = several ? `, place ${number(this.place + 1)} of ${number(this.places.length)}` : "";
    const none = done ? "Nothing found" : "Searching …";
    this.parts.found.textContent = query && (hits.length ? here + rows + place : none);
  }

  showOnly(show) {
    this.parts.show.value = show;
    this.tree.set({ show });
    this.onShow();
  }
}

/** The elements, as they are laid out. */
function parts() {
  const legend = el("span", { class: "legend dim" });
  const whole = el("button", { hidden: "" }, "Show all of it");
  const canvas = el("canvas", { role: "img" });
  const [mark, dragged, tip] = ["mark", "dragged", "tip"].map((name) => el("div", { class: name, hidden: "" }));
  const section = el(
    "section", { class: "timeline", "aria-label": "Timeline" },
    el("div", { class: "bar" }, el("h2", {}, "Timeline"), legend, whole),
    el("div", { class: "lanes" }, canvas, mark, dragged, tip),
  );
  const input = el("section", { class: "input", "aria-label": "Input", hidden: "" });
  const field = el("input", {
    type: "search", placeholder: "Search all texts   /", "aria-label": "Search prompts, replies, code and outputs",
    autocomplete: "off", spellcheck: "false",
  });
  const previous = el("button", { "aria-label": "Previous place", title: "Previous place (Shift+Enter)" }, "↑");
  const next = el("button", { "aria-label": "Next place", title: "Next place (Enter)" }, "↓");
  const found = el("span", { role: "status", class: "found dim" });
  const [show, order] = [el("select", { class: "show" }), el("select", { class: "order" })];
  const [unfold, fold] = [el("button", {}, "Unfold all"), el("button", {}, "Fold all")];
  const tools = el(
    "div", { class: "tools", role: "group", "aria-label": "Search and order" },
    el("span", { class: "search" }, field, previous, next), found, el("span", { class: "space" }),
    el("label", {}, "Show ", show), el("label", {}, "Order ", order), unfold, fold,
  );
  const sheet = el("div", { class: "rows", role: "presentation" });
  const tree = el("div", { class: "tree", role: "tree", tabindex: "0", "aria-label": "Call tree" }, sheet);
  const none = el("p", { class: "none dim", hidden: "" }, "Nothing to show here.");
  const column = (kind, above, below) => el("span", { class: kind }, above, el("small", {}, below));
  const columns = el(
    "div", { class: "columns", "aria-hidden": "true" },
    el("span", {}, "What happened"), el("span", { class: "model" }, "Model"),
    column("tokens", "Tokens", "Whole"), column("tokens own", "", "Own"),
    column("cost", "Cost", "Whole"), column("cost own", "", "Own"), el("span", {}, "Time"),
  );
  const detail = el("section", { class: "detail", tabindex: "-1", "aria-label": "Details of the chosen row" });
  const left = el("section", { class: "left", "aria-label": "Call tree" }, columns, tree, none);
  const main = el("div", { class: "main" }, left, detail);
  return {
    section, legend, whole, canvas, mark, dragged, tip, input, tools, field, previous, next, found, show, order, unfold, fold,
    main, tree, sheet, none, detail,
  };
}
