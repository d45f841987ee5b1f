// One text of the chosen row, page by page where it is long.

const PAGE_CHARACTERS = 20_000;
const MARKS = 2000;

/** One text: a title, its size, a button that copies it, and the text or a page of it. */
class Part {
  constructor(title, text, how, { pattern, length }) {
    this.title = title;
    this.how = how;
    this.text = text;
    this.length = length ?? text.length;
    this.pattern = pattern;
    this.page = 0;
    this.pre = el("pre", { class: how, ...(how === "code" ? { dir: "ltr" } : {}), tabindex: "0", role: "group", "aria-label": title });
    this.pages = el("span", { class: "pages" });
    const button = el("button", { "aria-label": `Copy: ${title}` }, "Copy");
    button.addEventListener("click", async () => {
      button.textContent = (await copied(this.text, this.element)) ? "Copied" : "Could not copy";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    this.size = el("small", {});
    this.element = el(
      "section", { class: "part" },
      el("div", { class: "bar" }, el("h3", {}, title), this.size, this.pages, button), this.pre,
    );
    this.draw();
  }

  /** Take what has become of the text. */
  take(text, length = text.length) {
    if (text === this.text && length === this.length) return;
    const atEnd = this.pre.scrollTop + this.pre.clientHeight > this.pre.scrollHeight - 20;
    [this.text, this.length] = [text, length];
    this.draw();
    if (atEnd) this.pre.scrollTop = this.pre.scrollHeight;
  }

  /** Where a page begins; a sign of two code units is not cut. */
  bound(page) {
    const at = page * PAGE_CHARACTERS;
    const code = this.text.charCodeAt(at);
    return code >= 0xdc00 && code <= 0xdfff ? at + 1 : at;
  }

  draw() {
    const from = this.bound(this.page);
    const text = this.text.slice(from, this.bound(this.page + 1));
    this.pre.replaceChildren(...this.marked(text, from));
    const said = `${number(this.length)} character${this.length === 1 ? "" : "s"}`;
    this.size.textContent = this.text.length < this.length ? `the first ${number(this.text.length)} of ${said}` : said;
    const count = Math.ceil(this.text.length / PAGE_CHARACTERS);
    if (count < 2) return;
    const turn = (step, sign, title) => {
      const button = el("button", { "aria-label": title, on: { click: () => this.turnTo(this.page + step) } }, sign);
      button.disabled = this.page + step < 0 || this.page + step >= count;
      return button;
    };
    this.pages.replaceChildren(
      turn(-1, "‹", "Previous page"),
      ` page ${number(this.page + 1)} of ${number(count)} `,
      turn(1, "›", "Next page"),
    );
  }

  turnTo(page) {
    this.page = page;
    this.draw();
    this.pre.scrollTop = 0;
  }

  marked(text, from) {
    const pattern = this.pattern();
    if (!pattern?.test(text)) return this.how === "code" ? highlighted(text) : [text];
    pattern.lastIndex = 0;
    const pieces = [];
    let last = 0;
    for (const found of text.matchAll(pattern)) {
      if (pieces.length > 2 * MARKS) break;
      pieces.push(text.slice(last, found.index), el("mark", { "data-at": from + found.index }, found[0]));
      last = found.index + found[0].length;
    }
    return [...pieces, text.slice(last)];
  }

  goTo(at) {
    let page = Math.floor(at / PAGE_CHARACTERS);
    if (at < this.bound(page)) page -= 1;
    if (page !== this.page) this.turnTo(page);
    const mark = this.pre.querySelector(`mark[data-at="${at}"]`);
    mark?.classList.add("here");
    (mark ?? this.element).scrollIntoView({ block: "center" });
  }
}

/** Put a text on the clipboard; from a file some browsers only know the old way. */
async function copied(text, near) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el("textarea", { class: "away" });
    area.value = text;
    near.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
