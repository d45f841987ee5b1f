"""Makes the runs in ``journals/``: ``python make_journals.py`` removes them and makes them again.

``source``: a fixed program as the root, SmolLM2 on this machine for sub-calls, over some of the project's own source.
``harbour``: the root and the child are scripts, written to show what a run may hold; only the REPL is real.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rlm_kernel import RLM, Completion, ScriptedModel
from rlm_kernel.events.values import Usage
from rlm_kernel.host.providers import Reply

HERE = Path(__file__).parent
JOURNALS = HERE / "journals"
SHIPS = ("Alba", "Brise", "Cormorant", "Delta", "Elbe", "Fulmar")

ROOT = """\
I look at the log first.
```repl
days = context.split("\\n\\n")
print(len(days), "days")
print(days[0])
```
===
Now I ask about every tenth day at once.
```repl
late = llm_query_batched([f"Which ship is late? {day}" for day in days[::10]])
print(sorted(set(late)))
```
===
I use a name that I do not have.
```repl
print(slowest)
```
===
I let a child look at the whole log.
```repl
child = rlm_query("Which ship is late most often?", context=context)
print(child)
```
===
```repl
answer["content"] = f"{child}, late on {sum(f'{child} was late' in day for day in days)} days"
answer["ready"] = True
```"""
CHILD = """\
I count.
```repl
from collections import Counter
late = Counter(day.split()[-3] for day in context.split("\\n\\n"))
print(late.most_common(3))
```
===
```repl
answer["content"] = late.most_common(1)[0][0]
answer["ready"] = True
```"""


def log() -> str:
    """Return 200 days of a harbour that does not exist."""
    days = []
    for day in range(1, 201):
        late = SHIPS[day * day % 7 % len(SHIPS)]
        rest = ", ".join(ship for ship in SHIPS if ship != late)
        days.append(f"Day {day}. Wind {day * 37 % 9} from the west. In the harbour by noon: {rest}. {late} was late.")
    return "\n\n".join(days)


def replies(script: str) -> list[Reply]:
    """Return a script's replies with a usage, as a provider would tell it."""
    texts = script.split("\n===\n")
    return [Reply(text, Usage.of_call(900 + 40 * turn, len(text) // 4)) for turn, text in enumerate(texts)]


def named(messages: list[dict[str, str]]) -> Reply:
    """Play the model of sub-calls: it reads the name before the last words of a day."""
    return Reply(messages[-1]["content"].split()[-3], Usage.of_call(60, 2))


def harbour() -> Completion:
    """Make the run with every kind of thing in it."""
    root, child = (
        ScriptedModel(replies(ROOT), name="scripted/root"),
        ScriptedModel(replies(CHILD), name="scripted/child"),
    )
    sub = ScriptedModel(named, name="scripted/sub")
    rlm = RLM(root, sub_model=sub, child_model=child, max_depth=2, max_iterations=8, runs_dir=JOURNALS)
    return rlm.completion("Which ship is late most often, and on how many days?", context=log())


def source() -> Completion:
    """Make the run over some of the project's own source."""
    host = HERE.parent / "rlm_kernel" / "host"
    files = sorted([*host.glob("options/*.py"), *host.glob("providers/*.py")])
    context = {str(path.relative_to(host)): path.read_text(encoding="utf-8") for path in files}
    rlm = RLM("policy/map-reduce", sub_model="local/smollm2", sub_sampling={"max_tokens": 40}, runs_dir=JOURNALS)
    return rlm.completion("What is the default of max_concurrency?", context=context)


def main() -> None:
    """Make both."""
    for make in (harbour, source):
        shutil.rmtree(JOURNALS / make.__name__, ignore_errors=True)
        completion = make()
        print(f"{make.__name__}: {completion.text} ({completion.stop_reason}, {completion.usage})")
        completion.run_dir.rename(JOURNALS / make.__name__)
    shutil.rmtree(JOURNALS / ".inputs")


if __name__ == "__main__":
    main()
