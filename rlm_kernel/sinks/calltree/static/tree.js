// The call tree: only rows in view are elements; the tree itself has the focus and says which row is the active one.

const ROW_HEIGHT = 30;
const SPARE_ROWS = 8;
const NOTHING_MARKED = { found: new Set(), led: new Set(), quoted: new Set(), read: new Set() };
const MARKING = new Set(["led", "quoted"]); // choices of rows that say how each is known

class Tree {
  constructor(model, { tree, sheet, none, prefix }, { choose, enter }) {
    this.model = model;
    this.choose = choose;
    this.enter = enter;
    this.prefix = prefix; // of the rows' ids: a page may have several trees
    this.view = { show: "all", order: "time", folded: foldedAtFirst(model), ...NOTHING_MARKED };
    this.rows = [];
    this.at = []; // row index -> place among the rows to be seen
    this.tooMany = new Set(); // rows that were folded because so many are below
    this.drawnRows = new Map(); // row index -> its element, and what that was drawn from
    this.row = model.rows[0];
    this.element = tree;
    this.sheet = sheet;
    this.none = none;
    this.element.addEventListener("scroll", () => this.soon());
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("click", (event) => this.click(event));
    this.element.addEventListener("dblclick", (event) => this.rowAt(event) && this.toggle(this.rowAt(event)));
    new ResizeObserver(() => this.soon()).observe(this.element);
    this.refresh();
  }

  /** Work out anew which rows there are. */
  refresh() {
    this.rows = visible(this.model, this.view);
    this.at = [];
    for (const [at, row] of this.rows.entries()) this.at[row.index] = at;
    this.sheet.style.height = `${this.rows.length * ROW_HEIGHT}px`;
    this.none.hidden = this.rows.length > 0;
    this.draw();
  }

  /** Take in rows that are new or have changed; who looks at the last row goes on looking at the last row. */
  take(rows) {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    const atEnd = scrollTop + clientHeight > scrollHeight - ROW_HEIGHT;
    for (const { parent } of rows) {
      if (!parent || parent.children.length <= MANY_BELOW || this.tooMany.has(parent.index)) continue;
      this.tooMany.add(parent.index);
      this.view.folded.add(parent.index);
    }
    this.refresh();
    if (atEnd && this.element.scrollHeight > scrollHeight) this.element.scrollTop = this.element.scrollHeight;
  }

  set(change) {
    Object.assign(this.view, change);
    this.refresh();
    this.scrollTo(this.row);
  }

  soon() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.draw();
    });
  }

  draw() {
    const { scrollTop, clientHeight } = this.element;
    const first = Math.max(0, Math.floor(scrollTop / ROW_HEIGHT) - SPARE_ROWS);
    const last = Math.ceil((scrollTop + clientHeight) / ROW_HEIGHT) + SPARE_ROWS;
    const before = this.drawnRows;
    this.drawnRows = new Map();
    let next = this.sheet.firstElementChild;
    for (const [at, row] of this.rows.slice(first, last).entries()) {
      const { element } = this.kept(row, first + at, before.get(row.index));
      if (element === next) next = next.nextElementSibling;
      else this.sheet.insertBefore(element, next);
    }
    while (next) {
      const gone = next;
      next = next.nextElementSibling;
      gone.remove();
    }
    const shown = this.drawnRows.get(this.row.index);
    if (shown) this.element.setAttribute("aria-activedescendant", shown.element.id);
    else this.element.removeAttribute("aria-activedescendant");
  }

  /** The row's element: the one there is, unless it says something else now. A click needs it to stay. */
  kept(row, at, old) {
    const { found, folded, show } = this.view;
    const clock = row.state === "running" && row.run.now ? Math.floor(row.run.now()) : 0;
    const stamp = [row.version, at, row === this.row, found.has(row.index), folded.has(row.index), show, row.spot,
      show === "all" ? row.parent?.children.length : this.rows.length, clock].join(" ");
    const drawn = old?.stamp === stamp ? old : { stamp, element: this.drawn(row, at) };
    this.drawnRows.set(row.index, drawn);
    return drawn;
  }

  drawn(row, at) {
    const list = this.view.show !== "all";
    const level = list ? 0 : row.level;
    const [said, came] = words(this.model, row);
    const opens = !list && row.children.length > 0;
    const why = MARKING.has(this.view.show) ? whyOf(this.model, row)[0] : "";
    const used = [tokens(row.whole), tokens(row.own), cost(row.whole), cost(row.own)];
    const [state, silent] = [row.state === "ok" ? "" : row.state, idle(row)];
    const figures = [used[0] && `${used[0]} tokens`, this.model.priced && used[2], duration(took(row)), silent];
    const spoken = [name(row), state, why, said, came, ...figures].filter(Boolean).join(", ");
    const element = el(
      "div",
      {
        class: `row ${row.kind} ${look(row)}${row === this.row ? " chosen" : ""}`
          + `${this.view.found.has(row.index) ? " hit" : ""}`,
        id: `${this.prefix}-${row.index}`, role: "treeitem", "aria-label": spoken,
        "aria-level": level + 1, "aria-selected": row === this.row,
        "aria-posinset": row.spot, "aria-setsize": list ? this.rows.length : row.parent?.children.length ?? 1,
        ...(opens ? { "aria-expanded": !this.view.folded.has(row.index) } : {}),
      },
      this.title(row, level, [said, came], opens, why),
      el("span", { class: "model" }, el("bdi", {}, this.named(row))),
      ...used.map((text, column) => {
        const same = column % 2 && !row.children.length; // nothing is below: "Own" would say what "Whole" says
        return el("span", { class: `${column < 2 ? "tokens" : "cost"}${column % 2 ? " own" : ""}` }, same ? "" : text);
      }),
      el("span", {}, silent ? el("small", { class: "idle" }, silent) : duration(took(row))),
    );
    element.style.transform = `translateY(${at * ROW_HEIGHT}px)`;
    return element;
  }

  /** The model without its provider; the whole name is in the details. */
  named(row) {
    return row.kind === "turn" ? "" : this.model.texts[row.model].split("/").at(-1);
  }

  title(row, level, [said, came], opens, why) {
    const hides = opens && this.view.folded.has(row.index);
    const twisty = el("i", { class: "twisty" }, hides ? "▸" : opens ? "▾" : "");
    const below = hides ? el("small", {}, `${number(row.below)} below`) : null;
    const title = el(
      "span",
      { class: "name" },
      twisty, el("i", { class: "sign" }, SIGNS[row.state] ?? "✗"), el("b", {}, name(row)),
      why ? el("small", { class: `why ${why}`, title: whyOf(this.model, row)[1] }, why) : null,
      el("bdi", { class: "said" }, said), came ? el("span", { class: "came" }, "→ ", el("bdi", {}, came)) : null, below,
    );
    title.style.paddingInlineStart = `${6 + level * 18}px`;
    return title;
  }

  rowAt(event) {
    const element = event.target.closest(".row");
    return element && this.model.rows[Number(element.id.slice(this.prefix.length + 1))];
  }

  click(event) {
    const row = this.rowAt(event);
    if (!row) return;
    if (event.target.className === "twisty") this.toggle(row);
    this.choose(row);
  }

  toggle(row, fold = !this.view.folded.has(row.index)) {
    if (!row.children.length || this.view.show !== "all") return;
    if (fold) this.view.folded.add(row.index);
    else this.view.folded.delete(row.index);
    this.refresh();
  }

  foldAll(fold) {
    const inner = fold ? this.model.rows.filter((row) => row.children.length && row.level > 0) : [];
    if (fold) while (this.row.level > 1) this.row = this.row.parent;
    this.set({ folded: new Set(inner.map((row) => row.index)) });
    this.choose(this.row);
  }

  /** Make a row the active one and bring it into view, whatever was folded or left out. */
  show(row) {
    this.row = row;
    let changed = false;
    for (let above = row.parent; above; above = above.parent) changed = this.view.folded.delete(above.index) || changed;
    if (changed) this.refresh();
    this.scrollTo(row);
  }

  scrollTo(row) {
    const at = this.at[row.index];
    if (at !== undefined) {
      const { scrollTop, clientHeight } = this.element;
      const top = at * ROW_HEIGHT;
      const bottom = top + ROW_HEIGHT;
      if (top < scrollTop) this.element.scrollTop = top - ROW_HEIGHT;
      else if (bottom > scrollTop + clientHeight) this.element.scrollTop = bottom + ROW_HEIGHT - clientHeight;
    }
    this.draw();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.at[this.row.index] ?? -1;
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW_HEIGHT) - 1);
    const moves = {
      ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: this.rows.length - 1,
    };
    if (event.key in moves && this.rows.length) {
      this.choose(this.rows[Math.max(0, Math.min(this.rows.length - 1, moves[event.key]))]);
    } else if (event.key === "ArrowRight") {
      if (this.view.folded.has(this.row.index)) this.toggle(this.row, false);
      else if (this.view.show === "all" && this.row.children.length) this.choose(this.rows[at + 1]);
    } else if (event.key === "ArrowLeft") {
      if (this.view.show === "all" && this.row.children.length && !this.view.folded.has(this.row.index)) {
        this.toggle(this.row, true);
      } else if (this.row.parent) this.choose(this.row.parent);
    } else if (event.key === "Enter") this.enter();
    else if (event.key === " ") this.toggle(this.row);
    else return;
    event.preventDefault();
  }
}
