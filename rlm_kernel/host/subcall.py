"""One sub-call's way: counted, looked at, answered from the cache, by a model or by a child, and looked at again."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

from rlm_kernel import wire
from rlm_kernel.errors import RLMError
from rlm_kernel.events import types as events
from rlm_kernel.events.values import UNUSED, Message
from rlm_kernel.host import engine
from rlm_kernel.host.answers.answer_type import AnswerType
from rlm_kernel.host.answers.structured import MismatchError, Structured
from rlm_kernel.host.asking import ask
from rlm_kernel.host.providers import Model
from rlm_kernel.host.resume.recorded import RecordedCall, call_key
from rlm_kernel.host.shared import CHILD_QUESTION, Task
from rlm_kernel.host.uploads import Upload
from rlm_kernel.host.verify import SubCall, Verdict, retry_prompt

if TYPE_CHECKING:
    from rlm_kernel.host.node import Node

RETRIES = 2
"""Of a call whose result a hook, or its schema, does not accept."""


@dataclass(frozen=True, eq=False)
class Job:
    """A sub-call that a node's cell asked for: for a plain model, or for a child (``kind`` is ``rlm``)."""

    node: Node
    kind: events.Kind
    prompt: str
    model: Model
    upload: Upload | None = None
    schema: Structured | None = None
    cache: bool = True
    source: str = ""
    named: str = ""
    """The model that the code has named."""

    @cached_property
    def key(self) -> str:
        """What the journal finds it by, whichever model answered it."""
        return call_key(
            self.kind,
            self.prompt,
            model=self.named,
            context=None if self.upload is None else self.upload.digest,
            schema=None if self.schema is None else self.schema.schema,
            source=self.source,
        )

    @cached_property
    def cache_key(self) -> str:
        """What an earlier answer to the same is found by."""
        shared = self.node.shared
        return shared.cache.key(
            self.model.name,
            shared.options.sub_sampling if self.kind == "llm" else shared.options.sampling,
            self.prompt,
            None if self.schema is None else self.schema.schema,
            kind=self.kind,
            context=None if self.upload is None else self.upload.digest,
            source=self.source,
            base_url=shared.options.base_url,
            depth=self.node.ledger.depth if self.kind == "rlm" else None,  # a child must not wait for its ancestor
        )


class _Partial(RLMError):
    """A child's best answer when a limit ended it: good for the cell that asked, not for the cache."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class InFlight:
    """One call under way: what it has used, and whether it cost anything at all."""

    def __init__(self, node: Node, children: asyncio.Semaphore, recorded: RecordedCall | None = None) -> None:
        self.call = ""
        self.place = 0
        """Among the node's calls that ask the same."""
        self.usage = UNUSED
        self.cached: bool | None = None
        """Whether every try was answered by an earlier call."""
        self._node = node
        self._children = children
        self._recorded = recorded
        self._shared = node.shared
        self._counted = False

    def count(self, job: Job) -> None:
        """Count the call before anything is spent on it, unless an earlier one answers it.

        Raises
        ------
        LimitReached
            Sub-calls, or something else of the run, are used up.
        """
        if not self.is_known(job) and not self._counted:
            self._node.ledger.start_call()
            self._counted = True

    def is_known(self, job: Job) -> bool:
        """Whether an earlier call answers it, or one that is under way."""
        return not self._shared.verifiers and self._is_cacheable(job) and job.cache_key in self._shared.cache

    def remember(self, job: Job, text: str) -> None:
        """Let a result of the journal answer the same call again."""
        if self._is_cacheable(job) and not self._shared.verifiers:
            self._shared.cache.put(job.cache_key, text)

    def settle(self) -> None:
        """Uncount the call if it turned out to cost nothing."""
        if self.cached and self._counted:
            self._node.ledger.take_back_call()

    async def go(self, job: Job) -> str:
        """Return the result.

        Raises
        ------
        RLMError
            A model failed, a child ended without an answer, or a hook refused.
        """
        verifiers = self._shared.verifiers
        if not verifiers:
            return await self._answered(job)
        call = await verifiers.before(self._seen_by_hooks(job), partial(self._tell, "before"))
        prompt, tries = call.prompt, 0
        job = replace(job, prompt=prompt)
        while True:
            text = await self._answered(job)
            looked = await verifiers.after(call, text, partial(self._tell, "after"))
            if looked.retry is None:
                return looked.text if looked.text == text else await self._rewritten(job, looked.text)
            if tries == RETRIES:
                raise RLMError(f"The result was refused after {tries} more tries: {looked.retry}")
            tries += 1
            job = replace(job, prompt=retry_prompt(prompt, text, looked.retry), cache=False)

    async def _answered(self, job: Job) -> str:
        """Answer from the cache, or ask."""
        try:
            if self._is_cacheable(job):
                return await self._cached(job)
            text = await self._asked(job)
        except _Partial as best:
            text = best.text
        self.cached = False
        return text

    def _is_cacheable(self, job: Job) -> bool:
        return job.cache and self._shared.cache.enabled

    async def _cached(self, job: Job) -> str:
        """Answer from the cache, or ask and keep the answer."""

        async def asked() -> tuple[str, None]:
            if not self._counted:  # the one that was on its way did not arrive
                self._node.ledger.start_call()
                self._counted = True
            return await self._asked(job), None

        # A callable's name says nothing in another process, and a child's answer depends on more than the key says.
        keep = "/" in job.model.name and job.kind == "llm"
        answered = await self._shared.cache.answer(job.cache_key, asked, model=job.model.name, keep=keep)
        self.cached = answered.cached and self.cached is not False
        return answered.text

    async def _asked(self, job: Job) -> str:
        if job.kind == "rlm":
            return await self._child(job)
        prompt = job.prompt if job.upload is None else _with_context(job.prompt, job.upload)
        if job.schema is None:
            return await self.complete(prompt, job.model)
        asked, tries = job.schema.instruct(prompt), 0
        while True:
            text = await self.complete(asked, job.model)
            try:
                return await self._read(job, text)
            except MismatchError as error:
                if tries == RETRIES:
                    raise RLMError(f"No reply of {tries + 1} was what schema= asks for: {error}") from None
                tries += 1
                asked = job.schema.complain(prompt, text, error)

    async def _read(self, job: Job, text: str) -> str:
        """Return a result as the schema wants it."""
        return text if job.schema is None else await asyncio.to_thread(job.schema.read, text)

    async def _rewritten(self, job: Job, text: str) -> str:
        try:
            return await self._read(job, text)
        except MismatchError as error:
            raise RLMError(f"A hook has rewritten the result to what schema= does not allow: {error}") from None

    async def complete(self, prompt: str, model: Model) -> str:
        """Ask a model on the run's account.

        Raises
        ------
        LimitReached
            What is left of the tokens or the money is not enough.
        ModelError
            It failed, or said nothing.
        """
        reply = await ask(self._shared.models, self._node.ledger, model, [Message("user", prompt)])
        self.usage += reply.usage
        return reply.text if reply.text.strip() else reply.reasoning

    async def _child(self, job: Job) -> str:
        """Run a child RLM to its end."""
        answer_type = None if job.schema is None else AnswerType.of_schema(job.schema.schema)
        if job.upload is None:
            question = "" if self._shared.options.compat else CHILD_QUESTION
            task = Task(question, job.prompt, answer_type, job.source)
        else:
            task = Task(job.prompt, job.upload, answer_type, job.source)
        recorded = None if self._recorded is None else self._recorded.node
        key = f"{job.key}.{self.place}"
        async with self._children, self._node.child(task, self.call, job.model, recorded, key) as child:
            answer = await engine.run(child)
        if not answer.text:
            raise RLMError(f"The child ended without an answer ({answer.stop_reason}).")
        if job.schema is not None and not answer.typed:
            raise RLMError(f"The child ended without an answer of that schema ({answer.stop_reason}).")
        text = answer.text if job.schema is None else json.dumps(answer.value)
        if answer.stop_reason != "answered":
            raise _Partial(text)
        return text

    def _seen_by_hooks(self, job: Job) -> SubCall:
        async def ask(prompt: str, model: str | None = None) -> str:
            found = self._shared.models.judge(model)
            return await self.complete(prompt, found)

        return SubCall(
            node=self._node.id,
            call=self.call,
            kind=job.kind,
            model=job.model.name,
            prompt=job.prompt,
            depth=self._node.ledger.depth + 1,
            schema=None if job.schema is None else job.schema.schema,
            input_length=0 if job.upload is None else job.upload.bytes,
            context_length=self._node.context.length if self._node.context.unit == "characters" else 0,
            ask=ask,
        )

    def _tell(self, when: Literal["before", "after"], hook: str, verdict: Verdict) -> None:
        reason = f"{hook}: {verdict.reason}" if verdict.reason else hook
        node, call = self._node.id, self.call
        kind = "refuse" if verdict.kind == "stop" else verdict.kind
        self._shared.bus.emit(events.CallChecked(node=node, call=call, when=when, verdict=kind, reason=reason))


def _with_context(prompt: str, upload: Upload) -> str:
    """Put a child's context behind its task, for a plain model at the depth limit."""
    if upload.bytes > wire.PROMPT_CHARACTERS:
        raise RLMError(
            f"At this depth rlm_query is a plain call, and its context of {upload.bytes:,} bytes is too long for one. "
            "Pass a smaller piece."
        )
    return f"{prompt}\n\n{upload.text()}"
