"""The first run: three questions over the whole standard library, with no key and no network.

The root is a fixed program, the sub-model runs on this machine, and the truth of each answer is computed here.
Ends with status 1 if an answer is wrong.
"""

from __future__ import annotations

import sys

from rich.console import Console
from stdlib_questions import QUESTIONS, Question, library

from rlm_kernel import RLM
from rlm_kernel.sinks.terminal import render


def main() -> int:
    """Ask all three; return the exit status."""
    console = Console()
    context = library()
    size = sum(map(len, context.values()))
    print(f"The standard library of this Python: {len(context):,} files, {size:,} characters.")
    sandbox = "bubblewrap" if sys.platform == "linux" else "process"
    if sandbox == "process":
        print("This is not Linux: the cells run in a plain process, and nothing is isolated.")
    # A reply is one short sentence; what a small model says after it costs time and is not used.
    rlm = RLM("policy/map-reduce", sub_model="local/smollm2", sandbox=sandbox, sub_sampling={"max_tokens": 40})
    right = [answered(question, rlm, context, console) for question in QUESTIONS]
    print(f"\n{sum(right)} of {len(right)} right.")
    return 0 if all(right) else 1


def answered(question: Question, rlm: RLM, context: dict[str, str], console: Console) -> bool:
    """Ask one question, show how it was answered, and return whether it is right."""
    completion = rlm.completion(question.text, context=context)
    right = question.check(completion.text)
    print(f"\nQuestion: {question.text} ({question.kind})")
    print(f"Answer:   {completion.text}")
    print(f"{'Right' if right else 'WRONG'}:    computed on this machine: {question.truth()}")
    console.print(render(completion.tree))
    print(f"{completion.usage}, {completion.seconds:.1f} s, {completion.stop_reason}; journal in {completion.run_dir}")
    return right


if __name__ == "__main__":
    sys.exit(main())
