// One text of the input as a strip from its first character to its last: how often each part was read, and by whom.

const STRIP_HEIGHT = 20;
const MARK_HEIGHT = 5; // below, where the chosen row's parts are marked
const LEAST_PIXELS = 3; // a part of a very long text is still to be seen
const NEAR_PIXELS = 3;

/** The parts of a text from its beginning to its end, those that nobody read among them. */
function partsOf({ length, parts }, readers) {
  const all = [];
  let at = 0;
  const unread = (end) => { if (end > at) all.push({ start: at, end, read: 0, times: 0, rows: [] }); };
  for (const [start, end, read, times, more, who] of parts) {
    unread(start);
    all.push({ start, end, read, times, more, rows: who.map((index) => readers[index]).filter(Boolean) });
    at = end;
  }
  unread(length);
  return all;
}

/** What a part is, in words. */
function partSaid({ start, end, read, times, more, rows }) {
  const where = `Characters ${number(start)} to ${number(end)}`;
  if (!read) return `${where}: no model read this.`;
  const often = times === 1 ? "once" : times === 2 ? "twice" : `${number(times)} times`;
  const share = read < end - start ? `${Math.max(1, Math.floor((100 * read) / (end - start)))} % read, ` : "read ";
  const shown = rows.slice(0, 4).map((row) => (row.kind === "run" ? "the root model" : name(row)));
  const rest = rows.length - shown.length + more;
  const who = shown.join(", ") + (rest ? ` and ${number(rest)} more` : "");
  return `${where}: ${share}${often}, by ${who || "rows that are not here"}.`;
}

class Strip {
  /** `look` hears which part is looked at (or null), `pick` which one was chosen. */
  constructor(text, readers, { look, pick }) {
    this.parts = partsOf(text, readers);
    this.length = text.length;
    this.look = look;
    this.pick = pick;
    this.at = 0;
    this.marked = new Set();
    this.canvas = el("canvas", {});
    this.slider = el("div", {
      class: "strip", role: "slider", tabindex: "0", "aria-label": `Parts of ${text.say}`, "aria-valuemin": 1,
      "aria-valuemax": this.parts.length, "aria-roledescription": "strip",
      on: {
        keydown: (event) => this.key(event), focus: () => this.goTo(this.at), blur: () => this.leave(),
        pointermove: (event) => this.hover(event), pointerleave: () => this.leave(), click: (event) => this.click(event),
      },
    }, this.canvas);
    this.element = el("div", {}, el("div", { class: "strip-name" }, el("bdi", {}, text.say)), this.slider);
    this.say();
  }

  say() {
    this.slider.setAttribute("aria-valuenow", this.at + 1);
    this.slider.setAttribute("aria-valuetext", partSaid(this.parts[this.at]));
  }

  key(event) {
    const last = this.parts.length - 1;
    const moves = {
      ArrowRight: this.at + 1, ArrowUp: this.at + 1, ArrowLeft: this.at - 1, ArrowDown: this.at - 1,
      PageUp: this.at + 10, PageDown: this.at - 10, Home: 0, End: last,
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves) this.goTo(Math.max(0, Math.min(last, moves[event.key])));
    else if (event.key === "Enter" || event.key === " ") this.pick(this.parts[this.at]);
    else return;
    event.preventDefault();
  }

  goTo(at) {
    this.at = at;
    this.say();
    this.draw();
    if (!this.width || !this.slider.matches(":focus-visible")) return;
    const { start, end } = this.parts[at];
    this.look(this, this.parts[at], ((start + end) / 2) * this.scale);
  }

  hover({ offsetX }) {
    const part = this.partAt(offsetX);
    this.slider.style.cursor = part.read ? "pointer" : "default";
    this.look(this, part, offsetX);
  }

  leave() {
    this.look(this, null);
    this.draw();
  }

  click({ offsetX }) {
    const part = this.partAt(offsetX);
    this.at = this.parts.indexOf(part);
    this.say();
    this.draw();
    this.pick(part);
  }

  get scale() {
    return this.width / this.length;
  }

  /** The part at a place; of one that nobody read, the nearest one that was read, if that is a few pixels away. */
  partAt(x) {
    const here = this.parts.findLast(({ start }) => start * this.scale <= x) ?? this.parts[0];
    let [nearest, least] = [here, here.read ? 0 : NEAR_PIXELS];
    for (const part of this.parts) {
      const left = this.left(part);
      const away = Math.max(left - x, x - left - this.wide(part), 0);
      if (part.read && away < least) [nearest, least] = [part, away];
    }
    return nearest;
  }

  /** Mark the parts that these rows have read. */
  mark(rows) {
    this.marked = new Set(this.parts.filter((part) => part.rows.some((row) => rows.has(row))));
    this.draw();
  }

  draw(colours = this.colours) {
    const width = this.slider.clientWidth;
    if (!width || !colours) return;
    this.colours = colours;
    this.width = width;
    const height = STRIP_HEIGHT + MARK_HEIGHT;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = width * devicePixelRatio;
    this.canvas.height = height * devicePixelRatio;
    const paint = this.canvas.getContext("2d");
    paint.scale(devicePixelRatio, devicePixelRatio);
    this.hatch(paint);
    const read = this.parts.filter((part) => part.read);
    for (const part of read) this.bar(paint, part);
    paint.strokeStyle = colours.dim;
    paint.lineWidth = 1;
    paint.strokeRect(0.5, 0.5, width - 1, STRIP_HEIGHT - 1);
    paint.fillStyle = colours.ink;
    for (const part of this.marked) paint.fillRect(this.left(part), STRIP_HEIGHT + 1, this.wide(part), MARK_HEIGHT - 1);
    if (!this.slider.matches(":focus-visible")) return;
    paint.strokeStyle = colours.ink;
    paint.lineWidth = 2;
    paint.strokeRect(this.left(this.parts[this.at]), 1, this.wide(this.parts[this.at]), STRIP_HEIGHT - 2);
  }

  left({ start, end }) {
    return Math.min(start * this.scale, this.width - Math.min(LEAST_PIXELS, (end - start) * this.scale + 1));
  }

  wide({ start, end }) {
    return Math.max(LEAST_PIXELS, (end - start) * this.scale);
  }

  /** Lines where nobody read: another pattern, not only another colour. */
  hatch(paint) {
    paint.save();
    paint.beginPath();
    paint.rect(0, 0, this.width, STRIP_HEIGHT);
    paint.clip();
    paint.beginPath();
    for (let x = -STRIP_HEIGHT; x < this.width; x += 6) {
      paint.moveTo(x, STRIP_HEIGHT);
      paint.lineTo(x + STRIP_HEIGHT, 0);
    }
    paint.strokeStyle = this.colours.unread;
    paint.lineWidth = 1;
    paint.stroke();
    paint.restore();
  }

  /** What was read in part is filled in part. */
  bar(paint, part) {
    const height = Math.max(3, Math.round((STRIP_HEIGHT * part.read) / (part.end - part.start)));
    paint.fillStyle = this.colours[`read${Math.max(1, Math.min(4, Math.round(part.times)))}`];
    const box = [this.left(part), STRIP_HEIGHT - height, this.wide(part), height];
    const air = box[2] < 2 * LEAST_PIXELS ? 1 : 0; // what is narrow stands apart from the lines
    paint.clearRect(box[0] - air, box[1], box[2] + 2 * air, height);
    paint.fillRect(...box);
  }
}
