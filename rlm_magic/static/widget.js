// The notebook's widget: hears of changes in the run, shows them, and asks for what its reader wants.

const WAIT_MS = 4000; // for an answer of a kernel that may be busy
const SILENCE_MS = 5000;
const TIMELINE_MS = 1000;
const NOT_HEARD = "The kernel does not hear this notebook while the cell runs";
const LIMITS = {
  max_iterations: "turns", max_calls: "calls", max_tokens: "tokens", max_cost: "dollars", max_seconds: "seconds",
};

/** What is known of a run, whoever looks at it. */
class Session {
  constructor() {
    this.model = new Model();
    this.n = 0; // deltas heard
    this.live = false;
    this.views = new Set();
    this.asked = new Set();
    this.waiting = new Map();
  }

  begin(widget) {
    this.widget = widget;
    this.queue = Promise.resolve(); // what is packed takes a while to open, and the next message must wait for it
    widget.on("msg:custom", (message) => this.next(() => this.hear(message)));
    widget.on("change:saved", () => this.next(() => this.open()));
    widget.on("comm_live_update", () => this.lost());
    this.next(() => this.open());
    this.want();
  }

  next(task) {
    this.queue = this.queue.then(task).catch((error) => console.error("The call tree:", error));
  }

  send(message) {
    try {
      this.widget.send(message);
    } catch {
      this.live = false; // no kernel, as in a page made of a notebook
    }
  }

  /** Ask for what is not known yet, and again until it comes: the first message may have to wait for the cell. */
  want(tries = 10) {
    if (this.wanting && tries === 10) return;
    this.send({ type: "want", n: this.n });
    this.wanting = tries > 1 ? setTimeout(() => this.want(tries - 1), WAIT_MS / 4) : null;
  }

  async hear(heard) {
    const wasLive = this.live;
    this.live = true;
    this.heardAt = performance.now();
    const parts = heard.packed ? unpacked(heard.packed) : null;
    const message = parts ? { type: heard.type, ...(await parts.next()).value } : heard;
    if (message.type === "delta") {
      if (message.n === this.n + 1) await this.take(message, parts);
      else if (message.n > this.n) this.want();
    } else if (message.type === "all") {
      clearTimeout(this.wanting);
      this.wanting = null;
      this.answers = true;
      if (message.piece && message.n > this.n) await this.take(message, parts);
    } else if (message.type === "text") {
      this.model.say(message.index, 0, message.text, message.missing);
      this.asked.delete(message.index);
      for (const view of this.views) view.app?.detail.update();
    } else if (message.type === "stopping") {
      clearTimeout(this.waiting.get(message.node));
      this.tell("Stopping …");
    }
    if (!wasLive && !this.model.run.now) this.revive();
    await this.keep();
  }

  /** When all is there and the kernel lives, keep it in the notebook. */
  async keep() {
    if (!this.live || !this.final || this.kept === this.final) return;
    this.kept = this.final;
    try {
      await keep(this.widget);
    } catch (error) {
      console.warn("The call tree could not be kept in the notebook:", error); // another front end, or a later one
    }
  }

  /** Ask whether something was missed, when nothing has come for a while: a server may drop what comes too fast. */
  listen() {
    if (this.answers && performance.now() - this.heardAt > SILENCE_MS) this.want();
  }

  /** Take a piece and its further parts; there may be thousands of rows, and the reader is answered in between. */
  async take({ n, piece }, parts) {
    const model = piece.new ? new Model() : this.model;
    const rest = breather();
    const rows = model.take(piece);
    for await (const part of parts ?? []) {
      rows.push(...model.take(part));
      await rest();
    }
    this.n = n;
    this.reading = false;
    if (piece.new) this.asked.clear();
    this.model = model;
    this.startClock();
    for (const view of this.views) {
      await pause();
      view.take(model, rows);
    }
  }

  /** Let the run's clock go on from what is known now, where the run does. */
  startClock() {
    const { run } = this.model;
    const received = performance.now() / 1000;
    run.now = run.running && this.live ? () => run.seconds + performance.now() / 1000 - received : undefined;
  }

  /** What was there may have been all there is; now it is known that the kernel lives. */
  revive() {
    this.startClock();
    for (const view of this.views) view.say();
  }

  /** Show what the widget's state holds, if that is more than is known. */
  async open() {
    const n = this.widget.get("saved_n");
    if (n > this.n) {
      const parts = unpacked(this.widget.get("saved"));
      await this.take((await parts.next()).value, parts);
    }
    this.final = n === this.n && !this.model.run.running ? n : 0;
    await this.keep();
  }

  lost() {
    if (!this.live) return;
    this.live = this.reading = false;
    this.model.run.now = undefined;
    this.tell(this.model.run.running ? "The kernel is gone: this is what the run had come to." : "");
    for (const view of this.views) view.say();
  }

  /** Ask for whole texts. */
  ask(indexes) {
    for (const index of indexes) {
      if (this.asked.has(index)) continue;
      this.asked.add(index);
      this.send({ type: "text", index });
    }
  }

  /** Have the input compared with what models were sent. */
  read() {
    this.reading = true;
    this.send({ type: "read" });
  }

  /** Stop a call, or the run (`null`). Where the kernel does not hear it, it can still be interrupted. */
  stop(node) {
    this.send({ type: "stop", node });
    this.tell("Asking the kernel to stop …");
    clearTimeout(this.waiting.get(node));
    this.waiting.set(node, setTimeout(() => this.unheard(node), WAIT_MS));
  }

  unheard(node) {
    if (this.widget.get("background")) {
      this.tell("The kernel is busy with another cell. It hears this when that cell has ended.");
      return;
    }
    const manager = this.widget.widget_manager;
    const kernel = manager?.kernel ?? manager?.context?.sessionContext?.session?.kernel;
    if (node !== null) this.tell(`${NOT_HEARD}. The call goes on; the whole run can be stopped.`);
    else if (kernel?.interrupt) {
      kernel.interrupt();
      this.tell(`${NOT_HEARD}: it was interrupted.`);
    } else this.tell(`${NOT_HEARD}. Use the notebook's own stop button.`);
  }

  tell(text) {
    this.told = text;
    for (const view of this.views) view.say();
  }
}

/** The widget as one reader sees it. */
class View {
  constructor(session, place) {
    this.session = session;
    this.badge = el("span", { class: "badge", role: "status" });
    this.question = el("bdi", { class: "question", dir: "auto" });
    this.stop = el("button", { class: "stop", hidden: "", on: { click: () => session.stop(null) } }, "■ Stop run");
    this.figures = el("div", { class: "figures-line" });
    this.told = el("div", { class: "told", role: "status" });
    this.result = el("div", {});
    this.space = el("div", { class: "app" });
    this.element = el(
      "div", { class: "rlm-calltree in-notebook", "data-lm-suppress-shortcuts": "" },
      el("div", { class: "head" }, this.badge, this.question, this.stop),
      this.figures, this.told, this.result, this.space,
    );
    for (const event of ["keydown", "keyup", "focusin"]) this.element.addEventListener(event, (each) => this.keys(each));
    for (const event of ["pointerdown", "keydown"]) {
      this.space.addEventListener(event, () => { this.follows = false; }, true);
    }
    place.replaceChildren(this.element);
    this.ticking = setInterval(() => this.tick(), 1000);
    this.theme = new MutationObserver(() => [this.app?.timeline.refresh(), this.app?.input.draw()]);
    this.theme.observe(document.body, { attributeFilter: ["class", "data-jp-theme-name"] });
    this.take(session.model, session.model.rows);
  }

  /** JupyterLab takes keys for itself, but for those within an element that says so. Those with Ctrl are Lab's. */
  keys({ ctrlKey, metaKey }) {
    this.element.toggleAttribute("data-lm-suppress-shortcuts", !ctrlKey && !metaKey);
  }

  end() {
    clearInterval(this.ticking);
    this.theme.disconnect();
  }

  take(model, rows) {
    if (model.rows.length && model !== this.app?.model) {
      this.app = new App(model, this.space, this.host());
      this.shownResult = null;
      this.follows = model.run.running;
    } else if (rows.length) this.app.take(rows);
    if (this.follows) this.follow(model, rows);
    this.say();
    this.drawTimeline();
  }

  /** Until the reader chooses a row, the one that the model is writing now is the chosen one. */
  follow(model, rows) {
    const turn = rows.findLast((row) => row.kind === "turn" && row.level === 1);
    if (!model.run.running) this.app.choose(model.rows[0]);
    else if (turn && turn !== this.app.tree.row) this.app.choose(turn);
    this.follows = model.run.running;
  }

  /** The timeline holds all rows: it is drawn less often than they change. */
  async drawTimeline() {
    const { running } = this.session.model.run;
    const now = performance.now();
    if (running && now < (this.nextTimeline ?? 0)) return;
    this.nextTimeline = Infinity;
    await this.app?.timeline.refresh();
    this.nextTimeline = now + Math.max(TIMELINE_MS, 20 * (performance.now() - now));
  }

  tick() {
    const { run } = this.session.model;
    if (!run.running || !run.now || !this.app) return;
    this.session.listen();
    this.app.tree.draw();
    this.app.detail.update();
    this.say();
    this.drawTimeline();
  }

  say() {
    const { model, live, told } = this.session;
    const { run } = model;
    if (!run.state) return;
    const gone = run.running && !live;
    this.badge.className = `badge ${gone ? "warn" : run.look}`;
    said(this.badge, gone ? "running when this was saved" : run.state);
    said(this.question, run.question);
    this.stop.hidden = !(run.running && live);
    said(this.told, run.running ? told ?? "" : "");
    this.sayFigures(model);
    this.app?.told();
    const key = `${run.answer}${run.error}${Boolean(run.led)}`;
    if (key === this.shownResult) return;
    this.shownResult = key;
    const more = run.answer_cut ? `\n… ${number(run.answer_cut)} more characters: in the first row` : "";
    this.result.replaceChildren(
      ...(run.answer ? [el("div", { class: "answer", dir: "auto" }, run.answer + more)] : []),
      ...(run.error ? [el("div", { class: "failure", dir: "auto" }, run.error)] : []),
    );
    if (run.answer && run.led && this.app) new Led(this.app, this.result.firstChild);
  }

  /** What the tree may ask of the kernel. */
  host() {
    const { session } = this;
    const reading = { get can() { return session.live; }, get busy() { return session.reading; }, ask: () => session.read() };
    return { ask: (indexes) => session.ask(indexes), stop: (row) => this.stopButton(row), reading };
  }

  sayFigures({ run, rows }) {
    const use = usage(run.usage);
    const kinds = (kind, level) => rows.reduce((sum, row) => sum + (row.kind === kind && row.level <= level), 0);
    const count = (amount, noun, many) => (amount ? `${number(amount)} ${amount === 1 ? noun : many}` : "");
    const figures = [
      count(kinds("turn", 1), "turn", "turns"), count(kinds("call", Infinity), "call", "calls"),
      count(kinds("child", Infinity), "child", "children"), tokens(use) && `${tokens(use)} tokens`, price(use),
      duration(run.now?.() ?? run.seconds), rows.length ? idle(rows[0]) : "",
    ];
    const near = run.near.map(([name, used, most]) => el(
      "span", { class: "near", title: name }, `${number(used)} of ${number(most)} ${LIMITS[name]}`,
    ));
    this.figures.replaceChildren(figures.filter(Boolean).join(" · "), ...near);
  }

  stopButton(row) {
    if (!this.session.live || !["run", "child", "call"].includes(row.kind)) return null;
    const node = row.kind === "run" ? null : row.id;
    return el("button", { class: "stop", on: { click: () => this.session.stop(node) } }, `■ Stop ${name(row).toLowerCase()}`);
  }
}

function price(use) {
  if (!use[3] && !use[5]) return "";
  return cost(use) === "unknown" ? "cost unknown" : cost(use);
}

/** Lines of JSON that came packed. */
async function* unpacked(packed) {
  const rest = breather();
  for await (const line of lines([{ form: "gzip", text: () => packed, done() {} }], rest, () => {})) {
    yield JSON.parse(line);
    await rest();
  }
}

export default () => {
  const session = new Session();
  return {
    initialize({ model }) {
      session.begin(model);
    },
    render({ el: place }) {
      const view = new View(session, place);
      session.views.add(view);
      return () => {
        view.end();
        session.views.delete(view);
      };
    },
  };
};
