"""A journal as a script: replies by what was asked, for a model that knows nothing of nodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from rlm_kernel.errors import ModelError
from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Message
from rlm_kernel.host.providers.base import Reply

Chat = list[dict[str, str]]


@dataclass
class _Dialogue:
    """A node's messages with its root model: how they began, and what it said."""

    question: str
    opening: tuple[Message, ...] = ()
    replies: list[events.ModelReplied] = field(default_factory=list)


class JournalScript:
    """Answers a chat as the journal's models did.

    A root model is known by the messages that its node began with, else by its question, and by what it has said since;
    a plain call by its prompt. The same call is answered as often as it was made.
    """

    def __init__(self, stream: Iterable[Event]) -> None:
        self._dialogues: dict[tuple[int, str], _Dialogue] = {}
        """Of each attempt and node."""
        self._attempt = 0
        self._prompts: dict[str, str] = {}
        self._calls: dict[str, deque[Reply]] = {}
        for event in stream:
            self._take(event)

    def __call__(self, chat: Chat) -> Reply:
        """Return the reply.

        Raises
        ------
        ModelError
            The journal has none.
        """
        messages = tuple(Message(message["role"], message["content"]) for message in chat)  # type: ignore[arg-type]
        reply = self._of_root(messages) or self._of_call(messages[-1].content)
        if reply is None:
            raise ModelError(f"This is not in the journal: {messages[-1].content[:80]!r}. A script asks no model.")
        return reply

    def _of_root(self, messages: tuple[Message, ...]) -> Reply | None:
        newest_first = list(reversed(self._dialogues.values()))
        exact = [node for node in newest_first if node.opening == messages[: len(node.opening)]]
        asked = "\n".join(message.content for message in messages)
        similar = [node for node in newest_first if len(messages) > 1 and node.question in asked]
        for node in exact or similar:
            said = [message.content for message in messages[len(node.opening) :] if message.role == "assistant"]
            fits = all(reply.text.startswith(text) for reply, text in zip(node.replies, said, strict=False))
            if fits and len(said) < len(node.replies):
                reply = node.replies[len(said)]
                return Reply(reply.text, reply.usage, finish=reply.finish)
        return None

    def _of_call(self, prompt: str) -> Reply | None:
        if prompt not in self._calls:  # what a schema adds stands around the prompt
            prompt = max((known for known in self._calls if known and known in prompt), key=len, default=prompt)
        replies = self._calls.get(prompt)
        if not replies:
            return None
        return replies.popleft() if len(replies) > 1 else replies[0]

    def _take(self, event: Event) -> None:
        match event:
            case events.NodeStarted():
                self._dialogues[self._attempt, event.node] = _Dialogue(event.question)
            case events.ModelRequested():
                dialogue = self._dialogues.setdefault((self._attempt, event.node), _Dialogue(""))
                dialogue.opening = dialogue.opening or event.messages
            case events.ModelReplied():
                self._dialogues.setdefault((self._attempt, event.node), _Dialogue("")).replies.append(event)
            case events.CallRequested(kind="llm"):
                self._prompts[event.call] = event.prompt
            case events.CallFinished(status="ok") if event.call in self._prompts:
                replies = self._calls.setdefault(self._prompts[event.call], deque())
                if not event.cached:
                    replies.append(Reply(event.text, event.usage))
            case events.RunResumed():
                self._attempt += 1
