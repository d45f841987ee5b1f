// Python code in colours: pieces of text with a class, never markup.

const KEYWORDS = new Set((
  "and as assert async await break class continue def del elif else except finally for from global if import in is "
  + "lambda nonlocal not or pass raise return try while with yield match case None True False"
).split(" "));
const TOKEN = new RegExp([
  /(?<comment>#[^\n]*)/,
  /(?<string>[rbfRBF]{0,2}(?:"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?))/,
  /(?<number>\b\d[\d_.xobA-Fa-fej]*)/,
  /(?<word>[\p{L}_][\p{L}\p{N}_]*)/,
].map(({ source }) => source).join("|"), "gu");

/** The text in pieces: strings, and elements for what has a colour. */
function highlighted(text) {
  const pieces = [];
  let last = 0;
  for (const found of text.matchAll(TOKEN)) {
    const kind = kindOf(found, text);
    if (!kind) continue;
    pieces.push(text.slice(last, found.index), el("span", { class: `code-${kind}` }, found[0]));
    last = found.index + found[0].length;
  }
  return [...pieces, text.slice(last)];
}

function kindOf({ 0: token, index, groups }, text) {
  if (groups.comment) return "comment";
  if (groups.string) return "string";
  if (groups.number) return "number";
  if (KEYWORDS.has(token)) return "keyword";
  return text[index + token.length] === "(" ? "called" : "";
}
