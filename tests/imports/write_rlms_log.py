"""Run by the Python that has `rlms`: makes real logs with its own logger, over a model that replies from a script.

``python write_rlms_log.py FOLDER`` writes a log of one completion, and one of two completions by one logger.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import rlm.core.rlm as core
from rlm import RLM
from rlm.clients import BaseLM
from rlm.core.types import ModelUsageSummary, UsageSummary
from rlm.logger import RLMLogger

BOOK = "The keeper Agnes Holloway keeps bees. The treaty was signed at Skarholm in 1747."
ROOT = [
    "I look at the context first.\n```repl\nprint(len(context))\nprint(context[:20])\n```",
    (
        "Now I ask.\n```repl\nwhere = llm_query(f'Where was it signed? {context}')\nprint(where)\n"
        "who = rlm_query('Who keeps bees? ' + context)\nprint(who)\n```\n```repl\nprint(nobody)\n```"
    ),
    "```repl\nanswer['content'] = f'{who}, at {where}'\nanswer['ready'] = True\n```",
]
CHILD = [
    "```repl\nname = llm_query('Name the keeper: ' + context)\nprint(name)\n```",
    "```repl\nanswer['content'] = name\nanswer['ready'] = True\n```",
]
PLAIN = {"Where": "Skarholm", "Name": "Agnes Holloway"}
UNDECIDED = "```repl\nprint('still looking')\n```"


class Scripted(BaseLM):
    """A model whose reply follows from what it is sent; 120 tokens in and 7 out, each time."""

    calls = 0

    def completion(self, prompt: Any, model: str | None = None) -> str:
        self.calls += 1
        if isinstance(prompt, str):
            return PLAIN[prompt.split(" ", 1)[0]]
        said = sum(message["role"] == "assistant" for message in prompt)
        opening = prompt[1]["content"]
        if "Answer the following" not in opening:
            return CHILD[said]
        if "never" not in opening:
            return ROOT[said]
        return "It is not to be found." if prompt[-1]["role"] == "assistant" else UNDECIDED

    async def acompletion(self, prompt: Any, model: str | None = None) -> str:
        return self.completion(prompt, model)

    def get_usage_summary(self) -> UsageSummary:
        return UsageSummary(model_usage_summaries={self.model_name: self._usage(self.calls)})

    def get_last_usage(self) -> ModelUsageSummary:
        return self._usage(1)

    def _usage(self, calls: int) -> ModelUsageSummary:
        return ModelUsageSummary(total_calls=calls, total_input_tokens=120 * calls, total_output_tokens=7 * calls)


def main(folder: Path) -> None:
    core.get_client = lambda backend, kwargs: Scripted(model_name=kwargs["model_name"])
    for name, questions in {
        "one": ["Who keeps bees, and where?"],
        "two": ["Who is it?", "Who is never named?"],
    }.items():
        logger = RLMLogger(log_dir=str(folder), file_name=name)
        keys = {"model_name": "gpt-5-mini", "api_key": "sk-not-a-key"}
        limits = {"max_depth": 2, "max_iterations": 3}
        prompt = {"custom_system_prompt": "Write cells.{custom_tools_section}", "orchestrator": False}
        rlm = RLM(backend="openai", backend_kwargs=keys, environment="local", logger=logger, **limits, **prompt)
        for question in questions:
            print(rlm.completion(BOOK, root_prompt=question).response)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
