"""The fold: any stream, whole or cut off anywhere, is a tree."""

from __future__ import annotations

import copy

import pytest

from rlm_kernel.events import types as events
from rlm_kernel.events.tree import Node, TreeBuilder, fold
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from tests.events.stories import began, call, cell, child, ended, mystery, numbered, output, turn

RUN = mystery()


def node(tree_root: Node, name: str) -> Node:
    return next(each for each in tree_root.walk() if each.id == name)


def test_a_run_folds_into_what_was_asked_and_what_came_of_it() -> None:
    tree = fold(RUN)
    assert (tree.run, tree.state, tree.stop_reason, tree.error) == ("20260101-120000-abcdef", "ok", "answered", None)
    assert tree.question == tree.root.question == "Which chapter first names the murderer, and how?"
    assert tree.answer.startswith("The butler, in chapter 3")
    assert tree.root.value == tree.answer
    assert tree.root.context["length"] == 1_204_331
    assert (tree.seconds, tree.root.seconds) == (6.2, 6.0)
    assert tree.root.notes == ["2 of 14 files were skipped."]


def test_iterations_hold_their_cells_and_cells_the_calls_they_asked_for() -> None:
    first, second, third = fold(RUN).root.iterations
    assert [len(turn.cells) for turn in (first, second, third)] == [1, 1, 2]
    assert [call.id for call in second.cells[0].calls] == [f"0.{n}" for n in range(1, 13)]
    assert [cell.status for cell in third.cells] == ["error", "ok"]
    assert [output.kind for output in second.cells[0].outputs] == ["stdout", "stderr"]
    assert first.text.startswith("I will look at the context first")
    assert first.usage == Usage(1, 900, 100)


def test_a_calls_id_is_its_nodes_id_so_a_childs_cells_hang_below_the_call() -> None:
    alibi = node(fold(RUN).root, "0.12")
    assert (alibi.kind, alibi.depth, alibi.state, alibi.text) == ("rlm", 1, "ok", "The butler's.")
    assert [call.id for call in alibi.iterations[0].cells[0].calls] == ["0.12.1"]
    assert (alibi.seconds, alibi.stop_reason) == (4.5, "answered")


def test_a_failed_call_says_why() -> None:
    failed = node(fold(RUN).root, "0.7")
    assert (failed.state, failed.error, failed.text) == ("error", "429: the provider is busy", "")


def test_usage_of_the_whole_tree_is_that_of_its_parts_and_nothing_is_counted_twice() -> None:
    tree = fold(RUN)
    assert tree.usage == tree.root.subtree_usage == sum((each.usage for each in tree.root.walk()), Usage())
    assert tree.usage == Usage(15, 8000, 620)
    assert tree.root.usage == Usage(3, 2700, 300)
    assert node(tree.root, "0.12").subtree_usage == Usage(2, 1300, 120)
    before_the_end = fold(RUN[:-1])
    assert before_the_end.usage == tree.usage


def test_folding_step_by_step_is_folding_at_once_after_every_event() -> None:
    builder = TreeBuilder()
    for count, event in enumerate(RUN, 1):
        builder.apply(event)
        assert builder.tree == fold(RUN[:count])


def test_folding_changes_no_event() -> None:
    before = copy.deepcopy(RUN)
    fold(RUN)
    assert before == RUN


@pytest.mark.parametrize("length", range(len(RUN)))
def test_a_run_cut_off_anywhere_is_a_tree_whose_rest_is_running(length: int) -> None:
    tree = fold(RUN[:length])
    assert tree.state == "running"
    finished = {event.call for event in RUN[:length] if isinstance(event, events.CallFinished)}
    for each in tree.root.walk():
        if each.kind == "llm":
            assert (each.state == "running") == (each.id not in finished)
    cells = [cell for each in tree.root.walk() for turn in each.iterations for cell in turn.cells]
    ended_cells = [event for event in RUN[:length] if isinstance(event, events.CellFinished)]
    assert sum(cell.status is not None for cell in cells) == len(ended_cells)


def test_events_whose_beginning_is_lost_do_not_stop_the_fold() -> None:
    for start in range(len(RUN)):
        assert fold(RUN[start:]).state == "ok"


def test_a_call_of_no_known_cell_belongs_to_its_node() -> None:
    tree = fold(numbered(*began(), *call(1, "from a thread", "late", index=None), *call(2, "odd", "x", index=99)))
    assert [each.id for each in tree.root.calls] == ["0.1", "0.2"]
    assert not tree.root.iterations


def test_a_reply_grows_while_it_streams_and_is_then_the_whole_reply() -> None:
    stream = numbered(*began(), *turn(1, "I will look at it first."))
    texts = [fold(stream[:length]).root.iterations[0] for length in range(3, 7)]
    assert [turn.text for turn in texts] == ["", "I will loo", *["I will look at it first."] * 2]
    assert [turn.replied for turn in texts] == [False, False, False, True]


def test_a_request_that_is_made_again_begins_its_text_anew() -> None:
    again = [events.ModelRequested(iteration=1, messages=()), events.TextDelta(iteration=1, text="half of a th")]
    stream = numbered(*began(), *again, *again)
    assert fold(stream).root.iterations[0].text == "half of a th"


def test_pieces_of_one_stream_are_one_output() -> None:
    pieces = [output("a"), output("b"), output("c", "stderr"), output("d"), output("e", "execute_result")]
    outputs = fold(numbered(*began(), *turn(1, "x", *cell("c", *pieces)))).root.iterations[0].cells[0].outputs
    assert [(each.kind, each.text) for each in outputs] == [
        ("stdout", "ab"),
        ("stderr", "c"),
        ("stdout", "d"),
        ("execute_result", "e"),
    ]


def test_a_spent_limit_is_noted_and_the_best_answer_is_kept() -> None:
    hit = events.LimitHit(limit="max_calls", maximum=10)
    tree = fold(numbered(*began(), hit, *ended("so far", "max_calls")))
    assert (tree.state, tree.stop_reason, tree.answer) == ("ok", "max_calls", "so far")
    assert tree.root.notes == ["The limit max_calls=10 is reached."]


@pytest.mark.parametrize("reason", ["error", "cancelled"])
def test_a_run_that_failed_or_was_stopped_says_so_and_keeps_its_answer(reason: events.StopReason) -> None:
    tree = fold(numbered(*began(), *ended("so far", reason, "the host failed")))
    assert (tree.state, tree.root.state, tree.answer) == (reason, reason, "so far")
    assert tree.error == tree.root.error == "the host failed"


def test_a_run_that_never_got_a_kernel_has_a_root_that_failed() -> None:
    last = events.RunFinished(stop_reason="error", usage=Usage(), seconds=0.1, error="bwrap: not found")
    tree = fold(numbered(next(began()), last))
    assert (tree.state, tree.root.state, tree.error) == ("error", "error", "bwrap: not found")


def test_a_child_that_fails_keeps_its_best_answer_and_says_why() -> None:
    inside: list[Event] = list(child(1, "q", "best so far"))[:-2]
    ending = [
        events.NodeFinished(node="0.1", stop_reason="error", seconds=1.0, error="kernel died"),
        events.CallFinished(call="0.1", status="error", text="kernel died", usage=Usage(), seconds=1.0),
    ]
    failed = node(fold(numbered(*began(), *inside, *ending)).root, "0.1")
    assert (failed.state, failed.text, failed.error) == ("error", "best so far", "kernel died")
