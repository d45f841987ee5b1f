// The run as data: rows from top to bottom, each with its level, and the texts they refer to by index.

const USAGE = ["calls", "input", "output", "cost", "unreported", "unpriced", "read", "written"];
const NOTHING = new Float64Array(USAGE.length);
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
    this.rows = [];
    this.texts = [];
    this.images = [];
    this.open = []; // the rows from the top down to the last one
  }

  /** Take one line of data. */
  take(piece) {
    if (piece.run) this.run = piece.run;
    for (const raw of piece.rows ?? []) this.add(raw);
    for (const text of piece.texts ?? []) this.texts.push(text);
    for (const image of piece.images ?? []) this.images.push(image);
  }

  add(raw) {
    const [kind, level, id, label, state, model, start, end, seconds, own, adds, parts, facts] = raw;
    this.open.length = level;
    const row = {
      index: this.rows.length, kind, level, id, label, state, model, start, end, seconds, parts, facts,
      parent: this.open[level - 1] ?? null, children: [], last: 0, spot: 1,
      own: usage(own), whole: Float64Array.from(adds ? usage(adds) : usage(own)),
    };
    row.parent?.children.push(row);
    this.open.push(row);
    this.rows.push(row);
  }

  /** Sum up from the leaves, once all rows are there. */
  finish() {
    for (const row of this.rows.toReversed()) {
      row.last = Math.max(row.index, row.last);
      if (!row.parent) continue;
      row.parent.last = Math.max(row.parent.last, row.last);
      row.whole.forEach((value, at) => { row.parent.whole[at] += value; });
    }
    this.priced = this.rows.some((row) => row.whole[3] > 0);
  }

  /** The texts of a row, as indexes. */
  textsOf(row) {
    return row.parts.filter(([, , look]) => look !== "image").map(([, index]) => index);
  }
}

function usage(numbers) {
  if (!numbers) return NOTHING;
  const all = new Float64Array(USAGE.length);
  all.set(numbers);
  return all;
}

/** Read the data in the page, without holding up the browser for long. */
async function load(blocks, progress) {
  const model = new Model();
  const rest = breather();
  for await (const line of lines(blocks, rest, progress)) {
    model.take(JSON.parse(line));
    await rest();
  }
  model.finish();
  return model;
}

async function* lines(blocks, rest, progress) {
  if (blocks[0].dataset.form !== "gzip") {
    for (const block of blocks) yield* block.textContent.split("\n");
    return;
  }
  if (!globalThis.DecompressionStream) {
    throw new Error("this browser cannot unpack the page's data. Chrome 80, Safari 16.4, Firefox 113 and later can");
  }
  const reader = packed(blocks, rest, progress)
    .pipeThrough(new DecompressionStream("gzip")).pipeThrough(new TextDecoderStream()).getReader();
  let held = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const pieces = value.split("\n");
    for (const piece of pieces.slice(0, -1)) {
      yield held.join("") + piece;
      held = [];
    }
    held.push(pieces.at(-1));
  }
  yield held.join("");
}

/** The bytes behind base64, piece by piece; what is read is removed from the page. */
function packed(blocks, rest, progress) {
  const step = 1 << 16; // divisible by 4, as each block's length is: a piece of base64 is base64
  let [block, text, at] = [0, blocks[0].textContent, 0];
  return new ReadableStream({
    async pull(controller) {
      await rest();
      const signs = atob(text.slice(at, at + step));
      const bytes = new Uint8Array(signs.length);
      for (let index = 0; index < signs.length; index += 1) bytes[index] = signs.charCodeAt(index);
      controller.enqueue(bytes);
      at += step;
      if (at < text.length) return;
      blocks[block].remove();
      block += 1;
      progress(block / blocks.length);
      if (block === blocks.length) controller.close();
      else [text, at] = [blocks[block].textContent, 0];
    },
  });
}
