"""The notebook: valid, runnable, with the outputs the run had, and harmless wherever it is read."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from rlm_kernel import RLM, ModelError, OptionError, ScriptedModel, Source, journal
from rlm_kernel.events import types as events
from rlm_kernel.exports import export
from rlm_kernel.exports.notebook import to_ipynb, to_notebook
from tests.events import stories
from tests.host.script import cell, done
from tests.sinks import hostile

TEXTS = hostile.TEXTS | {
    "links": (
        "[a](javascript:alert(1)) ![b](https://x.example/b.png) <javascript:alert(1)> [c]: javascript:alert(1)\n"
        "[d][c] https://x.example www.x.example a@x.example\n\n[c]: javascript:alert(1)\n"
    ),
    "mathematics": (
        "$\\href{javascript:alert(1)}{x}$ $$x$$ \\(x\\) \\[x\\] \\begin{equation}\\unicode{x}\\end{equation} `$x$`"
    ),
    "blank lines": "</pre>\n\n</details>\n\n<img src=x onerror=alert(1)>\n\n    <script>alert(1)</script>\n",
    "blocks": "~~~html\n<b>\n~~~\n<!--\n<![CDATA[\n<?x\n<iframe src=x>\n<svg/onload=alert(1)>\n| a |\n|--|\n",
}
"""Texts that try to be more than that, also in Markdown."""

_MATHEMATICS = re.compile(r"\$[^$\n]*\$|\\[(\[]|\\begin")

NAMES = """
context = "The keeper Agnes Holloway keeps bees."
answer = {"content": "", "ready": False}
def llm_query(prompt):
    return {"Who?": "Agnes"}[prompt]
"""
"""What a kernel has that runs it: the names of the REPL, and recorded replies."""


class Page(HTMLParser):
    """What a browser would run or load, in a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self._in_code = 0
        self.tags: list[str] = []
        self.texts: list[str] = []
        """Where mathematics is looked for: pieces of text outside of code."""
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._in_code += tag in ("pre", "code")

    def handle_endtag(self, tag: str) -> None:
        self._in_code -= tag in ("pre", "code")

    def handle_data(self, data: str) -> None:
        if not self._in_code:
            self.texts.append(data)


def page_of(book: Any, template: str) -> str:
    exporter = pytest.importorskip("nbconvert", reason="a page is made by nbconvert, which JupyterLab brings")
    body: str = exporter.HTMLExporter(template_name=template).from_notebook_node(book)[0]
    return body


def rendered(source: str) -> Page:
    """The page that nbconvert, which removes nothing, makes of a Markdown cell."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(source)])
    return Page(page_of(book, "basic"))


def markdown_of(book: Any) -> str:
    return "\n\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")


def outputs_of(book: Any) -> list[list[Any]]:
    """The outputs of the run's cells, with tracebacks as their error's name and what it says."""
    return [_joined([_comparable(output) for output in cell.outputs]) for cell in cells_of(book)]


def _joined(outputs: list[Any]) -> list[Any]:
    """Outputs with what one stream printed in one piece: how it is cut is chance."""
    joined: list[Any] = []
    for output in outputs:
        if joined and output[0] == "stream" and joined[-1][:2] == output[:2]:
            output = (*output[:2], joined.pop()[2] + output[2])
        joined.append(output)
    return joined


def cells_of(book: Any) -> list[Any]:
    """The code cells that are the run's."""
    return [cell for cell in book.cells if cell.cell_type == "code" and is_the_runs(cell)]


def is_the_runs(cell: Any) -> bool:
    return cell.source not in ("", NAMES) and not cell.source.startswith("%load_ext rlm_magic\n%rlm_names ")


def _comparable(output: Any) -> Any:
    kind = output["output_type"]
    if kind == "error":
        return kind, output["ename"], output["evalue"]
    if kind == "stream":
        return kind, output["name"], output["text"]
    return kind, dict(output["data"])


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook of a real run."""
    picture = "from IPython.display import Image, display\nimport base64\n"
    pixel = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
    replies = [
        "I look **first**.\n```repl\nimport sys\nprint(len(context))\nprint('careful', file=sys.stderr)\n```",
        cell(f"{picture}display(Image(base64.b64decode('{pixel}'), format='png'))"),
        cell("1 / 0"),
        cell("who = llm_query('Who?')\nprint(who)") + "\nand\n```repl\nraise ValueError('a\\nb: c')\n```",
        done("who"),
    ]
    rlm = RLM(ScriptedModel(replies), sub_model=lambda m: "Agnes", runs_dir=tmp_path_factory.mktemp("runs"))
    completion = rlm.completion("Who keeps bees?", context="The keeper Agnes Holloway keeps bees.")
    assert completion.answer == "Agnes"
    return to_notebook(journal.read(completion.run_dir))


class TestARealRun:
    def test_it_is_valid_and_says_which_kernel_runs_it(self, book: Any) -> None:
        nbformat.validate(book)
        with open("share/jupyter/kernels/rlm/kernel.json", encoding="utf-8") as file:
            spec = json.load(file)
        kernel = {"name": "rlm", "display_name": spec["display_name"], "language": spec["language"]}
        assert book.metadata.kernelspec == kernel
        assert (book.nbformat, book.nbformat_minor) == (4, 5)
        assert book.metadata.rlm_kernel.stop_reason == "answered"

    def test_its_outputs_are_those_of_the_run(self, book: Any) -> None:
        streams, picture, failed, asked, raised, answered = outputs_of(book)
        assert sorted(streams) == [("stream", "stderr", "careful\n"), ("stream", "stdout", "37\n")]
        assert picture[0][0] == "display_data"
        assert list(picture[0][1]) == ["text/plain", "image/png"]
        assert failed == [("error", "ZeroDivisionError", "division by zero")]
        assert asked == [("stream", "stdout", "Agnes\n")]
        assert raised == [("error", "ValueError", "a\nb: c")]
        assert answered == []

    @pytest.mark.parametrize("kernel", ["rlm", "python3"])
    def test_it_runs_again_with_the_same_outputs(self, book: Any, kernel: str) -> None:
        again = nbformat.from_dict(book)
        again.cells = [
            cell if cell.cell_type != "code" or is_the_runs(cell) else nbformat.v4.new_code_cell(NAMES)
            for cell in again.cells
        ]
        NotebookClient(again, kernel_name=kernel, timeout=60).execute()
        assert outputs_of(again) == outputs_of(book)

    def test_the_models_words_have_no_code_and_keep_their_emphasis(self, book: Any) -> None:
        text = markdown_of(book)
        assert "I look **first**." in text
        assert "```" not in text
        assert "Who keeps bees?" in text
        page = rendered(text)
        assert "strong" in page.tags
        assert page.tags.count("details") == 2

    def test_it_becomes_a_page(self, book: Any) -> None:
        body = page_of(book, "lab")
        assert "ZeroDivisionError" in body
        assert 'src="data:image/png;base64' in body


def test_tracebacks_keep_their_colours() -> None:
    red = "\x1b[31mNameError\x1b[39m: name 'x' is not defined"
    stream = stories.numbered(
        *stories.began(),
        *stories.turn(1, "x", *stories.cell("x", stories.output(red, "error"), status="error")),
        *stories.ended(None, "error"),
    )
    (output,) = cells_of(to_notebook(stream))[0].outputs
    assert output.traceback == [red]
    assert (output.ename, output.evalue) == ("NameError", "name 'x' is not defined")
    assert cells_of(to_notebook(stream))[0].metadata.tags == ["raises-exception"]


@pytest.mark.parametrize("kind", ["display_data", "execute_result"])
def test_only_text_and_pictures_of_what_a_model_shows(kind: Any) -> None:
    data = {
        "text/plain": "<Figure>",
        "text/html": "<script>alert(1)</script>",
        "application/javascript": "alert(1)",
        "image/svg+xml": "<svg onload=alert(1)>",
        "text/markdown": "[x](javascript:alert(1))",
        "text/latex": "$x$",
        "image/png": "iVBORw0KGgo=\n",
        "image/jpeg": '"><script>',
        "application/vnd.jupyter.widget-view+json": {"model_id": "1"},
    }
    shown = events.CellOutput(cell=1, kind=kind, data=data)
    stream = stories.numbered(*stories.began(), *stories.turn(1, "x", *stories.cell("x", shown)))
    (output,) = cells_of(to_notebook(stream))[0].outputs
    assert dict(output.data) == {"text/plain": "<Figure>", "image/png": "iVBORw0KGgo=\n"}
    assert "alert" not in to_ipynb(stream)


def test_sub_calls_are_a_tree_with_children_in_it() -> None:
    book = to_notebook(stories.mystery())
    (tree,) = [cell.source for cell in book.cells if cell.cell_type == "markdown" and "12 sub-calls" in cell.source]
    page = rendered(tree)
    assert page.tags.count("details") == page.tags.count("summary") == 1 + 12 + 1 + 1 + 1
    assert "He was in the pantry." in tree
    assert "\n" not in tree


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_in_a_text_has_an_effect(name: str) -> None:
    book = to_notebook(hostile.run(TEXTS[name]))
    nbformat.validate(book)
    for each in book.cells:
        if each.cell_type != "markdown":
            continue
        page = rendered(each.source)
        allowed = {"details", "summary", "pre", "div", "span", "p", "i", "em", "strong", "ul", "ol", "li", "hr", "br"}
        ours = allowed | {"h1", "h2", "h3", "h4", "h5", "h6", "a"}  # nbconvert links a heading to itself
        assert set(page.tags) <= ours, each.source[:500]
        for tag, attribute, value in page.attributes:
            assert attribute in ("class", "id") or (tag == "a" and value.startswith("#")), (tag, attribute, value)
        assert not [text for text in (each.source, *page.texts) if _MATHEMATICS.search(text)]


def test_the_same_events_make_the_same_file() -> None:
    assert to_ipynb(stories.mystery()) == to_ipynb(stories.mystery()) == export(stories.mystery(), "notebook")
    nbformat.validate(nbformat.reads(to_ipynb(stories.mystery()), as_version=4))


def test_any_prefix_of_a_run_is_a_notebook() -> None:
    whole = stories.mystery()
    for length in range(len(whole)):
        nbformat.validate(to_notebook(whole[:length]))


def test_long_texts_are_cut_and_say_so_but_code_is_whole() -> None:
    code = f"x = '{'y' * 50_000}'"
    stream = stories.numbered(
        *stories.began(), *stories.turn(1, "w" * 30_000, *stories.cell(code)), *stories.ended("z" * 30_000)
    )
    book = to_notebook(stream, characters=1000)
    assert cells_of(book)[0].source == code
    assert markdown_of(book).count("29,000 more characters left out") == 2
    assert "left out" not in markdown_of(to_notebook(stream, characters=None))


def test_without_nbformat_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nbformat", None)
    with pytest.raises(OptionError, match="pip install nbformat"):
        to_notebook(stories.mystery())


CODE = [
    "parts = llm_query_batched([f'{context} {n}' for n in range(3)])\nprint(parts)",
    "child = rlm_query('what is it?', context=parts)\nprint(child, double(4), add(1, 2))",
    "for word in ('one', 'two'):\n    print(await allm_query(word))",
    "llm_query('fails')",
    "import random\nprint(llm_query(str(random.random())))",
    "answer['content'] = child\nanswer['ready'] = True\nprint(sorted(set(context.split())))",
]


def upper(messages: list[dict[str, str]]) -> str:
    """The model of sub-calls."""
    if messages[-1]["content"] == "fails":
        raise ModelError("the network is down")
    return messages[-1]["content"].upper()


@pytest.mark.parametrize("kernel", ["rlm", "python3"])
@pytest.mark.parametrize("own_file", [False, True])
async def test_a_run_is_done_again_in_a_notebook_with_its_journal(kernel: str, own_file: bool, tmp_path: Path) -> None:
    """The RLM kernel, and any other with the magic."""
    (tmp_path / "input.txt").write_text("some input")
    completion = await RLM(
        ScriptedModel([cell(code) for code in CODE]),
        sub_model=upper,
        child_model=ScriptedModel([done("context[0]")]),
        max_depth=2,
        tools={"double": Source("def double(x): return 2 * x"), "add": lambda a, b: a + b},
    ).acompletion("a question", tmp_path / "input.txt" if own_file else "some input")
    assert completion.answer == "SOME INPUT 0"
    book = nbformat.reads(completion.export("notebook"), as_version=4)
    assert book.metadata.kernelspec.name == "rlm"
    assert "run them only if you would run it with your rights" in markdown_of(book)
    again = nbformat.from_dict(book)
    for each in again.cells:
        if each.cell_type == "code":
            each.outputs = []
    await NotebookClient(again, kernel_name=kernel, timeout=60).async_execute()
    names = next(each for each in again.cells if each.cell_type == "code").outputs[0].text
    assert "From the journal:" in names
    assert {"context", "llm_query", "rlm_query", "double", "add"} <= set(names.replace(",", " ").split())
    assert outputs_of(again) == outputs_of(book)
    assert len(list(Path(completion.run_dir).parent.glob("2*"))) == 1, "nothing was asked, and no run was made"
