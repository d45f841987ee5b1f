"""Code on ``README.md`` and ``docs/coming-from.md`` runs over scripted models; ``docs/options.md`` is up to date."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import re
from pathlib import Path
from typing import Any

import pytest

from rlm_kernel import ScriptedModel
from rlm_kernel.events.values import Usage
from rlm_kernel.host import models
from rlm_kernel.host.providers import ModelOptions, Reply
from tests import options_page
from tests.host.script import cell, done

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)[^)]*\)")
PRINTED = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)
"""What a page says beside a line that prints."""
BOOK = (
    "Chapter 1. Pierre inherits in chapter 24. Pierre is glad. Chapter 2. The keeper Agnes Holloway keeps bees. "
    "Chapter 3. The treaty was signed at Skarholm in 1747."
)

TURNS: dict[str, list[str]] = {
    # README.md
    "Which chapter first names the murderer?": [done("llm_query(f'{context}\\n\\nWho?')")],
    "How many chapters are there?": [cell("n = context.count('Chapter')\nprint(n)"), done("n")],
    "Which of them was added later?": [done("f'{context[\"notes.txt\"][:9]} of {n}'")],
    "What has ACME gained since we bought it?": [done("price('ACME') - bought_at['ACME']")],
    "Which treaty ends the book?": [
        done("{'year': 'long ago', 'place': 'Skarholm'}"),
        done("{'year': context[-5:-1], 'place': 'Skarholm'}"),
    ],
    "Who is mentioned most?": [
        cell("names = llm_query_batched([f'{part}\\n\\nWho is named?' for part in context.split('Chapter ')[1:]])"),
        cell("names = llm_query_batched([f'{part}\\n\\nWho is named?' for part in context.split('Chapter ')[1:]])"),
        done("max(names, key=lambda name: context.count(name))"),
    ],
    # docs/coming-from.md
    "Who inherits, and in which chapter?": [
        cell("who, where = llm_query_batched([f'{context}\\n\\nWho inherits?', f'{context}\\n\\nIn which chapter?'])"),
        done("f'{who}, in {where}'"),
    ],
    "Who is the keeper?": [
        cell("import re\nname = re.search(r'keeper (\\w+ \\w+)', context)[1]\nprint(name)"),
        "It is settled.\nFINAL_VAR(name)",
    ],
    "And what does she keep?": [done("re.search(f'{name} keeps (\\\\w+)', context)[1]")],
    "When and where was the treaty signed?": [
        done("dict(zip(('place', 'year'), re.search(r'at (\\w+) in (\\d+)', context['book']).groups()))").replace(
            "answer[", "import re\nanswer[", 1
        )
    ],
    "What does the archive say?": [done("[fetch('letters/1', token), words(context)]")],
}
"""What the root model replies to each question of the pages, turn by turn."""

SAID = {"Who inherits?": "Pierre", "In which chapter?": "chapter 24", "Who is named?": "", "Who?": "nobody"}
"""What the model of sub-calls replies to what its prompt ends with."""


def reply(messages: list[dict[str, str]]) -> Reply:
    """Play the root, which has a system prompt, or the model of sub-calls."""
    asked = messages[0]["content"]
    if messages[0]["role"] == "system":
        question = next(question for question in TURNS if question in messages[1]["content"])
        text = TURNS[question][sum(message["role"] == "assistant" for message in messages)]
    else:
        text = next(said for ending, said in SAID.items() if asked.endswith(ending))
        text = text or re.findall(r"[A-Z]\w+", asked)[-2]
    return Reply(text, Usage.of_call(1000, 10))


def stand_in(model: Any, options: ModelOptions) -> ScriptedModel:
    """Be the model of that name."""
    assert isinstance(model, str)
    assert re.fullmatch(r"\w+/[\w.-]+", model)
    return ScriptedModel(reply, name=model)


async def run(code: str, page: str, names: dict[str, Any]) -> str:
    """Run a block as a notebook's cell, which may await; return what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        made = eval(compile(code, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if inspect.isawaitable(made):
            await made
    return printed.getvalue()


@pytest.mark.parametrize(("page", "least"), [("README.md", 8), ("docs/coming-from.md", 4)])
async def test_the_code_of_a_page_runs_and_prints_what_it_says(
    page: str, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "resolve", stand_in)
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "__main__", "book": BOOK}
    ran = 0
    for (tag, code), (next_tag, output) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if tag != "python" or code.startswith("%"):
            continue
        printed = await run(code, page, names)
        ran += 1
        if not next_tag and output and not output.startswith("%"):
            assert printed == output, code
        elif said := PRINTED.findall(code):
            assert printed.splitlines()[-len(said) :] == said, code
    assert ran >= least


def test_the_tables_of_options_are_what_their_classes_say() -> None:
    assert options_page.markdown() in options_page.PAGE.read_text(encoding="utf-8"), (
        "python -m tests.options_page writes it"
    )


def test_no_option_is_missing_from_the_page() -> None:
    assert options_page.missing() == set()
    for group in options_page.GROUPS.values():
        assert options_page.descriptions(group).keys() == {field.name for field in options_page.fields(group)}


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_is_there(page: str) -> None:
    text = BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in LINK.findall(text) if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize(
    "room",
    [
        "rlm_kernel/host",
        "rlm_kernel/kernel",
        "rlm_kernel/journal",
        "rlm_kernel/exports",
        "rlm_kernel/imports",
        "rlm_kernel/sinks",
        "rlm_magic",
    ],
)
def test_the_readme_of_a_room_names_every_file_in_it_and_no_other(room: str) -> None:
    folder = ROOT / room
    files = {path.name for path in folder.glob("*.py") if not path.name.startswith("__")}
    folders = {f"{path.parent.name}/" for path in folder.glob("*/*.py")}
    rows = [line for line in (folder / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([\w.]+/?)`", row.split("|")[1])}
    assert named == files | folders
