"""Options: refused early, inherited whole, shown without secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rlm_kernel import RLM, OptionError, ScriptedModel
from rlm_kernel.host.models import Models
from rlm_kernel.host.options import Options


def models_of(**options: Any) -> Models:
    return Models(Options.of(**options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_callz": 3}, "Unknown option 'max_callz'. Did you mean 'max_calls'?"),
        ({"xyz": 3}, "Unknown option 'xyz'. Options: "),
        ({"max_cost": -1}, "max_cost=-1: expected a number of US dollars of at least 0, or None"),
        ({"max_errors": 40}, "max_errors=40 can never be reached with max_iterations=30"),
        ({"max_repeats": 1}, "max_repeats=1: expected a whole number of at least 2"),
        ({"prompt": "smal_model"}, "Did you mean 'small_model'?"),
        ({"compat": "dspy"}, "compat='dspy': expected rlms"),
        ({"cells": "none"}, "cells='none': expected all or first"),
        ({"fences": "repl"}, "fences='repl': expected tags such as"),
        ({"compaction": 2}, "compaction=2: expected a number of at least 0.1 and at most 1"),
        ({"context_format": "xml"}, "context_format='xml': expected auto or text"),
        ({"system_prompt": 3}, "system_prompt=3: expected text, or None"),
        ({"setup_code": " "}, "setup_code=' ': expected text, or None"),
        ({"prices": 3}, "prices: expected a mapping"),
        ({"models": ["x"]}, "models: expected a mapping"),
        ({"models": {"fast": "nobody/x"}}, "Unknown provider 'nobody'"),
        ({"cache": 3}, "cache=3: expected True, False or a folder"),
        ({"on_event": "print"}, "on_event: expected a function"),
        ({"before_call": 3}, "before_call"),
        ({"answer_type": "int"}, "answer_type"),
        ({"tools": {"llm_query": len}}, "llm_query"),
        ({"model": len, "max_cost": 1.0}, "max_cost needs the price of"),
        ({"max_calls": "many"}, "max_calls='many': expected a whole number of at least 0, or None"),
        ({"max_calls": -1}, "max_calls=-1"),
        ({"max_calls": 1.5}, "max_calls=1.5"),
        ({"max_iterations": 0}, "max_iterations=0: expected a whole number of at least 1"),
        ({"max_iterations": None}, "max_iterations=None"),
        ({"max_iterations": True}, "max_iterations=True"),
        ({"max_seconds": 0}, "max_seconds=0: expected a number of seconds"),
        ({"cell_seconds": float("nan")}, "cell_seconds=nan"),
        ({"sandbox": "jail"}, "Unknown sandbox 'jail'"),
        ({"memory_mb": 1}, "memory_mb=1: expected a whole number of MiB of at least 256"),
        ({"disk_mb": 0}, "disk_mb=0: expected a whole number of MiB of at least 1"),
        ({"max_processes": "all"}, "max_processes='all': expected a whole number of at least 1"),
        ({"packages": ["/no/such/folder"]}, "packages: '/no/such/folder' is no folder"),
        ({"sampling": "hot"}, "sampling: expected a mapping"),
        ({"model": "gpt-5"}, "'gpt-5' is not of the form provider/model"),
        ({"model": "openai/"}, "is not of the form provider/model"),
        ({"model": "nobody/x"}, "Unknown provider 'nobody' in 'nobody/x'. Providers: anthropic, azure"),
        ({"model": 3}, "A model is 'provider/model' or a callable"),
        ({"model": "local/big"}, "There are no weights 'big'"),
        ({"model": "local//no/such.gguf"}, "no/such.gguf"),
        ({"model": "policy/magic"}, "magic"),
        ({"model": "openai/gpt-5-mini"}, "OPENAI_API_KEY"),
        ({"model": "anthropic/claude-haiku-4-5"}, "ANTHROPIC_API_KEY"),
        ({"model": len, "sub_model": "openai/gpt-5-nano"}, "OPENAI_API_KEY"),
    ],
)
def test_what_cannot_work_is_refused_when_the_rlm_is_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as refusal:
        RLM(**options)
    assert message in str(refusal.value)
    assert len(str(refusal.value).splitlines()) <= 2


def test_the_key_is_in_no_repr_and_no_journal() -> None:
    options = Options.of(model="openai/x", api_key="sk-planted", sampling={"temperature": 0})
    assert "sk-planted" not in repr(options)
    assert "sk-planted" not in json.dumps(options.public())
    assert options.public()["sampling"] == {"temperature": 0}


def test_the_sub_model_defaults_to_the_model_and_a_policy_gets_the_embedded_one() -> None:
    model = ScriptedModel([])
    assert models_of(model=model).sub is model
    assert models_of(model="policy/map-reduce").sub.name == "local/smollm2"
    assert models_of().root.name == "policy/map-reduce"


def test_code_may_name_only_the_models_of_its_run() -> None:
    models = models_of(model=ScriptedModel([], "root"), sub_model=ScriptedModel([], "sub"))
    assert models.named(None, models.sub) is models.sub
    assert models.named("root", models.sub) is models.root
    assert models.named("openai/gpt-5-pro", models.sub) is None
