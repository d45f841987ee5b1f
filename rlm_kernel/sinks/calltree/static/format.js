// How things are said: numbers, durations, the names of kinds and states.

const KINDS = {
  run: "Run", turn: "Turn", cell: "Cell", call: "Call", child: "Child", tool: "Tool", check: "Check", note: "Note",
};
const LABEL_CHARACTERS = 160;
const IDLE_SECONDS = 3;
const SIGNS = { ok: "✓", running: "…", cancelled: "■", refused: "✗", rewrite: "✎", retry: "↻" };
const MILD = new Set(["ok", "running", "cancelled", "rewrite", "retry"]);

const failed = (row) => !MILD.has(row.state);
const asked = (row) => row.kind === "turn" || row.kind === "call";
const look = (row) => (failed(row) ? "bad" : row.state === "ok" ? "ok" : "other");
const number = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, ",");

function tokens(use) {
  const [calls, input, output, , unreported] = use;
  if (!calls) return "";
  return unreported === calls ? "unknown" : `${unreported ? "≥ " : ""}${number(input + output)}`;
}

function cost(use) {
  const [calls, , , dollars, , unpriced] = use;
  if (!calls) return "";
  if (unpriced === calls) return "unknown";
  if (!dollars && !unpriced) return "$0";
  return `${unpriced ? "≥ " : ""}$${dollars.toFixed(dollars && dollars < 0.001 ? 6 : 4)}`;
}

function duration(value) {
  if (value === null || value === undefined) return "";
  if (value < 0.1) return `${(value * 1000).toFixed(0)} ms`;
  if (value < 60) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

/** How long a row took: as it was measured, or between its first and its last event; of one that runs, until now. */
function took(row) {
  if (row.seconds !== null || row.start === null) return row.seconds;
  if (row.end !== null) return row.end - row.start;
  return row.state === "running" && row.run.now ? Math.max(0, row.run.now() - row.start) : null;
}

/** For how long nothing has happened in a session that runs; nothing where that is no time. */
function idle(row) {
  if (row.state !== "running" || !row.run.now || !["run", "child"].includes(row.kind)) return "";
  const silent = row.run.now() - row.touched;
  return silent < IDLE_SECONDS ? "" : `idle ${duration(silent)}`;
}

const flat = (text, width) => text.slice(0, 4 * width).replace(/\s+/g, " ").trim().slice(0, width);

function name(row) {
  return `${KINDS[row.kind]}${row.kind === "run" ? "" : ` ${row.id}`}`.trim();
}

/** What a row says in one line, and what came of it. */
function words(model, row) {
  const said = {};
  for (const [title, index, how] of row.parts) said[title] ??= how === "image" ? "a picture" : model.texts[index];
  const failure = said["Why it failed"];
  const came = {
    call: () => failure ?? said.Reply ?? (row.state === "running" ? "…" : "(empty)"),
    child: () => failure ?? said.Answer,
    tool: () => failure ?? said.Result,
    cell: () => said.Error?.slice(-2000).trimEnd().split("\n").at(-1) ?? said.Printed ?? said.Shown ?? said.Picture,
  }[row.kind]?.();
  const asks = row.kind === "call" ? flat(said.Prompt ?? "", LABEL_CHARACTERS) : model.texts[row.label];
  return [asks, flat(came ?? "", LABEL_CHARACTERS)];
}

/** How a row ended, in a word. */
function ending(row) {
  const ended = Object.fromEntries(row.facts).Ended;
  return ended ?? { ok: "done", error: "failed", cancelled: "stopped" }[row.state] ?? row.state;
}

/** Make an element; strings become text, never markup. */
function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") element.className = value;
    else if (key === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}
