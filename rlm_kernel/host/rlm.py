"""The public object."""

from __future__ import annotations

from typing import Any

from rlm_kernel.host.config import ModelLike, Options
from rlm_kernel.host.run import Completion, Run


class RLM:
    """A Recursive Language Model (Zhang, Kraska & Khattab, arXiv 2512.24601).

    Parameters
    ----------
    model
        ``provider/model``, such as ``openai/gpt-5-mini``, or a callable ``messages -> str``. By default a fixed
        program over the embedded model, which needs no key.
    **options
        See `rlm_kernel.host.config.Options`: ``sub_model``, ``max_calls``, ``sandbox``, ...

    Raises
    ------
    OptionError
        An option, a model or its key is missing or cannot work. Nothing has been asked.

    Examples
    --------
    >>> rlm = RLM("openai/gpt-5-mini", sub_model="openai/gpt-5-nano", max_calls=200)  # doctest: +SKIP
    >>> rlm.completion("Which chapter first names the murderer?", context=book).answer  # doctest: +SKIP
    """

    def __init__(self, model: ModelLike | None = None, **options: Any) -> None:
        self.options = Options.of(model=model, **options)
        self.options.models()

    async def acompletion(self, question: str, context: Any = None) -> Completion:
        """Answer a question over an input.

        Parameters
        ----------
        question
            What to find out. The root model sees it.
        context
            The input, of any size: text, bytes, a list or dict of JSON values, a pandas or polars DataFrame, or a
            `pathlib.Path` to a file or a folder of text files. Files and bytes are text in ``encoding``. It becomes
            the variable ``context`` of the REPL. Without one, the question is the input.

        Raises
        ------
        ContextError
            The input is empty, missing or cannot cross into the kernel.
        ModelError
            The root model failed for good.
        SandboxError
            The sandbox could not be started.
        """
        return await Run(self.options, question, context).complete()

    def completion(self, question: str, context: Any = None) -> Completion:
        """`acompletion` for sync code, also inside a running event loop such as a notebook's."""
        return self.start(question, context).result()

    def start(self, question: str, context: Any = None) -> Run:
        """Begin a completion on a thread of its own; the `Run` yields its events and can be cancelled."""
        return Run(self.options, question, context).start()
