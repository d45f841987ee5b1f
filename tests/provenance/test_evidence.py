"""Which cells and calls an answer came from."""

from __future__ import annotations

from rlm_kernel import RLM, ScriptedModel
from rlm_kernel.events.tree import Tree
from rlm_kernel.provenance.evidence import Evidence, evidence_of
from tests.host.script import cell, done


async def tree(*codes: str, child: ScriptedModel | None = None, last: str = "x") -> Tree:
    """Run cells, then answer with an expression."""
    root = ScriptedModel([*(cell(code) for code in codes), done(last)])
    sub = ScriptedModel(lambda messages: messages[-1]["content"].upper(), name="sub")
    completion = await RLM(root, sub_model=sub, child_model=child, max_depth=2).acompletion("q", "some input")
    assert completion.stop_reason == "answered"
    return completion.tree


async def test_cells_that_made_what_the_answer_uses_and_their_calls() -> None:
    found = evidence_of(
        await tree(
            "parts = context.split()",
            "other = llm_query('something else')",
            "found = [llm_query(part) for part in parts]",
            "print(len(other), context.find('x'))",
            "x = found[0]",
        )
    )
    assert found == Evidence((("0", 1), ("0", 3), ("0", 5), ("0", 6)), ("0.2", "0.3"), ("0.2",))


async def test_values_that_are_changed_in_place() -> None:
    found = evidence_of(
        await tree(
            "table = {}\nrows = []",
            "table['a'] = llm_query('one')",
            "rows.append(llm_query('two'))",
            "import re\nreport = re.findall('a', str(rows))",
            "def total(): return table['a'] + rows[0]",
            last="total()",
        )
    )
    assert found.cells == (("0", 1), ("0", 2), ("0", 3), ("0", 5), ("0", 6))
    assert found.calls == found.quoted == ("0.1", "0.2")


async def test_children_bring_their_own() -> None:
    child = ScriptedModel([cell("unused = 1"), cell("y = llm_query('deep')"), done("y")])
    found = evidence_of(await tree("x = rlm_query('a task')", child=child))
    assert found.cells == (("0", 1), ("0.1", 2), ("0.1", 3), ("0", 2))
    assert found.calls == ("0.1", "0.1.1")


async def test_an_answer_that_only_words_gave_and_code_that_is_none() -> None:
    assert evidence_of(Tree()) == Evidence()
    found = evidence_of(await tree("x = (", "%timeit -n1 -r1 1\nx = 5"))
    assert found.cells == (("0", 2), ("0", 3))


async def test_names_of_loops_inside_expressions_and_functions_are_their_own() -> None:
    found = evidence_of(
        await tree(
            "days = context.split()",
            "late = [day for day in days if llm_query(day)]",
            "def first(found):\n    part = found[0]\n    return part",
            "part = found = 'unused'",
            "x = sorted(days, key=lambda late: len(late))",
            last="[first(x) for part in x]",
        )
    )
    assert found.cells == (("0", 1), ("0", 3), ("0", 5), ("0", 6))
    assert found.calls == ()


async def test_a_part_of_a_number_is_not_quoted() -> None:
    found = evidence_of(await tree("x = [llm_query('man 7'), llm_query('man 77'), llm_query('(77)')][1] + ' (77)'"))
    assert found.calls == ("0.1", "0.2", "0.3")
    assert found.quoted == ("0.2", "0.3"), "man 7 is not in man 77"
