"""Fine-tuning data: every message is one that a model was really sent, in real runs with real kernels."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict

from rlm_kernel import RLM, Completion, ModelError, OptionError, ScriptedModel, journal
from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.exports.chat import to_chat, to_chat_jsonl
from rlm_kernel.exports.dialogues import turns
from rlm_kernel.host.providers import Reply
from tests.events import stories
from tests.host.script import cell, done


@with_config(ConfigDict(extra="forbid"))
class Line(TypedDict):
    """A line of the file that OpenAI's fine-tuning takes."""

    messages: list[ChatCompletionMessageParam]


def recorded(completion: Completion) -> list[Event]:
    return list(journal.read(completion.run_dir))


def plain(messages: list[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


class TestWhatTheModelSawAndSaid:
    async def test_a_run_of_three_turns(self) -> None:
        replies = [cell("n = len(context)\nprint(n)"), "No cell here.", done("n")]
        root = ScriptedModel(replies)
        (example,) = to_chat(recorded(await RLM(root).acompletion("How long?", "abc")))
        assert example["messages"] == [*plain(root.requests[-1]), {"role": "assistant", "content": replies[-1]}]
        assert [m["content"] for m in example["messages"] if m["role"] == "assistant"] == replies
        assert (example["iterations"], example["stop_reason"], example["stretches"]) == (3, "answered", 1)

    async def test_every_request_of_every_node(self) -> None:
        def reply(messages: list[dict[str, str]]) -> str:
            child = "Do what `context` asks" in messages[1]["content"]
            said = sum(message["role"] == "assistant" for message in messages)
            if child:
                return [cell("print(llm_query('who?'))"), done("'Agnes'")][said]
            return [cell("who = rlm_query('Who keeps bees?')\nprint(who)"), done("who")][said]

        root = ScriptedModel(reply)
        stream = recorded(await RLM(root, sub_model=ScriptedModel(["her"]), max_depth=2).acompletion("q", "c"))
        sent = [list(turn.messages) for said in turns(stream).values() for turn in said]
        assert sorted(map(str, sent)) == sorted(map(str, root.requests))
        examples = to_chat(stream, calls=True)
        assert [(e["node"], e["kind"], e["depth"]) for e in examples] == [
            ("0", "rlm", 0),
            ("0.1", "rlm", 1),
            ("0.1.1", "llm", 2),
        ]
        assert examples[2]["messages"] == [
            {"role": "user", "content": "who?"},
            {"role": "assistant", "content": "her"},
        ]

    async def test_what_stands_behind_the_first_cell_is_not_kept(self) -> None:
        invented = cell("x = 1\nprint(x)") + "\nIt prints 7.\n```repl\nanswer['content'] = 7\n```"
        root = ScriptedModel([invented, done("x")])
        (example,) = to_chat(recorded(await RLM(root, cells="first").acompletion("q", "c")))
        assert example["messages"][:-1] == plain(root.requests[-1])
        assert "It prints 7" not in str(example["messages"])

    @pytest.mark.parametrize("compat", [None, "rlms"])
    async def test_one_example_for_each_stretch_between_summaries(self, compat: str | None) -> None:
        told = [cell(f"print('{n}' * 3000)") for n in range(4)]
        root = ScriptedModel([*told, "I found 0, 1, 2 and 3.", cell("print(5)"), done("'done'")])
        rlm = RLM(root, context_window=4000, compaction=0.85, compat=compat)
        first, second = to_chat(recorded(await rlm.acompletion("q", "c")))
        assert first["messages"] == [*plain(root.requests[3]), {"role": "assistant", "content": told[3]}]
        assert second["messages"] == [*plain(root.requests[-1]), {"role": "assistant", "content": done("'done'")}]
        assert [(e["stretch"], e["stretches"], e["iterations"]) for e in (first, second)] == [(0, 2, 4), (1, 2, 2)]

    def test_last_words_are_an_example_until_the_run_goes_on(self) -> None:
        root = ScriptedModel([cell("x = 1"), cell("x += 1"), "not known yet", cell("x += 1"), done("x")])
        with RLM(root, max_iterations=2) as rlm:
            (before,) = to_chat(recorded(rlm.completion("q", context="c")))
            (after,) = to_chat(recorded(rlm.go_on(max_iterations=4)))
        assert before["messages"] == [*plain(root.requests[2]), {"role": "assistant", "content": "not known yet"}]
        assert after["messages"][:-1] == plain(root.requests[-1])
        assert "not known yet" not in str(after["messages"])
        assert (before["iterations"], after["iterations"]) == (3, 4)

    def test_a_resumed_run_is_as_its_models_heard_it(self) -> None:
        def child(messages: list[dict[str, str]]) -> str:
            return done("'from the child'")

        root = ScriptedModel([cell("kid = rlm_query('task')"), cell("print(kid)"), ModelError("the provider is down")])
        below = ScriptedModel(child)
        with pytest.raises(ModelError):
            RLM(root, child_model=below, max_depth=2).completion("q", "c")
        run = journal.find("last")
        again = ScriptedModel([done("kid")])
        completion = RLM.resume(run.directory, model=again, child_model=below)
        examples = {example["node"]: example for example in to_chat(recorded(completion))}
        assert examples["0"]["messages"][:-1] == plain(again.requests[-1]) == plain(root.requests[-1])
        assert examples["0.1"]["messages"][:-1] == plain(below.requests[0])

    async def test_a_failed_request_that_is_made_again_is_there_once(self) -> None:
        opening = (Message("system", "s"), Message("user", "q"))
        asked = [events.ModelRequested(iteration=n, messages=opening if n == 1 else ()) for n in (1, 2)]
        replied = events.ModelReplied(iteration=2, text="yes", usage=Usage(), seconds=1.0)
        ended = stories.ended("yes")
        (example,) = to_chat(stories.numbered(*stories.began(), *asked, replied, *ended))
        assert [message["content"] for message in example["messages"]] == ["s", "q", "yes"]


class TestTheFile:
    async def test_it_is_what_fine_tuning_takes(self) -> None:
        root = ScriptedModel([cell("print(1)"), done("llm_query('a')")])
        stream = recorded(await RLM(root, sub_model=lambda m: "b").acompletion("q \ud800 \u202e", "c"))
        lines = to_chat_jsonl(stream, metadata=False, calls=True).splitlines()
        checked = [TypeAdapter(Line).validate_json(line) for line in lines]
        assert [message["role"] for message in checked[0]["messages"]][-2:] == ["user", "assistant"]
        assert all(isinstance(m["content"], str) for line in map(json.loads, lines) for m in line["messages"])
        assert len(checked) == 2
        with_facts = [json.loads(line) for line in to_chat_jsonl(stream, calls=True).splitlines()]
        assert [line["messages"] for line in with_facts] == [json.loads(line)["messages"] for line in lines]
        assert with_facts[0]["run"]


class TestWhichExamples:
    def nodes(self, **choice: Any) -> list[str]:
        return [example["node"] for example in to_chat(stories.mystery(), **choice)]

    def test_which_nodes(self) -> None:
        assert self.nodes() == ["0", "0.12"]
        assert self.nodes(nodes="root") == ["0"]
        assert self.nodes(nodes="children") == ["0.12"]

    def test_calls_that_failed_are_left_out_unless_asked_for(self) -> None:
        assert "0.7" not in self.nodes(calls=True)
        assert "0.6" in self.nodes(calls=True)
        assert "0.7" in self.nodes(calls=True, failed=True)

    @pytest.mark.parametrize(
        ("cached", "verdicts", "kept"),
        [(False, [], 1), (True, [], 0), (False, ["rewrite"], 0), (False, ["retry", "allow"], 0), (False, ["allow"], 1)],
    )
    def test_calls_whose_result_is_not_their_models(self, cached: bool, verdicts: list[Any], kept: int) -> None:
        asked = events.CallRequested(call="0.1", kind="llm", model="m", prompt="p")
        checks = [events.CallChecked(call="0.1", when="after", verdict=verdict, reason="") for verdict in verdicts]
        ended = events.CallFinished(call="0.1", status="ok", text="r", usage=Usage(), seconds=0.1, cached=cached)
        stream = stories.numbered(*stories.began(), asked, *checks, ended, *stories.ended("a"))
        assert len(to_chat(stream, calls=True)) == kept

    def test_runs_that_a_limit_ended_or_that_failed(self) -> None:
        said = list(stories.turn(1, "It may be the butler."))
        limited = stories.numbered(*stories.began(), *said, *stories.ended("the butler", "max_iterations"))
        failed = stories.numbered(*stories.began(), *said, *stories.ended(None, "error", "down"))
        running = stories.numbered(*stories.began(), *said)
        assert [e["stop_reason"] for e in to_chat(limited)] == ["max_iterations"]
        assert to_chat(limited, answered_only=True) == to_chat(failed) == to_chat(running) == []
        assert [e["state"] for e in (*to_chat(failed, failed=True), *to_chat(running, failed=True))] == [
            "error",
            "running",
        ]

    def test_rewards(self) -> None:
        rewards = {"0": 1.0, "0.12": 0.25}
        assert [e["reward"] for e in to_chat(stories.mystery(), rewards=rewards)] == [1.0, 0.25]
        assert self.nodes(rewards=rewards, min_reward=0.5) == ["0"]
        assert self.nodes(rewards=lambda node: 1.0 if node.depth else None, min_reward=0.5) == ["0.12"]

    def test_answers(self) -> None:
        assert self.nodes(answers=lambda text: "chapter 3" in text) == ["0"]

    def test_tokens_as_counted_else_estimated(self) -> None:
        (example,) = to_chat(stories.mystery(), nodes="root")
        assert (example["tokens"], example["tokens_estimated"]) == (1000, False)
        assert self.nodes(max_tokens=999) == []
        unknown = stories.numbered(
            *stories.began(),
            events.ModelRequested(iteration=1, messages=(Message("user", "x" * 40),)),
            events.ModelReplied(iteration=1, text="y" * 40, usage=Usage.of_call(None, None), seconds=1.0),
            *stories.ended("y"),
        )
        (example,) = to_chat(unknown)
        assert (example["tokens"], example["tokens_estimated"]) == (20, True)

    @pytest.mark.parametrize(
        ("choice", "message"),
        [({"nodes": "leaves"}, "nodes='leaves': expected 'all'"), ({"min_reward": 1}, "min_reward=1 needs rewards=")],
    )
    def test_what_cannot_be_meant_is_refused(self, choice: dict[str, Any], message: str) -> None:
        with pytest.raises(OptionError, match=message):
            to_chat(stories.mystery(), **choice)


async def test_usage_is_of_the_replies_in_the_example() -> None:
    root = ScriptedModel([Reply(cell("1"), Usage.of_call(10, 1)), Reply(done("1"), Usage.of_call(20, 2))])
    (example,) = to_chat(recorded(await RLM(root).acompletion("q", "c")))
    assert (example["usage"]["input_tokens"], example["usage"]["output_tokens"]) == (30, 3)
    assert example["tokens"] == 22
