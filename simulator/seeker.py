"""The simulated user as a language model: prompt, reading of the reply, health checks.

The protocol is PC-CRS's (decision 20): the model plays a persona with wishes, never hears the target's title, writes
down its private feelings first and then what it says, and ends with ``[END]`` when it takes a recommendation. Ours
adds ``[LEAVE]`` for a user who gives up. The words of the prompt are this project's own.

Left out: transport, retries (harness.core.model.llm) and any knowledge of what is on the other side; the scripted world
reads the same prompt.
"""

from __future__ import annotations

import re

from harness.core.messages import ChatRequest, Goal, Item, Message, Scenario, SeekerReply, State
from harness.core.model.asking import ask
from harness.core.seams import ChatModel
from harness.core.sections import prompt, render_dialogue
from harness.core.seeds import request_seed
from harness.domain.titles import TitleIndex

ROLE = "seeker"
ACCEPT = "[END]"
LEAVE = "[LEAVE]"
PATTERN = r"Feelings: \S[^\n]{0,159}\nReply: \S[^\n]{0,499}"
"""The reply's form, which servers that can enforce: a very small model drops the labels and talks on for others."""

INSTRUCTIONS = """\
You play a person who looks for a film to watch and talks with a recommender. Stay this person all the time.
Rules:
1. Speak as the seeker only, in one to three short sentences. Never recommend a film yourself.
2. Your wishes are listed under GOAL. Do not hand them all over at once; say them when you are asked, in the manner \
of your person. You have no particular film in mind.
3. Judge what is offered by your wishes and by how your person makes decisions. Turn down what does not fit.
4. First write how you feel about the conversation on one line that begins with "Feelings:". Nobody sees it.
5. Then write what you say on one line that begins with "Reply:".
6. If you decide to watch a film that was recommended to you, end the reply with [END].
7. If your patience is used up and you want to give up, end the reply with [LEAVE]."""

_OPENING_TASK = "The conversation begins. Greet the recommender and say that you look for a film."
_ANSWER_TASK = "Answer the recommender's last message. Feelings first, then the reply."
_GOAL_LEAD = "You want to watch a film that has all of these:"

_REPLY = re.compile(r"(?:^|\n)[ \t*]*Reply:\**[ \t]*", re.IGNORECASE)
_FEELINGS = re.compile(r"(?:^|\n)[ \t*]*Feelings:\**[ \t]*([^\n]*)", re.IGNORECASE)
_OWN_NAME = re.compile(r"^\s*Seeker:\s*", re.IGNORECASE)
_AS_RECOMMENDER = re.compile(
    r"^\s*(?:Recommender|Assistant|System)\s*:"
    r"|\b(?:I (?:would |can |'d )?recommend(?: you)?\b(?! it to)|how (?:can|may) I help you|you should watch"
    r"|have you (?:seen|watched)|would you like (?:me to|to watch)|you might (?:like|enjoy))",
    re.IGNORECASE,
)


def render_goal(goal: Goal) -> str:
    """The body of GOAL: one sentence, then one line an attribute (``- genre: thriller``); never the target's title."""
    return "\n".join([_GOAL_LEAD, *(f"- {attribute.kind}: {attribute.value}" for attribute in goal.attributes)])


def build_prompt(scenario: Scenario, state: State) -> tuple[Message, ...]:
    """The seeker's messages for the next reply, or for the opening where nothing was said yet."""
    history = state.history
    return prompt(
        ROLE,
        INSTRUCTIONS,
        {
            "PERSONA": scenario.persona.text,
            "GOAL": render_goal(scenario.goal),
            "DIALOGUE": render_dialogue(history),
            "TASK": _ANSWER_TASK if history else _OPENING_TASK,
        },
    )


def parse_reply(text: str) -> SeekerReply | None:
    """Feelings, spoken text and how the seeker leaves; None if nothing usable was said.

    Unusable are a blank reply, feelings without a reply (cut off), and both marks at once. A text without either label
    counts as spoken, since small models often leave out the labels.
    """
    reply = _REPLY.search(text)
    feelings = _FEELINGS.search(text)
    if reply is None and feelings is not None:
        return None
    spoken = text[reply.end() :] if reply else text
    accepted, left = ACCEPT in spoken, LEAVE in spoken
    said = _OWN_NAME.sub("", spoken.replace(ACCEPT, " ").replace(LEAVE, " ")).strip()
    if not said or (accepted and left):
        return None
    return SeekerReply(text=said, feelings=feelings[1].strip() if feelings else "", accepted=accepted, quit=left)


class LLMSeeker:
    """A `Seeker` played by a model; ``temperature`` and ``max_tokens`` go to it as they are."""

    def __init__(self, model: ChatModel, *, temperature: float, max_tokens: int) -> None:
        self._model = model
        self._temperature = temperature
        self._max_tokens = max_tokens

    async def reply(self, scenario: Scenario, state: State) -> SeekerReply:
        """The answer to the last message; in an empty dialogue the opening (turn 0), which never ends the talk."""
        opening = not state.history
        turn = 0 if opening else len(state.turns)
        messages = build_prompt(scenario, state)
        parsed = await ask(
            self._model,
            lambda attempt: ChatRequest(
                role=ROLE,
                episode=state.episode,
                turn=turn,
                messages=messages,
                max_tokens=self._max_tokens,
                temperature=self._temperature,
                seed=request_seed(state.seed, turn, ROLE, attempt),
                stop=("\nRecommender:",),
                pattern=PATTERN,
            ),
            lambda answer: parse_reply(answer.texts[0]),
        )
        return SeekerReply(text=parsed.text, feelings=parsed.feelings) if opening else parsed


def leaks_target(text: str, item: Item) -> bool:
    """Whether a seeker's words hold the target's title, which it should not know (decision 20)."""
    return bool(TitleIndex([item]).named(text, pointed_at=frozenset((item.id,))))


def speaks_as_recommender(text: str) -> bool:
    """Whether a seeker speaks as the recommender would. This is counted as a health figure and never repaired."""
    return _AS_RECOMMENDER.search(text) is not None
