"""Free-form chat that asks about wishes and names no film: what InterCRS and PC-CRS say beside recommending."""

from __future__ import annotations

from experts.baselines.asking import ask
from harness.core.messages import ChatReply, State
from harness.core.seams import ChatModel
from harness.core.sections import one_line, prompt, render_dialogue

ROLE = "clarifier"

INSTRUCTIONS = """\
You are a film recommender in a chat with a seeker. Another part of you chooses the films; you keep the talk going.
Answer what the seeker said last and, if something is still unclear, ask one question about what they would like to see.
Use one or two short sentences. Do not name or recommend any film. Answer with the message alone."""

_TASK = "Write the message."
_STOP = ("Seeker:", "Recommender:")


async def clarify(model: ChatModel, state: State, *, temperature: float, max_tokens: int) -> str:
    """One line of chat; `ReplyError` where two replies were blank."""
    messages = prompt(ROLE, INSTRUCTIONS, {"DIALOGUE": render_dialogue(state.history), "TASK": _TASK})
    return await ask(model, ROLE, state, messages, _said, temperature=temperature, max_tokens=max_tokens)


def _said(reply: ChatReply) -> str | None:
    text = one_line(reply.texts[0]).removeprefix("Recommender: ")
    for other in _STOP:
        # A small model may continue the dialogue; the lines of other speakers are not the recommender's message.
        text = text.partition(other)[0]
    return text.strip() or None
