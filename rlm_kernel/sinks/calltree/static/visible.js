// Which rows are there to be seen, and in which order.

const MANY_BELOW = 300; // rows below one

const SHOWN = {
  all: ["everything", () => true],
  asked: ["model calls", asked],
  children: ["child sessions", (row) => row.kind === "child"],
  failed: ["what failed", failed],
  found: ["what the search found", null],
  led: ["what led to the answer", null],
  quoted: ["what the answer quotes", null],
  read: ["who read the chosen part", null],
};

const tokensOf = (use) => use[1] + use[2];
const ORDERS = {
  time: ["as it ran", null],
  cost: ["most expensive first", (use) => use[3]],
  tokens: ["most tokens first", tokensOf],
  long: ["longest first", (use, row) => took(row) ?? 0],
};

/** The rows to be seen. The whole tree keeps its shape and sorts what is side by side; a choice of rows is a list. */
function visible(model, view) {
  const { show, order, folded } = view;
  if (show === "all") return order === "time" ? unfolded(model, folded) : sorted(model, order, folded);
  const chosen = model.inOrder().filter(SHOWN[show][1] ?? ((row) => view[show].has(row.index)));
  const rows = order === "time" ? chosen : mostFirst(chosen, order, (row) => (row.kind === "turn" ? row.own : row.whole));
  rows.forEach(numbered);
  return rows;
}

/** Note where a row is among those beside it; a screen reader says so. */
function numbered(row, at) {
  row.spot = at + 1;
}

function unfolded(model, folded) {
  const rows = [];
  const all = model.inOrder();
  for (let at = 0; at < all.length; at += 1) {
    const row = all[at];
    rows.push(row);
    if (folded.has(row.index)) at += row.below;
    else row.children.forEach(numbered);
  }
  return rows;
}

function sorted(model, order, folded) {
  const rows = [];
  const rest = model.rows.slice(0, 1);
  while (rest.length) {
    const row = rest.pop();
    rows.push(row);
    if (folded.has(row.index)) continue;
    const below = mostFirst(row.children, order, (child) => child.whole);
    below.forEach(numbered);
    for (const child of below.reverse()) rest.push(child);
  }
  return rows;
}

/** Rows by what they used, the most first; equal ones by tokens, then as they ran. */
function mostFirst(rows, order, used) {
  const measure = ORDERS[order][1];
  const most = rows.map((row) => measure(used(row), row));
  const equal = rows.map((row) => tokensOf(used(row)));
  const places = [...rows.keys()];
  places.sort((a, b) => most[b] - most[a] || equal[b] - equal[a] || rows[a].index - rows[b].index);
  return places.map((at) => rows[at]);
}

/** What is folded at first: nothing in a small run; in a large one, cells with many calls. */
function foldedAtFirst(model) {
  const many = model.rows.length > MANY_BELOW ? MANY_BELOW / 10 : MANY_BELOW;
  return new Set(model.rows.filter((row) => row.children.length > many).map((row) => row.index));
}
