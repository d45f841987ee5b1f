"""Children: their task, their input, their model, their limits."""

from __future__ import annotations

from typing import Any

import pytest

from rlm_kernel import RLM, Completion, RLMError, ScriptedModel, journal
from rlm_kernel.events import types as events


def cell(code: str) -> str:
    return f"Here is a cell.\n```repl\n{code}\n```"


def done(expression: str) -> str:
    return cell(f"answer['content'] = {expression}\nanswer['ready'] = True")


def child(messages: list[dict[str, str]]) -> str:
    """Answers with its own context, turned round."""
    return done("context[::-1] if isinstance(context, str) else context")


def heard_by(model: ScriptedModel) -> str:
    return "\n".join(message.content for message in model.requests[0])


def nodes(completion: Completion) -> list[events.NodeStarted]:
    return [event for event in journal.read(completion.run_dir) if isinstance(event, events.NodeStarted)]


async def test_a_childs_task_and_its_input_are_separate() -> None:
    asked = ScriptedModel([done("len(context)")])
    root = ScriptedModel([done("rlm_query('How long is it?', context='x' * 70_000)")])
    completion = await RLM(root, child_model=asked, max_depth=2).acompletion("q", "c")
    assert completion.answer == "70000"
    assert "<question>\nHow long is it?\n</question>" in heard_by(asked)
    assert "70,000 characters" in heard_by(asked)


async def test_with_only_a_prompt_the_prompt_is_the_childs_input() -> None:
    root = ScriptedModel([done("rlm_query('abc')")])
    completion = await RLM(root, child_model=child, max_depth=2).acompletion("q", "c")
    assert completion.answer == "cba"


@pytest.mark.parametrize("value", ["[1, {'a': None}]", "{'x.txt': 'text'}", "'\\ud800 lone \\r\\n'", "'ü' * 3_000_000"])
async def test_an_input_crosses_exactly(value: str) -> None:
    root = ScriptedModel([cell(f"value = {value}\nback = rlm_query('q', context=value)"), done("back == str(value)")])
    asked = ScriptedModel([done("context")])
    completion = await RLM(root, child_model=asked, max_depth=2).acompletion("q", "c")
    assert completion.answer is True


async def test_each_prompt_of_a_batch_may_have_an_input_of_its_own_or_share_one() -> None:
    code = "rlm_query_batched(['a', 'b'], contexts=['12', '34']) + rlm_query_batched(['a', 'b'], context='56')"
    root = ScriptedModel([done(code)])
    completion = await RLM(root, child_model=child, max_depth=2, cache=False).acompletion("q", "c")
    assert completion.answer == ["21", "43", "65", "65"]


async def test_at_the_depth_limit_the_input_stands_behind_the_task_of_a_plain_call() -> None:
    root = ScriptedModel([done("rlm_query('task', context='data')")])
    sub = ScriptedModel(["plain"])
    completion = await RLM(root, sub_model=sub).acompletion("q", "c")
    assert completion.answer == "plain"
    assert heard_by(sub) == "task\n\ndata"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("rlm_query('q', context=object())", "not JSON serializable"),
        ("rlm_query_batched(['a', 'b'], contexts=['c'])", "1 contexts for 2 prompts"),
        ("rlm_query('q', model='openai/gpt-5')", "Unknown model 'openai/gpt-5'. This run has: "),
        ("rlm_query(3)", "a prompt is a str, not int"),
        ("rlm_query('q', context='')", "context= is empty"),
        ("llm_query('q', schema={'type': 'nonsense'})", "nonsense"),
        ("llm_query('q', 5)", "model= is the name of a model, not int"),
        ("llm_query('q', cache='a')", "cache= is True or False"),
        ("rlm_query('q', tools=[len])", "tools= are functions that were defined in a cell"),
        ("llm_query('q', schema=3)", "schema= is a JSON schema"),
    ],
)
async def test_what_cannot_be_asked_is_said_in_the_cell(code: str, message: str) -> None:
    root = ScriptedModel([cell(code), done("1")])
    await RLM(root, child_model=child, max_depth=2).acompletion("q", "c")
    assert message in root.requests[1][-1].content


async def test_each_depth_may_have_its_own_model_and_code_may_name_one() -> None:
    models: dict[Any, Any] = {
        1: ScriptedModel([done("rlm_query('deeper')")], "one"),
        2: ScriptedModel([done("llm_query('plain') + llm_query('fast', model='quick')")], "two"),
        "quick": ScriptedModel(["!"], "three"),
    }
    root = ScriptedModel([done("rlm_query('deep')")], "zero")
    sub = ScriptedModel(["ok"], "sub")
    completion = await RLM(root, sub_model=sub, models=models, max_depth=3).acompletion("q", "c")
    assert completion.answer == "ok!"
    assert [node.model for node in nodes(completion)] == ["zero", "one", "two"]
    assert set(completion.usage_summary.model_usage_summaries) == {"zero", "one", "two", "sub", "three"}


async def test_code_may_choose_a_childs_root_model() -> None:
    special = ScriptedModel([done("'special'")], "special")
    root = ScriptedModel([done("rlm_query('q', model='named')")])
    completion = await RLM(root, models={"named": special}, max_depth=2).acompletion("q", "c")
    assert completion.answer == "special"


async def test_plain_calls_of_a_child_go_to_the_sub_model_too() -> None:
    root = ScriptedModel([done("rlm_query('q')")], "dear")
    asked = ScriptedModel([done("llm_query('plain')")], "child")
    completion = await RLM(root, sub_model=lambda m: "cheap", child_model=asked, max_depth=2).acompletion("q", "c")
    assert completion.answer == "cheap"
    assert completion.usage_summary.model_usage_summaries["dear"].total_calls == 1


async def test_children_inherit_the_options_whole() -> None:
    root = ScriptedModel([done("rlm_query('q')")])
    asked = ScriptedModel([cell("print(budget()['iterations'], tool(2), made)"), done("1")])
    options: dict[str, Any] = {"max_iterations": 7, "tools": {"tool": lambda n: n + 1}, "setup_code": "made = 'before'"}
    await RLM(root, child_model=asked, max_depth=2, **options).acompletion("q", "c")
    heard = asked.requests[1][-1].content
    assert "'limit': 7" in heard
    assert "3 before" in heard


async def test_children_may_have_other_tools_or_none() -> None:
    root = ScriptedModel([done("[f(), rlm_query('q')]")])
    asked = ScriptedModel([done("['f' in globals(), g()]")])
    options: dict[str, Any] = {"tools": {"f": lambda: 1}, "sub_tools": {"g": lambda: 2}}
    completion = await RLM(root, child_model=asked, max_depth=2, **options).acompletion("q", "c")
    assert completion.answer == [1, "[False, 2]"]


async def test_a_child_may_get_functions_that_the_model_wrote() -> None:
    code = "def double(n):\n    return 2 * n"
    root = ScriptedModel([cell(code), done("rlm_query('q', context='abc', tools=[double])")])
    asked = ScriptedModel([done("double(len(context))")])
    completion = await RLM(root, child_model=asked, max_depth=2).acompletion("q", "c")
    assert completion.answer == "6"


async def test_a_childs_answer_may_have_a_schema_and_comes_back_as_a_value() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    asked = ScriptedModel([done("{'n': 'many'}"), done("{'n': 4}")])
    root = ScriptedModel([done(f"rlm_query('count', context='abcd', schema={schema})['n'] + 1")])
    completion = await RLM(root, child_model=asked, max_depth=2).acompletion("q", "c")
    assert completion.answer == 5
    assert "not accepted" in asked.requests[1][-1].content


async def test_a_child_that_answers_with_nothing_is_an_error_in_the_cell() -> None:
    asked = ScriptedModel([done("''")])
    root = ScriptedModel([cell("rlm_query('q')"), done("1")])
    completion = await RLM(root, child_model=asked, max_depth=2).acompletion("q", "c")
    assert completion.answer == 1
    assert "The child ended without an answer" in root.requests[1][-1].content


async def test_a_child_whose_model_fails_is_an_error_in_its_slot() -> None:
    def fails(messages: Any) -> str:
        raise RLMError("no such luck")

    root = ScriptedModel([done("[r.startswith('Error:') for r in rlm_query_batched(['a', 'b'])]")])
    completion = await RLM(root, child_model=fails, max_depth=2).acompletion("q", "c")
    assert completion.answer == [True, True]


async def test_only_so_many_children_run_at_once() -> None:
    now = most = 0

    async def counting(messages: Any) -> str:
        nonlocal now, most
        now += 1
        most = max(most, now)
        import asyncio

        await asyncio.sleep(0.02)
        now -= 1
        return done("1")

    root = ScriptedModel([done("len(rlm_query_batched([str(i) for i in range(9)]))")])
    completion = await RLM(root, child_model=counting, max_depth=2, max_children=3).acompletion("q", "c")
    assert completion.answer == 9
    assert most <= 3
