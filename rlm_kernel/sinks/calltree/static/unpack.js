// Data that came packed, read without holding up the browser for long.

/** Read blocks of data into a model. A block has a `form`, a `text` and, when it is read, is `done` with. */
async function load(model, blocks, progress = () => {}) {
  const rest = breather();
  for await (const line of lines(blocks, rest, progress)) {
    model.take(JSON.parse(line));
    await rest();
  }
}

async function* lines(blocks, rest, progress) {
  if (blocks[0].form !== "gzip") {
    for (const block of blocks) yield* block.text().split("\n");
    return;
  }
  if (!globalThis.DecompressionStream) {
    throw new Error("this browser cannot unpack the data. Chrome 80, Safari 16.4, Firefox 113 and later can");
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

/** The bytes behind base64, piece by piece. */
function packed(blocks, rest, progress) {
  const step = 1 << 14; // divisible by 4, as each block's length is: a piece of base64 is base64
  let [block, text, at] = [0, blocks[0].text(), 0];
  return new ReadableStream({
    async pull(controller) {
      await rest();
      const signs = atob(text.slice(at, at + step));
      const bytes = new Uint8Array(signs.length);
      for (let index = 0; index < signs.length; index += 1) bytes[index] = signs.charCodeAt(index);
      controller.enqueue(bytes);
      at += step;
      if (at < text.length) return;
      blocks[block].done();
      block += 1;
      progress(block / blocks.length);
      if (block === blocks.length) controller.close();
      else [text, at] = [blocks[block].text(), 0];
    },
  });
}
