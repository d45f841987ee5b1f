// What ran when, and what ran side by side: the root's turns and cells on top, calls packed into lanes below.

const ROOT_HEIGHT = 16;
const LANES_HEIGHT = 150;
const AXIS_HEIGHT = 20;
const EDGE = 8;
const DRAG_PIXELS = 5;
const COLOURS = ["turn", "cell", "call", "child", "tool", "bad", "dim", "line"];
const PACKED = new Set(["call", "child", "tool"]);

class Timeline {
  constructor(model, { section, legend, whole, canvas, mark, dragged, tip }, choose) {
    this.model = model;
    this.choose = choose;
    Object.assign(this, { section, legend, whole, canvas, chosen: mark, dragged, tip });
    this.row = null;
    this.view = null; // the part that is looked at; null is all of it
    this.width = 0; // until the browser tells it, and then it is drawn
    this.measure();
    this.listen();
  }

  /** Take in all rows anew. */
  measure() {
    this.end = Math.max(this.model.run.now?.() ?? this.model.run.seconds ?? 0, 0.001);
    this.lanes = 0;
    this.bars = [];
    this.pack();
    this.laneHeight = Math.min(14, LANES_HEIGHT / Math.max(1, this.lanes));
    this.height = ROOT_HEIGHT + 6 + Math.ceil(this.lanes * this.laneHeight) + AXIS_HEIGHT;
    this.describe();
  }

  /** Draw all rows anew. In a large run each half takes a while: the reader is answered before and in between. */
  async refresh() {
    await pause();
    this.measure();
    await pause();
    if (this.width) this.draw();
  }

  get from() {
    return this.view?.[0] ?? 0;
  }

  get to() {
    return this.view?.[1] ?? this.end;
  }

  /** Give each row a lane: of those that are free when it begins, the first. */
  pack() {
    const free = [];
    const timed = this.model.rows.filter((row) => row.start !== null);
    for (const row of timed.filter(({ kind }) => PACKED.has(kind)).sort((a, b) => a.start - b.start)) {
      let at = 0;
      while (at < free.length && free[at] > row.start) at += 1;
      free[at] = row.end ?? this.end;
      row.lane = at + 1;
    }
    this.lanes = free.length;
    for (const row of timed) {
      if (row.kind === "turn" || row.kind === "cell") row.lane = nodeOf(row).lane ?? 0;
      if (row.lane !== null) this.bars.push({ row, lane: row.lane, start: row.start, end: row.end ?? this.end });
    }
    this.bars.sort((a, b) => failed(a.row) - failed(b.row)); // what failed lies on top
  }

  describe() {
    const calls = this.model.rows.filter((row) => row.kind === "call").length;
    const most = this.lanes > 1 ? `, up to ${number(this.lanes)} at once` : "";
    const sentence = `${duration(this.end)}, ${number(calls)} call${calls === 1 ? "" : "s"}${most}`;
    this.canvas.setAttribute("aria-label", `Timeline: ${sentence}. The call tree says the same in words.`);
    const kinds = [["turn", "model's turn"], ["cell", "cell"], ["call", "call"], ["child", "child"], ["tool", "tool"]];
    const there = new Set(this.bars.map(({ row }) => row.kind));
    this.legend.replaceChildren(
      sentence,
      ...kinds.filter(([kind]) => there.has(kind)).map(([kind, text]) => el("span", { class: `key ${kind}` }, text)),
      ...(this.bars.some(({ row }) => failed(row)) ? [el("span", { class: "key bad" }, "failed")] : []),
    );
  }

  listen() {
    const { canvas } = this;
    new ResizeObserver(() => this.section.clientWidth === this.width || this.draw()).observe(this.section);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.grabbed = event.offsetX;
    });
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("dblclick", () => this.look(0, this.end));
    this.whole.addEventListener("click", () => this.look(0, this.end));
  }

  look(start, end) {
    this.view = end - start >= this.end ? null : [start, end];
    this.whole.hidden = !this.view;
    this.draw();
  }

  move(event) {
    const bar = this.barAt(event);
    this.canvas.style.cursor = bar ? "pointer" : "crosshair";
    this.tip.hidden = !bar;
    if (bar) {
      const { row } = bar;
      const use = row.kind === "turn" ? row.own : row.whole;
      const price = this.model.priced ? cost(use) : "";
      const figures = [duration(took(row)), tokens(use) && `${tokens(use)} tokens`, price].filter(Boolean).join(" · ");
      const said = words(this.model, row).filter(Boolean).join(" → ");
      this.tip.replaceChildren(el("b", {}, name(row)), ` ${figures}`, el("br"), el("bdi", {}, said));
      const room = this.width - this.tip.offsetWidth - EDGE;
      this.tip.style.left = `${Math.max(0, Math.min(event.offsetX, room))}px`;
      this.tip.style.top = `${event.offsetY + 18}px`;
    }
    if (this.grabbed !== undefined && Math.abs(event.offsetX - this.grabbed) > DRAG_PIXELS) {
      const [left, right] = [this.grabbed, event.offsetX].sort((a, b) => a - b);
      laid(this.dragged, [left, 0, right - left, this.height - AXIS_HEIGHT]);
    }
  }

  release(event) {
    const { grabbed } = this;
    delete this.grabbed;
    this.dragged.hidden = true;
    if (grabbed === undefined || Math.abs(event.offsetX - grabbed) <= DRAG_PIXELS) {
      const bar = this.barAt(event);
      if (bar) this.choose(bar.row);
      return;
    }
    const [start, end] = [grabbed, event.offsetX].sort((a, b) => a - b).map((x) => this.timeAt(x));
    this.look(Math.max(0, start), Math.min(this.end, Math.max(end, start + this.end / 1e5)));
  }

  get scale() {
    return (this.width - 2 * EDGE) / (this.to - this.from);
  }

  x(time) {
    return EDGE + (time - this.from) * this.scale;
  }

  timeAt(x) {
    return this.from + (x - EDGE) / this.scale;
  }

  top(lane) {
    return lane ? ROOT_HEIGHT + 6 + (lane - 1) * this.laneHeight : 0;
  }

  /** The bar under the pointer or, of those a few pixels away, the nearest; a child's turns lie over it. */
  barAt({ offsetX, offsetY }) {
    const below = Math.floor((offsetY - ROOT_HEIGHT - 6) / this.laneHeight) + 1;
    const lane = offsetY < ROOT_HEIGHT ? 0 : below;
    let [nearest, least] = [null, 4];
    for (const bar of this.bars) {
      if (bar.lane !== lane) continue;
      const away = Math.max(this.x(bar.start) - offsetX, offsetX - this.x(bar.end), 0);
      if (away < least || (away === least && away === 0)) [nearest, least] = [bar, away];
    }
    return nearest;
  }

  mark(row) {
    this.row = row;
    const bar = this.width && this.bars.find((each) => each.row === row);
    this.chosen.hidden = !bar || bar.end < this.from || bar.start > this.to;
    if (!this.chosen.hidden) laid(this.chosen, this.box(bar));
  }

  /** Draw all bars anew. */
  draw() {
    this.width = this.section.clientWidth;
    this.canvas.style.height = `${this.height}px`;
    this.canvas.width = this.width * devicePixelRatio;
    this.canvas.height = this.height * devicePixelRatio;
    this.colours = Object.fromEntries(COLOURS.map((key) => [key, colourOf(this.section, key)]));
    const paint = this.canvas.getContext("2d");
    paint.scale(devicePixelRatio, devicePixelRatio);
    this.axis(paint);
    for (const bar of this.bars) this.bar(paint, bar);
    this.mark(this.row);
  }

  box({ row, lane, start, end }) {
    const [left, right] = [this.x(Math.max(start, this.from)), this.x(Math.min(end, this.to))];
    const height = lane ? this.laneHeight : ROOT_HEIGHT;
    const gap = height > 5 ? 1 : height > 2 ? 0.5 : 0;
    const width = right - left - (right - left > 4 ? 1 : 0); // neighbours stay apart
    return [left, this.top(lane) + gap, Math.max(failed(row) ? 2 : 1, width), height - 2 * gap];
  }

  bar(paint, bar) {
    if (bar.end < this.from || bar.start > this.to) return;
    const { kind } = bar.row;
    paint.fillStyle = failed(bar.row) ? this.colours.bad : this.colours[kind];
    paint.globalAlpha = kind === "child" ? 0.35 : kind === "cell" ? 0.55 : 0.9;
    paint.fillRect(...this.box(bar));
    paint.globalAlpha = 1;
  }

  tick(time, step) {
    if (!time) return "0";
    if (step < 0.1) return `${Math.round(time * 1000)} ms`;
    if (time < 60) return `${Number(time.toFixed(1))} s`;
    const rest = Math.round(time % 60);
    return rest ? `${Math.floor(time / 60)}:${String(rest).padStart(2, "0")} min` : `${Math.round(time / 60)} min`;
  }

  axis(paint) {
    const steps = [0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400];
    const span = this.to - this.from;
    const step = steps.find((each) => (span / each) * 90 < this.width) ?? span;
    paint.font = "11px system-ui, sans-serif";
    paint.textBaseline = "bottom";
    for (let at = Math.ceil(this.from / step); at * step <= this.to; at += 1) {
      const x = this.x(at * step);
      paint.fillStyle = this.colours.line;
      paint.fillRect(x, 0, 1, this.height - AXIS_HEIGHT + 4);
      const text = this.tick(at * step, step);
      paint.fillStyle = this.colours.dim;
      if (x + paint.measureText(text).width < this.width) paint.fillText(text, x + 3, this.height);
    }
  }
}

/** Lay an element over a part of the picture. */
function laid(element, box) {
  element.hidden = false;
  for (const [at, side] of ["left", "top", "width", "height"].entries()) element.style[side] = `${box[at]}px`;
}
