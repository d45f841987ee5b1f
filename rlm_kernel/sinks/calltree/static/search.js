// Search over all texts, in slices, so that the page stays alive; rows are found from the top down.

const WINDOW = 1 << 20; // a very long text is searched in pieces of this many characters
const TYPING_MS = 120;

class Search {
  constructor(model, { found, status }) {
    this.model = model;
    this.found = found;
    this.status = status;
    this.clear();
  }

  clear() {
    this.turn = (this.turn ?? 0) + 1; // a search that is going on sees that it is out of date
    this.query = "";
    this.pattern = null;
    this.hits = [];
    this.done = true;
  }

  /** Search anew, a moment after the last key. */
  typed(query) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.start(query), TYPING_MS);
  }

  /** Begin at once, unless the query is the one that is searched for. */
  start(query) {
    clearTimeout(this.timer);
    if (query === this.query) return null;
    this.clear();
    this.query = query;
    if (!query) {
      this.found(this.hits, true);
      return null;
    }
    this.pattern = new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
    this.done = false;
    return this.run(this.turn);
  }

  async run(turn) {
    const pattern = new RegExp(this.pattern, "i"); // without "g", it begins anew with each text
    const known = new Int8Array(this.model.texts.length); // 1: has it, -1: has it not
    const rest = breather(this.status);
    for (const row of this.model.inOrder()) {
      let hit = pattern.test(name(row));
      for (const index of hit ? [] : [row.label, row.model, ...this.model.textsOf(row)]) {
        known[index] ||= (await this.inside(pattern, this.model.texts[index] ?? "", turn, rest)) ? 1 : -1;
        hit = known[index] > 0;
        if (hit || turn !== this.turn) break;
      }
      if (turn !== this.turn) return;
      if (hit && this.hits.push(row) === 1) this.found(this.hits, false);
    }
    this.done = true;
    this.found(this.hits, true);
  }

  async inside(pattern, text, turn, rest) {
    for (let at = 0; at < text.length; at += WINDOW) {
      if (pattern.test(text.length > WINDOW ? text.slice(at, at + WINDOW + this.query.length) : text)) return true;
      await rest();
      if (turn !== this.turn) return false;
    }
    return false;
  }

  /** The row that has it after (or before) a row, around the end; null if none has it. */
  beside(row, step) {
    const { hits } = this;
    if (!hits.length) return null;
    this.model.inOrder();
    if (step > 0) return hits.find((hit) => hit.place > row.place) ?? hits[0];
    return hits.findLast((hit) => hit.place < row.place) ?? hits.at(-1);
  }
}
