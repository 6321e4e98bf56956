"""The values that travel between the parts: frozen structs without behaviour beyond reading themselves.

A conversation is a `Scenario` (persona and goal) played out turn by turn. At turn *t* the recommender sees a
`State`: the dialogue so far, ending at the seeker's message. It answers with a `RecommenderTurn`; the seeker answers
with a `SeekerReply`; the judge gives a `Score`. The three together are one `Transition`. Events of the log
(`EpisodeStarted`, `Opening`, `Transition`, `EpisodeEnded`, `Withdrawn`) are a tagged union read by `match`.

Everything that depends on the clock or the network (durations, retries) lives in fields named ``timing`` so that the
run digest can leave it out by name.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

Speaker = Literal["seeker", "recommender"]
StopCause = Literal["judge", "user", "quit", "target", "turns", "error"]
AttributeKind = Literal["genre", "person", "decade"]


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all messages: immutable, keyword-only, strict on decode."""


class Item(Struct, frozen=True, kw_only=True):
    """One recommendable item with the facts that the knowledge graph holds about it."""

    id: str
    title: str
    """Display title without the year."""
    year: int | None = None
    genres: tuple[str, ...] = ()
    directors: tuple[str, ...] = ()
    stars: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()
    plot: str = ""
    """What happens, in a sentence or a few; empty where the graph does not tell."""

    @property
    def name(self) -> str:
        """Title with year, the form in which an item is named in texts: ``Heat (1995)``."""
        return f"{self.title} ({self.year})" if self.year is not None else self.title


class Attribute(Struct, frozen=True, kw_only=True):
    """One wish of a goal: a genre, a person (director or star) or a decade such as ``1990s``."""

    kind: AttributeKind
    value: str


class Goal(Struct, frozen=True, kw_only=True):
    """What the seeker wants: attributes to cover, and the (hidden) target item they were drawn from."""

    id: str
    attributes: tuple[Attribute, ...]
    target: str
    """Item id; its title is never shown to the seeker (decision 20)."""
    matches: tuple[str, ...]
    """Ids of all items that cover every attribute, the target among them (the PC-CRS target set, decision 15)."""


class Persona(Struct, frozen=True, kw_only=True):
    """A simulated user. ``text`` is all that a model reads; ``traits`` name the same for grouping results."""

    id: str
    name: str
    text: str
    traits: dict[str, str]


class Scenario(Struct, frozen=True, kw_only=True):
    """The persona and goal of one conversation; two runs of it share every random stream (paired evaluation)."""

    id: str
    persona: Persona
    goal: Goal


class Utterance(Struct, frozen=True, kw_only=True):
    """One message of the dialogue."""

    speaker: Speaker
    text: str


class Persuasion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a system that chooses among strategies of its own did in a turn; RSO's choice is a `Decision`."""

    move: Literal["talk", "recommend", "explain"]
    """Ask or answer; recommend a film for the first time; explain a film."""
    named: tuple[str, ...] = ()
    """Strategies that it named for an explanation, best first."""
    used: tuple[str, ...] = ()
    """Those of them that the explanation follows."""
    opened: tuple[str, ...] = ()
    """Parts of the film's record (fields of `Item`) that it has read so far, those of this turn among them."""
    rewrites: int = 0
    """How often the message was written anew after a critique."""


class Turn(Struct, frozen=True, kw_only=True):
    """A turn that has been played: what the recommender did and how the seeker answered (``""``: not yet)."""

    strategy: str | None
    preferences: str
    response: str
    recommended: tuple[str, ...] = ()
    reply: str = ""
    persuasion: Persuasion | None = None
    facts: tuple[Fact, ...] = ()
    """What the system had read about items before it wrote (C2)."""


class State(Struct, frozen=True, kw_only=True):
    """s_t: everything the recommender may know at turn t (paper, section III)."""

    episode: str
    seed: int
    """Root of this conversation's random streams; depends on the run's seed and the scenario only."""
    max_turns: int
    opening: str = ""
    """The seeker's first message; empty where the recommender spoke first (human dialogues)."""
    turns: tuple[Turn, ...] = ()

    @property
    def turn(self) -> int:
        """Index of the turn to be played, from 1."""
        return len(self.turns) + 1

    @property
    def history(self) -> tuple[Utterance, ...]:
        """The dialogue in order; messages not yet spoken are left out."""
        said = [Utterance(speaker="seeker", text=self.opening)]
        for turn in self.turns:
            said.append(Utterance(speaker="recommender", text=turn.response))
            said.append(Utterance(speaker="seeker", text=turn.reply))
        return tuple(utterance for utterance in said if utterance.text)

    @property
    def discussed(self) -> frozenset[str]:
        """Ids of the items under discussion: those of the latest turn that recommended any."""
        return frozenset(next((turn.recommended for turn in reversed(self.turns) if turn.recommended), ()))

    def after(self, turn: Turn) -> State:
        """The state with one more turn."""
        return msgspec.structs.replace(self, turns=(*self.turns, turn))

    def answered(self, reply: str) -> State:
        """The state with the seeker's reply to the last turn filled in."""
        last = msgspec.structs.replace(self.turns[-1], reply=reply)
        return msgspec.structs.replace(self, turns=(*self.turns[:-1], last))


class Decision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The planner's choice h_t with the whole acting distribution pi(.|s_t)."""

    strategy: str
    index: int
    probabilities: tuple[float, ...]
    """In the order of the run's strategy list; sums to 1."""
    policy_version: int
    label_mass: float | None = None
    """Prompted planner only: probability that the model's next token was any of the strategies' letters."""
    invalid: int = 0
    """Sampled prompted planner only: number of replies that named no strategy."""

    @property
    def entropy(self) -> float:
        """H(pi(.|s_t)) in nats."""
        return -sum(p * math.log(p) for p in self.probabilities if p > 0.0)


class Fact(Struct, frozen=True, kw_only=True):
    """One edge of the knowledge graph: ``item`` --``relation``--> ``value`` (for example genre: drama)."""

    item: str
    relation: str
    value: str


class Evidence(Struct, frozen=True, kw_only=True):
    """C2 (Eq. 4): the retriever's ranking of items and the facts of the first few of them."""

    ranking: tuple[str, ...]
    """Item ids, best first; longer than ``candidates`` so that Recall@k can be read from it."""
    candidates: tuple[Item, ...]
    """The items that the actor may recommend, best first."""
    facts: tuple[Fact, ...]


class RecommenderTurn(Struct, frozen=True, kw_only=True):
    """What a recommender does in one turn; every system fills what it has (decision 13)."""

    response: str
    recommended: tuple[str, ...] = ()
    """Ids of the items that the response recommends. Where a system is shown candidates, all of them are among these;
    where it names films from memory, they are those that the graph knows, in the order of naming."""
    ranking: tuple[str, ...] = ()
    """Item ids by the system's own ranking at this turn, best first."""
    decision: Decision | None = None
    preferences: str = ""
    facts: tuple[Fact, ...] = ()
    """Facts about items that the system has read before it wrote."""
    persuasion: Persuasion | None = None


class SeekerReply(Struct, frozen=True, kw_only=True):
    """The simulated user's answer: private feelings, spoken text, and how it leaves the conversation, if it does."""

    text: str
    feelings: str = ""
    accepted: bool = False
    quit: bool = False


class Score(Struct, frozen=True, kw_only=True):
    """The judge's reading of one state (decisions 6 and 7)."""

    raw: tuple[int, ...] = ()
    """Valid samples, each 1..5; empty in the ``expected`` mode."""
    invalid: int = 0
    """Samples that could not be read; dropped and counted, never clamped."""
    reward: float | None = None
    """r_t in [0,1], or None where too few samples were valid: a missing reward is never a number."""
    label_mass: float | None = None
    """Sum of p over the five labels before normalising, where they were read from log-probabilities."""
    distribution: tuple[float, ...] = ()
    """p(1..5) where it was read."""
    unread: str = ""
    """The beginning of one sample that could not be read, where there was any."""


class Usage(Struct, frozen=True, kw_only=True):
    """Model calls and tokens of one role in one turn."""

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    truncated: int = 0
    """Replies that were cut at their token limit."""
    thoughts: int = 0
    """Replies out of which the model's thoughts were taken (`harness.core.model.thoughts`)."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            truncated=self.truncated + other.truncated,
            thoughts=self.thoughts + other.thoughts,
        )


TRAIN = "train"
"""The phase whose episodes are learned from."""


class EpisodeStarted(Struct, frozen=True, kw_only=True, tag_field="type", tag="episode_started"):
    """A conversation begins; a second one with the same id replaces an unfinished first (after a crash)."""

    episode: str
    phase: str
    """``train`` or the name of an evaluation (``before``, ``warmup``, ``rl``)."""
    index: int
    """Position within the phase, from 0; episodes are consumed and digested in this order."""
    policy_version: int
    scenario: Scenario
    seed: int
    max_turns: int


class Opening(Struct, frozen=True, kw_only=True, tag_field="type", tag="opening"):
    """The seeker's first message."""

    episode: str
    text: str
    feelings: str = ""
    usage: dict[str, Usage] = {}
    timing: dict[str, float] = {}


class Transition(Struct, frozen=True, kw_only=True, tag_field="type", tag="transition"):
    """(s_t, h_t, a_t, r_t, s_{t+1}); s_t is computed from the episode's earlier events."""

    episode: str
    turn: int
    decision: Decision | None
    preferences: str
    facts: tuple[Fact, ...]
    ranking: tuple[str, ...]
    response: str
    recommended: tuple[str, ...]
    reply: SeekerReply
    score: Score
    stop: StopCause | None = None
    usage: dict[str, Usage] = {}
    """By role; tokens are part of the digest, times are not."""
    timing: dict[str, float] = {}
    """Seconds by role."""
    persuasion: Persuasion | None = None


class Failure(Struct, frozen=True, kw_only=True):
    """Why an episode is censored: the kind of error, the role and turn where it happened, one sentence."""

    kind: str
    message: str
    turn: int


class EpisodeEnded(Struct, frozen=True, kw_only=True, tag_field="type", tag="episode_ended"):
    """The episode is finished when this line is complete. ``stop == "error"`` means censored, never scored."""

    episode: str
    stop: StopCause
    turns: int
    evaluation: Score | None = None
    """The held-out evaluator's reading of the final state (decision 9); None in training episodes."""
    failure: Failure | None = None
    usage: dict[str, Usage] = {}
    timing: dict[str, float] = {}


class Withdrawn(Struct, frozen=True, kw_only=True, tag_field="type", tag="withdrawn"):
    """Finished episodes that no longer count: they failed or depend on one that failed. They are played again.

    One line for all of them, so that a crash leaves all or none withdrawn.
    """

    episodes: tuple[str, ...]


Event = EpisodeStarted | Opening | Transition | EpisodeEnded | Withdrawn


class Message(Struct, frozen=True, kw_only=True):
    """One chat message to a model."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(Struct, frozen=True, kw_only=True):
    """One call to a language model; the client turns it into HTTP."""

    role: str
    """Who asks: ``actor``, ``seeker``, ... (accounting and routing by role)."""
    episode: str
    turn: int
    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float
    seed: int
    n: int = 1
    stop: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    """Non-empty: constrain the reply to one of these strings."""
    json_schema: msgspec.Raw = msgspec.Raw(b"")
    """Non-empty: constrain the reply to this JSON schema."""
    pattern: str = ""
    """Non-empty: constrain the whole reply to this regular expression, where the server can; the prompt asks anyway."""
    label_logprobs: tuple[str, ...] = ()
    """Non-empty: read the log-probabilities of these one-token labels in one decode step."""


class ChatReply(Struct, frozen=True, kw_only=True):
    """The answer to one call: n texts, or the labels' log-probabilities, and its cost."""

    texts: tuple[str, ...]
    usage: Usage
    label_logprobs: dict[str, float] = {}
    timing: dict[str, float] = {}


class LabelledTurn(Struct, frozen=True, kw_only=True):
    """One human recommender turn: the state it was taken in and how often each strategy was used in it."""

    state: State
    labels: dict[str, int]
    """Strategy key -> count, second labels counted (decision 14)."""
    first_label: str


class RecommendationTurn(Struct, frozen=True, kw_only=True):
    """One human recommender turn that names items: what stood before it, and what it names.

    Names are written as in the data; who knows a graph links them (`harness.domain.entities.Entities`).
    """

    state: State
    """The dialogue before this turn; texts hold the items' names."""
    named: tuple[str, ...]
    """Entities that were spoken of before this turn (items, persons, genres), by first mention, without repeats."""
    items: tuple[str, ...]
    """Items that this turn names, in order, without repeats; some may stand in ``named`` already."""
    response: str
    """The recommender's words in this turn."""


class Outcome(Struct, frozen=True, kw_only=True):
    """How a human dialogue ended, in the words of the data."""

    fine: str
    """Such as ``accept_rating_good``."""
    coarse: str
    """Such as ``accept_new``."""


class Dialogue(Struct, frozen=True, kw_only=True):
    """One human dialogue of a dataset, reduced to what is used."""

    id: str
    labelled_turns: tuple[LabelledTurn, ...] = ()
    mentions: tuple[str, ...] = ()
    """Names of items spoken of, as written in the data, in order, without repeats; the accepted one first if known."""
    recommendations: tuple[RecommendationTurn, ...] = ()
    """The recommender's turns that name items; empty where the data do not tell which."""
    utterances: int = 0
    """Messages as the data have them, before those of one speaker are joined."""
    whole: State | None = None
    """After its last message; None where the reader does not keep it."""
    outcome: Outcome | None = None
    """None where the data do not tell."""
