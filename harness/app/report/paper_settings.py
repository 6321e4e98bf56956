"""Which settings of a comparison differ from the paper's, and why; pure.

Two kinds. What a config says is compared with what the paper states, key by key. What no key says, since this project
reads a sentence of the paper in one way or mends it, stands in `READ_SO` and holds for all runs (docs/decisions.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from harness.app.settings.config import Config, flattened, settings
from harness.app.settings.configfile import PRESETS
from harness.core.messages import Struct

MODEL = "Qwen/Qwen2.5-7B-Instruct"
STATED = {**flattened(PRESETS["paper"]), "conversation.max_turns": 10}
"""Config key -> what the paper states (the preset, and what is a default)."""
WHY = {
    "network.retriever": "attributes rank by the share of wishes that a film has (decision 26)",
    "planner.encoder": "roberta-base comes from the model hub; MiniLM is packaged (decision 11)",
    "planner.trainable_layers": "a frozen encoder learns on a CPU (decision 11)",
    "planner.head": "the linear head goes with a frozen encoder (decision 11)",
    "planner.max_tokens": "only layers that learn read the text as a whole",
    "planner.preferences": "C1 is read by layers that learn (decision 24)",
    "planner.facts": "C2 is read by layers that learn (decision 24)",
    "warmup.learning_rate": "6e-6 hardly moves a linear head (decision 21)",
    "warmup.encoder_learning_rate": "its own rate without the preset (decision 21)",
    "rl.learning_rate": "a linear head learns faster at 2e-2 (decision 21)",
    "rl.horizon": "Eq. 8 as written pays for stalling (decision 22)",
    "rl.advantage": "a critic lowers the gradient's variance (decision 3)",
    "rl.passes": "conversations are dear, passes cheap (decision 25)",
    "rl.averaged": "a constant divisor, so that short dialogues' turns weigh no more (decision 1)",
    "rl.decay": "no decay was found to help (decision 21)",
    "rl.policy_lag": "with a lag, conversations go on while the planner learns",
    "reward.mode": "drawn locally from the distribution over the labels: the same law as samples (decision 7)",
}
TEST_SPLITS = {"inspired": "test.tsv", "redial": "test_data.jsonl"}
"""Layout of goals -> name of the file of the release's test split."""
DIALOGUES = {"inspired": 99, "redial": 198}
BY_FILE = "set by the experiment file, the comparison file or --set"
READ_SO = (
    (
        "Eq. 7 has the sign of a loss, and 1/T at the entropy alone",
        "return and entropy are both maximised, the entropy is the mean over a dialogue's turns; beta is ours",
        "as written it minimises the return (decision 1)",
    ),
    ("beta, tau, K, temperatures", "ours, printed in every report", "the paper gives none (decision 2)"),
    (
        "Conv-SR",
        "the held-out evaluator's reading of the final state above tau",
        "the judge that ends a dialogue flatters it: it takes the highest of several noisy readings (decision 9)",
    ),
    ("the actor gets no state in Eq. 5", "it reads the dialogue", "else it could not answer (decision 10)"),
    (
        "C1 and C2 in the planner's state",
        "those of the turn before",
        "planner and reasoner work side by side; people's dialogues have neither, so the warm-up never sees them "
        "(decision 24)",
    ),
    (
        "R@k",
        "from the shared retriever's ranking at the last turn, any film that covers the whole goal",
        "the paper's R@5 stands above its Rec-SR, so it does not come from named titles (decision 15)",
    ),
    ("Rec-SR", "a film named in the last message", "as PC-CRS counts (decision 16)"),
    (
        "PRS",
        "post > true is left out, post < pre is 0, pre >= true is undefined; the pooled ratio is in the report",
        "the paper's range [0, 1] and true >= post (decision 17)",
    ),
    (
        "what each system searches with",
        "all that the seeker said, for every system; refused and seen films come last",
        "so that R@k compares systems and not query lengths (decisions 27, 29)",
    ),
    (
        "one number a cell",
        "95% intervals over seeds and scenarios",
        ".98 against .96 is two dialogues of 99",
    ),
)
"""(the paper, here, why) of what holds for every run."""


class Differing(Struct, frozen=True, kw_only=True):
    """One setting."""

    what: str
    paper: str
    here: str
    why: str


def differing(config: Config, served: dict[str, str]) -> Iterator[Differing]:
    """The settings of a cell that are not those that the paper states.

    ``served``: role -> name of its model, of the roles whose model the paper states.
    """
    for role, model in served.items():
        if model != MODEL:
            yield Differing(what=f"model of {role}", paper=MODEL, here=model, why=BY_FILE)
    here = settings(config)
    for key, stated in STATED.items():
        if here[key] != stated:
            yield Differing(what=key, paper=_text(stated), here=_text(here[key]), why=WHY.get(key, BY_FILE))


def other_goals(dataset: str, config: Config, scenarios: int) -> Iterator[Differing]:
    """Where held-out goals do not come from the release's test split, by the file's name, or are not as many."""
    data = config.data
    if scenarios != (wanted := DIALOGUES[data.goals]):
        yield Differing(
            what=f"held-out dialogues of {dataset}",
            paper=f"{wanted} (its rates fit this number)",
            here=str(scenarios),
            why="set by comparison.scenarios or --limit",
        )
    path = data.held_out_goals_file or (data.redial_dir if data.goals == "redial" else data.inspired)
    if Path(path).name != TEST_SPLITS[data.goals] or data.goals not in dataset.lower():
        here = f"{Path(path).name} in {data.goals}'s layout" if path else f"drawn from the graph, {data.goals}'s layout"
        yield Differing(what=f"held-out goals of {dataset}", paper="the release's test split", here=here, why=BY_FILE)


def quantized(config: Config) -> Iterator[Differing]:
    """The models of a cell whose weights are read in fewer bits."""
    for name in config.models_in_use:
        for option, value in pairwise(config.models[name].arguments):
            if option == "--quantization":
                why = "16-bit weights do not fit one GPU beside the other server"
                yield Differing(what=f"weights of {name}", paper="not stated", here=value, why=why)


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
