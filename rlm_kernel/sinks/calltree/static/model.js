// The run as data: rows from top to bottom, each with its level, and the texts they refer to by index.

const USAGE = ["calls", "input", "output", "cost", "unreported", "unpriced", "read", "written"];
const NOTHING = USAGE.map(() => 0); // plain arrays: thousands of typed ones keep the garbage collector busy
const SLICE_MS = 12; // work longer than this lets the browser answer its reader in between

/** Let the browser paint and answer. */
const pause = () => (globalThis.scheduler?.yield ? scheduler.yield() : new Promise((go) => setTimeout(go)));

/** A function to await now and then in long work: it pauses when a slice of time is used up. */
function breather(before = () => {}) {
  let started = performance.now();
  return async () => {
    if (performance.now() - started < SLICE_MS) return;
    before();
    await pause();
    started = performance.now();
  };
}

class Model {
  constructor() {
    this.run = {};
    this.rows = []; // by their numbers, which count in the order in which they began
    this.texts = [];
    this.images = [];
    this.cut = new Map(); // index of a text that is not here whole -> its length
    this.open = []; // the rows from the top down to the last one
    this.order = null;
  }

  /** Take one piece of data; returns the rows that it changed. */
  take(piece) {
    if (piece.run) Object.assign(this.run, piece.run);
    for (const [index, behind, text, missing] of piece.said ?? []) this.say(index, behind, text, missing);
    for (const [index, image] of piece.shown ?? []) this.images[index] = image;
    for (const text of piece.texts ?? []) this.texts.push(text);
    for (const image of piece.images ?? []) this.images.push(image);
    const { at } = piece;
    return (piece.rows ?? []).map((raw, nth) => (at ? this.put(...at[nth], raw) : this.add(raw)));
  }

  /** Take a text, or what goes behind it; `missing` is how many characters there are that are not here. */
  say(index, behind, text, missing) {
    this.texts[index] = behind ? this.texts[index] + text : text;
    if (missing) this.cut.set(index, this.texts[index].length + missing);
    else this.cut.delete(index);
  }

  /** Add the next row from top to bottom. */
  add(raw) {
    const level = raw[1];
    this.open.length = level;
    const row = this.put(this.rows.length, this.open[level - 1]?.index ?? -1, raw);
    this.open.push(row);
    return row;
  }

  /** Take the row of that number, a new one or one that has changed. */
  put(index, above, raw) {
    const [kind, level, id, label, state, model, start, end, seconds, own, adds, parts, facts] = raw;
    const row = this.rows[index] ?? this.enter(index, this.rows[above] ?? null);
    Object.assign(row, { kind, level, id, label, state, model, start, end, seconds, parts, facts, own: usage(own) });
    const added = adds ? usage(adds) : row.own;
    const now = this.run.seconds;
    for (let each = row; each; each = each.parent) {
      for (let at = 0; at < USAGE.length; at += 1) each.whole[at] += added[at] - row.added[at];
      each.touched = now;
      each.version += 1;
    }
    row.added = added;
    return row;
  }

  enter(index, parent) {
    const row = {
      index, parent, children: [], below: 0, spot: 1, place: 0, lane: null, version: 0, run: this.run, added: NOTHING,
      whole: NOTHING.slice(),
    };
    this.rows[index] = row;
    this.order = null;
    parent?.children.push(row);
    for (let each = parent; each; each = each.parent) each.below += 1;
    return row;
  }

  get priced() {
    return this.rows.length > 0 && this.rows[0].whole[3] > 0;
  }

  /** All rows from top to bottom; each then knows its place. */
  inOrder() {
    if (this.order) return this.order;
    this.order = [];
    const rest = this.rows.slice(0, 1);
    while (rest.length) {
      const row = rest.pop();
      row.place = this.order.push(row) - 1;
      for (let at = row.children.length - 1; at >= 0; at -= 1) rest.push(row.children[at]);
    }
    return this.order;
  }

  /** The texts of a row, as indexes. */
  textsOf(row) {
    return row.parts.filter(([, , look]) => look !== "image").map(([, index]) => index);
  }
}

function usage(numbers) {
  return numbers ? USAGE.map((_, at) => numbers[at] ?? 0) : NOTHING;
}
