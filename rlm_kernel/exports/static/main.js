// Puts the parts together: what is chosen in one is shown in the others.

const find = (id) => document.getElementById(id);

class Page {
  constructor(model) {
    this.model = model;
    find("app").hidden = false;
    find("app").classList.toggle("unpriced", !model.priced);
    this.tree = new Tree(model, { choose: (row) => this.choose(row), enter: () => find("detail").focus() });
    this.detail = new Detail(model, { choose: (row) => this.choose(row), leave: () => find("tree").focus() });
    this.timeline = new Timeline(model, (row) => this.choose(row));
    this.search = new Search(model, { found: (hits, done) => this.found(hits, done), status: () => this.say() });
    this.place = -1;
    this.places = [];
    this.choices();
    this.listen();
    this.choose(model.rows[0]);
  }

  /** Show a row everywhere. */
  choose(row) {
    if (!this.tree.at.has(row.index) && this.tree.view.show !== "all") this.showOnly("all");
    this.tree.show(row);
    this.detail.show(row, this.search.pattern);
    this.timeline.mark(row);
    this.places = this.detail.places();
    this.place = this.places.length ? 0 : -1;
    if (this.places.length) this.detail.goTo(this.places[0]);
    this.say();
  }

  choices() {
    const { rows } = this.model;
    for (const [key, [text, test]] of Object.entries(SHOWN)) {
      const count = test && key !== "all" ? ` (${number(rows.filter(test).length)})` : "";
      const option = el("option", { value: key }, text + count);
      option.disabled = key !== "all" && count.endsWith("(0)");
      find("show").append(option);
    }
    for (const [key, [text]] of Object.entries(ORDERS)) {
      if (key !== "cost" || this.model.priced) find("order").append(el("option", { value: key }, text));
    }
  }

  listen() {
    const { tree, search } = this;
    find("show").addEventListener("change", () => tree.set({ show: find("show").value }));
    find("order").addEventListener("change", () => tree.set({ order: find("order").value }));
    find("unfold").addEventListener("click", () => tree.foldAll(false));
    find("fold").addEventListener("click", () => tree.foldAll(true));
    find("previous").addEventListener("click", () => this.go(-1));
    find("next").addEventListener("click", () => this.go(1));
    find("search").addEventListener("input", () => search.typed(find("search").value));
    find("search").addEventListener("keydown", (event) => this.searchKey(event));
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey) return;
      if (event.target.closest("input, select, textarea")) return;
      event.preventDefault();
      find("search").focus();
      find("search").select();
    });
  }

  searchKey(event) {
    if (event.key === "Enter") {
      if (changed(this.search)) this.search.start(find("search").value);
      else this.go(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      find("search").value = "";
      this.search.start("");
      find("tree").focus();
    } else if (event.key === "ArrowDown") find("tree").focus();
    else return;
    event.preventDefault();
  }

  /** Take in what a search has found: go to the first row at once, and mark the rows when it is done. */
  found(hits, done) {
    if (done) {
      this.tree.view.found = new Set(hits);
      if (this.tree.view.show === "found") this.tree.refresh();
      else this.tree.draw();
    }
    const here = this.tree.row.index;
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
      const row = this.search.beside(this.tree.row.index, step);
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
    const at = hits.indexOf(this.tree.row.index);
    const here = at < 0 ? "" : `${number(at + 1)} of `;
    const rows = `${number(hits.length)}${done ? "" : "+"} row${hits.length === 1 ? "" : "s"}`;
    const several = this.places.length > 1 && at >= 0;
    const place = several ? `, place ${number(this.place + 1)} of ${number(this.places.length)}` : "";
    const none = done ? "Nothing found" : "Searching …";
    find("found").textContent = query && (hits.length ? here + rows + place : none);
  }

  showOnly(show) {
    find("show").value = show;
    this.tree.set({ show });
  }
}

const changed = (search) => find("search").value !== search.query;

async function begin() {
  const wait = find("wait");
  const blocks = document.querySelectorAll("script.data");
  wait.hidden = false;
  wait.textContent = "Opening the call tree …";
  try {
    const model = await load(blocks, (share) => {
      wait.textContent = `Opening the call tree … ${Math.round(100 * share)} %`;
    });
    new Page(model);
    wait.hidden = true;
    performance.mark("open");
  } catch (error) {
    wait.textContent = `The call tree could not be opened: ${error.message}.`;
    throw error;
  }
}

begin();
