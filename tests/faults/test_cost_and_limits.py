"""What goes wrong elsewhere with cost, speed and limits (faults 26 to 39), and how it goes here."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rlm_kernel import RLM, Completion, OptionError, ScriptedModel
from rlm_kernel.events import types as events
from rlm_kernel.events.values import Usage
from rlm_kernel.host.providers import Reply
from tests.host.script import cell, done, events_of, heard
from tests.providers.fake_servers import AGAIN, FakeServer, Item, Request, Status, Text

OUTPUT_TOKENS = 16
COST = 0.16
"""Of one call with as many output tokens."""
PRICES = {f"demo/{name}": (0, 10_000) for name in ("root", "child", "sub")}
BOTH = pytest.mark.parametrize("provider", ["openai", "anthropic"])


def priced(text: str) -> Reply:
    return Reply(text, Usage.of_call(10, OUTPUT_TOKENS))


def shout(messages: list[dict[str, str]]) -> str:
    return messages[-1]["content"].upper()


def serve(root: Sequence[Item], sub: Callable[[str], Item]) -> Callable[[Request], Item]:
    """Serves the root model's turns in order, and sub-calls by their prompts."""

    def answer(request: Request) -> Item:
        messages = request.body["messages"]
        if request.body.get("system") or messages[0]["role"] == "system":
            turns: int = sum(message["role"] == "assistant" for message in messages)
            return root[turns]
        return sub(request.prompt)

    return answer


async def over(server: FakeServer, model: str, **options: Any) -> Completion:
    """A run whose models are behind a real SDK."""
    url = server.anthropic_url if model.startswith(("anthropic/", "azure/")) else server.openai_url
    return await RLM(model, base_url=url, api_key="sk-test", **options).acompletion("q", "c")


async def test_children_spend_from_the_account_of_the_whole_tree() -> None:
    """3.3, fault 26: a child spends five times the limit, and the run ends as if it had cost nothing."""
    loop = "n = 0\nwhile True:\n  answer['content'] = n\n  llm_query(f'{n}'); n += 1"
    root = ScriptedModel([priced(done("rlm_query('spend')"))], "demo/root")
    child = ScriptedModel([priced(cell(loop))], "demo/child")
    sub = ScriptedModel(lambda messages: priced("x"), "demo/sub")
    rlm = RLM(root, child_model=child, sub_model=sub, max_depth=2, max_cost=1.0, prices=PRICES)
    completion = await rlm.acompletion("q", "c")
    assert (completion.answer, completion.stop_reason) == ("4", "max_cost")
    assert completion.usage.calls == 1 + 1 + len(sub.requests) == 6
    assert completion.cost == pytest.approx(6 * COST)
    assert completion.tree.root.usage.cost == pytest.approx(COST)
    assert completion.tree.root.subtree_usage.cost == completion.cost


@BOTH
async def test_each_call_of_a_batch_has_its_own_usage(provider: str) -> None:
    """3.3, fault 27: all calls of a batch are told the tokens of the last one."""
    root = [cell("replies = llm_query_batched(['a', 'bbb', 'cc'])"), done("len(replies)")]
    with FakeServer(serve(root, lambda prompt: Text("x", (10 + len(prompt), len(prompt))))) as server:
        completion = await over(server, f"{provider}/any")
    prompts = {event.call: event.prompt for event in events_of(completion, events.CallRequested)}
    used = {prompts[event.call]: event.usage for event in events_of(completion, events.CallFinished)}
    assert {prompt: (u.input_tokens, u.output_tokens) for prompt, u in used.items()} == {
        "a": (11, 1), "bbb": (13, 3), "cc": (12, 2)
    }  # fmt: skip
    turns = events_of(completion, events.ModelReplied)
    assert completion.usage.tokens == 42 + sum(turn.usage.tokens for turn in turns)


async def test_a_repeated_sub_call_is_paid_once_and_marked(tmp_path: Path) -> None:
    """3.3, fault 28: the same sub-problem, met again, is paid again."""
    batch = "got = llm_query_batched(['a', 'b', 'a'])\n"
    more = "[*got, llm_query('a'), llm_query('a', model='demo/other'), llm_query('b', cache=False)]"

    async def run(cache: Any) -> tuple[Completion, int, int]:
        sub, other = ScriptedModel(shout, "demo/sub"), ScriptedModel(shout, "demo/other")
        rlm = RLM(ScriptedModel([cell(batch), done(more)]), sub_model=sub, models={"other": other}, cache=cache)
        completion = await rlm.acompletion("q", "c")
        assert completion.answer == ["A", "B", "A", "A", "A", "B"]
        return completion, len(sub.requests), len(other.requests)

    completion, *asked = await run(True)
    assert asked == [3, 1]
    assert [call.cached for call in completion.tree.root.calls] == [False, False, True, True, False, False]
    assert completion.usage.calls == 2 + 4
    assert (await run(False))[1:] == (5, 1)
    assert (await run(tmp_path))[1:] == (3, 1)
    assert (await run(tmp_path))[1:] == (1, 0), "another run with the same folder"


async def test_a_tree_that_fans_out_stops_at_a_limit_and_every_view_says_which() -> None:
    """3.3, fault 29: with each level a run costs many times more, and nothing stops it, or says what did."""
    spread = "parts = rlm_query_batched([f'{context}/{i}' for i in range(3)])"
    rlm = RLM(lambda messages: cell(spread), sub_model=shout, max_depth=9, max_calls=5, max_iterations=9)
    completion = await rlm.acompletion("q", "c")
    assert completion.stop_reason == "max_calls"
    assert len(events_of(completion, events.CallRequested)) == 5
    assert {(event.limit, event.maximum) for event in events_of(completion, events.LimitHit)} == {("max_calls", 5)}
    shown = completion._repr_mimebundle_()
    assert "stopped by max_calls" in shown["text/plain"]
    assert "stopped by max_calls" in shown["text/html"]


async def test_code_can_read_the_budget_and_choose_among_models_by_alias() -> None:
    """3.3, fault 30: code cannot see what is left, one sub-model has to do, time and money are not limited."""
    fast = ScriptedModel(lambda messages: priced("from fast"), "demo/sub")
    root = ScriptedModel([priced(done("[budget(), llm_query('x', model='fast'), budget()]"))], "demo/root")
    limits: dict[str, Any] = {"max_calls": 9, "max_cost": 1.0, "max_tokens": 50_000, "max_seconds": 60}
    rlm = RLM(root, sub_model=ScriptedModel([], "demo/child"), models={"fast": fast}, prices=PRICES, **limits)
    before, reply, after = (await rlm.acompletion("q", "c")).answer
    assert reply == "from fast"
    assert {f"max_{name}": left["limit"] for name, left in before.items()}.items() >= limits.items()
    assert (before["calls"]["left"], after["calls"]["left"]) == (9, 8)
    assert (before["cost"]["used"], after["cost"]["used"]) == (pytest.approx(COST), pytest.approx(2 * COST))
    assert after["tokens"]["used"] == 2 * (10 + OUTPUT_TOKENS)
    assert before["seconds"]["used"] <= after["seconds"]["used"] < 60


async def test_repeats_of_a_run_are_measured_independently() -> None:
    """3.3, fault 31: gains that others could not reproduce, from single runs without a spread."""
    draws = iter("abc")
    sub = ScriptedModel(lambda messages: priced(next(draws)), "demo/sub")
    root = ScriptedModel([priced(done("llm_query('the same')"))] * 3, "demo/root")
    rlm = RLM(root, sub_model=sub, prices=PRICES)
    completions = [await rlm.acompletion("q", "c") for _ in range(3)]
    assert [c.answer for c in completions] == ["a", "b", "c"], "a repeat was answered from the one before"
    assert [c.cost for c in completions] == [pytest.approx(2 * COST)] * 3
    assert [(c.usage.calls, c.cells) for c in completions] == [(2, 1)] * 3
    assert len({c.run_dir for c in completions}) == 3


async def test_by_default_there_is_one_level_and_children_are_plain_calls() -> None:
    """3.3, fault 32: deeper recursion makes answers worse and a hundred times slower, where nobody asked for it."""
    root = ScriptedModel([done("[rlm_query('task', context='data'), *rlm_query_batched(['one'])]")])
    sub = ScriptedModel(shout)
    completion = await RLM(root, sub_model=sub).acompletion("q", "c")
    assert completion.answer == ["TASK\n\nDATA", "ONE"]
    assert len(events_of(completion, events.NodeStarted)) == 1
    assert completion.usage.calls == 3
    assert "no child gets a REPL" in root.requests[0][0].content


async def test_the_first_turn_can_answer_and_each_turn_says_what_it_used() -> None:
    """3.3, fault 33: turns that only look what the input is, long prompts, and no word of which turn used how much."""
    text = "The door code is 7305.\n" * 3 + "x" * 100_000
    replies = [Reply(cell("1"), Usage.of_call(100, 10)), Reply(done("7305"), Usage.of_call(150, 20))]
    root, small = ScriptedModel(replies), ScriptedModel([done("1")])
    completion = await RLM(root).acompletion("q", text)
    await RLM(small, prompt="small_model", preview=False).acompletion("q", text)
    assert "The door code is 7305." in heard(root, 0)
    assert "The door code is 7305." not in heard(small, 0)
    assert len(small.requests[0][0].content) < len(root.requests[0][0].content) < 4_000
    assert [turn.usage.tokens for turn in completion.tree.root.iterations] == [110, 170]
    shown = completion._repr_mimebundle_()["text/html"]
    assert "110 tokens" in shown
    assert "170 tokens" in shown


TOGETHER = {
    "a batch": done("llm_query_batched(list('abcd'))"),
    "gather": done("await asyncio.gather(*map(allm_query, 'abcd'))"),
    "threads": done("list(ThreadPoolExecutor(4).map(llm_query, 'abcd'))"),
    "spawned in one cell, joined in the next": cell("tasks = [asyncio.create_task(allm_query(p)) for p in 'abcd']")
    + "\n"
    + done("[await task for task in tasks]"),
}


@pytest.mark.parametrize("reply", TOGETHER.values(), ids=TOGETHER)
async def test_sub_calls_run_at_once_however_they_are_written(reply: str) -> None:
    """3.3, fault 34: sub-calls wait for each other, one after the other."""
    all_four = asyncio.Barrier(4)

    async def sub(messages: list[dict[str, str]]) -> str:
        async with asyncio.timeout(20):
            await all_four.wait()
        return shout(messages)

    setup = "import asyncio\nfrom concurrent.futures import ThreadPoolExecutor"
    completion = await RLM(ScriptedModel([reply]), sub_model=sub, setup_code=setup).acompletion("q", "c")
    assert completion.answer == ["A", "B", "C", "D"]


@BOTH
async def test_a_batch_is_bounded_tried_again_and_fails_only_where_it_must(provider: str) -> None:
    """3.3, fault 35: a batch overloads the provider, and one refusal fails all of it."""
    lock, seen, refused = threading.Lock(), Counter[str](), "7"
    now = peak = 0

    def sub(prompt: str) -> Item:
        nonlocal now, peak
        with lock:
            seen[prompt] += 1
            now += 1
            peak = max(peak, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        if prompt == refused:
            return Status(400, "not this one")
        return Status(429, headers=AGAIN) if prompt in "123" and seen[prompt] == 1 else prompt * 2

    root = [cell("got = llm_query_batched([str(i) for i in range(10, 30)] + list('12347'))"), done("got")]
    with FakeServer(serve(root, sub)) as server:
        completion = await over(server, f"{provider}/any", max_concurrency=4)
    *good, bad = completion.answer
    assert good == [str(i) * 2 for i in range(10, 30)] + ["11", "22", "33", "44"]
    assert bad.startswith("Error:")
    assert "not this one" in bad
    assert peak <= 4
    assert (seen["1"], seen["4"], seen[refused]) == (2, 1, 1)


async def test_long_replies_of_anthropic_models_are_streamed() -> None:
    """3.3, fault 36: Anthropic's SDK refuses long replies that are not streamed, and the default limit asks for one."""
    root = [cell("reply = llm_query('long')"), done("len(reply)")]
    with FakeServer(serve(root, lambda prompt: "x" * 150_000)) as server:
        completion = await over(server, "anthropic/any")
        assert {(r.body["stream"], r.body["max_tokens"]) for r in server.requests} == {(True, 32_000)}
    assert completion.answer == 150_000


@pytest.mark.parametrize("provider", ["openai", "anthropic", "azure", "gemini", "openrouter", "portkey", "vllm"])
async def test_every_provider_takes_sampling_thoughts_and_replies_without_usage(provider: str) -> None:
    """3.3, fault 37: sampling is dropped, a thought before the text or a reply without usage is a crash."""

    def quiet(item: Item) -> Item:
        assert isinstance(item, str)
        return Text(item, usage=None, reasoning="Let me think.")

    script = serve([done("llm_query('hello')")], str.upper)
    with FakeServer(lambda request: quiet(script(request))) as server:
        asked: list[Any] = [{"temperature": 0.3}, {"temperature": 0.7}]
        if provider == "anthropic":  # its SDK has no argument of that name
            asked = [{"extra_body": sampling} for sampling in asked]
        completion = await over(server, f"{provider}/any", sampling=asked[0], sub_sampling=asked[1])
        assert [request.body["temperature"] for request in server.requests] == [0.3, 0.7]
    assert completion.answer == "HELLO"
    assert (completion.usage.calls, completion.usage.unreported, completion.cost) == (2, 2, None)
    with pytest.raises(OptionError, match="temprature"):
        RLM(f"{provider}/any", base_url="http://127.0.0.1:9", api_key="sk-test", sampling={"temprature": 1})


DEEP = "[llm_query('plain'), rlm_query('deeper')]"


async def test_plain_calls_go_to_the_sub_model_at_every_depth() -> None:
    """3.3, fault 38: the plain calls of a child go to the expensive root model."""
    root, child = (ScriptedModel(lambda messages: done(DEEP), name) for name in ("dear", "middle"))
    sub = ScriptedModel(shout, "cheap")
    rlm = RLM(root, child_model=child, sub_model=sub, max_depth=3, cache=False)
    calls = events_of(await rlm.acompletion("q", "c"), events.CallRequested)
    assert {event.model for event in calls if event.kind == "llm"} == {"cheap"}
    assert {event.model for event in calls if event.kind == "rlm"} == {"middle"}
    assert [len(model.requests) for model in (root, child, sub)] == [1, 2, 4]


async def test_each_depth_may_have_its_model_and_calls_are_counted_by_depth() -> None:
    """3.3, fault 39: one model serves all depths, and nobody can tell how many calls each of them made."""
    depths = [ScriptedModel(lambda messages: done(DEEP), f"depth {depth}") for depth in range(3)]
    models = {1: depths[1], 2: depths[2]}
    completion = await RLM(depths[0], models=models, sub_model=shout, max_depth=3).acompletion("q", "c")
    nodes = list(completion.tree.root.walk())
    assert [(node.depth, node.model) for node in nodes if node.iterations] == [
        (0, "depth 0"), (1, "depth 1"), (2, "depth 2")
    ]  # fmt: skip
    assert Counter(node.depth for node in nodes[1:]) == {1: 2, 2: 2, 3: 2}
