"""Runs as chat-format data for fine-tuning: what the models were sent, and what they said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Literal

from rlm_kernel.errors import OptionError
from rlm_kernel.events.tree import Node, fold
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.exports.dialogues import Turn, turns
from rlm_kernel.exports.json_lines import json_lines

Which = Literal["all", "root", "children"]
Rewards = Mapping[str, float] | Callable[[Node], float | None]
Example = dict[str, Any]

CHARACTERS_PER_TOKEN = 4
"""For examples whose provider has not counted."""


def to_chat(
    events: Iterable[Event],
    *,
    nodes: Which = "all",
    calls: bool = False,
    rewards: Rewards | None = None,
    min_reward: float | None = None,
    answered_only: bool = False,
    answers: Callable[[str], bool] | None = None,
    max_tokens: int | None = None,
    failed: bool = False,
) -> list[Example]:
    """Return examples for fine-tuning, ``{"messages": [{"role", "content"}, ...], ...}``, in the order of the tree.

    One example for each RLM node: all messages of its root model, down to its last reply. Where the history was
    summarized, one for each stretch between summaries. Replies are as the messages that followed have them: with the
    option ``cells="first"``, without what the model went on to write behind its first cell. The request for a summary
    is in no example.

    Beside ``messages`` stand the facts that decide a loss or a filter: ``run``, ``node``, ``kind`` (``rlm`` or
    ``llm``), ``depth``, ``model``, ``state``, ``stop_reason``, ``usage`` (of the replies in it), ``tokens`` (of the
    whole example), ``tokens_estimated``; of an RLM ``stretch`` (from 0), ``stretches``, ``iterations`` (replies in it)
    and ``finish`` (``length`` where the last was cut off); and ``reward`` where there is one.

    Parameters
    ----------
    events
        A run's events, in order.
    nodes
        Which RLM nodes: ``all``, the ``root`` or the ``children``.
    calls
        Whether plain sub-calls are examples too, of a prompt and its reply. Left out are those that a cache answered,
        and those that a hook has rewritten or had tried again: their prompt and their result do not belong together.
        A call with ``schema=`` or with a child's context at the depth limit has its prompt as the cell wrote it.
    rewards
        Of each node, by its id, or a function of it; ``None`` is no reward.
    min_reward
        Leave out examples with a lower reward, and those without.
    answered_only
        Leave out RLM nodes that a limit has ended, even if they had an answer by then.
    answers
        Leave out examples whose answer (or reply) it does not accept.
    max_tokens
        Leave out longer examples: as counted by the provider in the last reply's usage, else a token for every
        `CHARACTERS_PER_TOKEN` characters.
    failed
        Keep nodes and calls that failed, were cancelled or have not ended.

    Raises
    ------
    OptionError
        ``nodes`` is none of the three, or there is a ``min_reward`` without ``rewards``.
    """
    if nodes not in ("all", "root", "children"):
        raise OptionError(f"nodes={nodes!r}: expected 'all', 'root' or 'children'.")
    if min_reward is not None and rewards is None:
        raise OptionError(f"min_reward={min_reward:g} needs rewards=, a mapping of node ids or a function of a node.")
    stream = list(events)
    tree, said = fold(stream), turns(stream)
    found = []
    for node in tree.root.walk():
        reward = _reward(node, rewards)
        enough = min_reward is None or (reward is not None and reward >= min_reward)
        if not enough or (node.state != "ok" and not failed) or (answers is not None and not answers(node.text)):
            continue
        if node.kind == "llm":
            made = iter([_of_call(node)] if calls and _is_faithful(node) else [])
        elif nodes in ("all", "root" if node.id == "0" else "children") and (
            node.stop_reason == "answered" or not answered_only
        ):
            made = _of_node(node, said.get(node.id, []))
        else:
            continue
        about = {"run": tree.run} | ({} if reward is None else {"reward": reward})
        found += [example | about for example in made if max_tokens is None or example["tokens"] <= max_tokens]
    return found


def to_chat_jsonl(events: Iterable[Event], *, metadata: bool = True, **choice: Any) -> str:
    """Return the examples as JSON lines; ``choice`` is `to_chat`'s.

    Parameters
    ----------
    events
        A run's events, in order.
    metadata
        ``False`` writes ``messages`` alone, for services that refuse other keys.

    Raises
    ------
    OptionError
        As in `to_chat`.
    """
    examples = to_chat(events, **choice)
    return json_lines(examples if metadata else [{"messages": example["messages"]} for example in examples])


def _of_node(node: Node, said: list[Turn]) -> Iterator[Example]:
    """Yield an example for each stretch of a node's messages."""
    replied = [turn for turn in said if turn.text is not None]
    stretches = sorted({turn.stretch for turn in replied})
    for stretch in stretches:
        mine = [turn for turn in replied if turn.stretch == stretch]
        last = mine[-1]
        if mine[:-1]:  # last words that the run went on after are in no later message
            mine = [turn for turn in mine[:-1] if not turn.last_words] + [last]
        messages = [*map(asdict, last.messages), {"role": "assistant", "content": last.kept}]
        usage = sum((turn.usage for turn in mine), Usage())
        place = {"stretch": stretch, "stretches": len(stretches), "iterations": len(mine), "finish": last.finish}
        yield _example(node, messages, usage, last.usage) | place


def _of_call(node: Node) -> Example:
    messages = [{"role": "user", "content": node.question}, {"role": "assistant", "content": node.text}]
    return _example(node, messages, node.usage, node.usage if node.usage.calls == 1 else Usage())


def _example(node: Node, messages: list[dict[str, Any]], usage: Usage, last: Usage) -> Example:
    counted = last.calls > 0 and not last.unreported
    characters = sum(len(message["content"]) for message in messages)
    return {
        "messages": messages,
        "node": node.id,
        "kind": node.kind,
        "depth": node.depth,
        "model": node.model,
        "state": node.state,
        "stop_reason": node.stop_reason,
        "usage": asdict(usage),
        "tokens": last.tokens if counted else characters // CHARACTERS_PER_TOKEN,
        "tokens_estimated": not counted,
    }


def _is_faithful(call: Node) -> bool:
    """Whether a call's reply is what its model said to its prompt."""
    changed = any(check.verdict in ("rewrite", "retry", "refuse") for check in call.checks)
    return not call.cached and not changed


def _reward(node: Node, rewards: Rewards | None) -> float | None:
    if rewards is None:
        return None
    return rewards(node) if callable(rewards) else rewards.get(node.id)
