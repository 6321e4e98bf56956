"""Every measure that a table, a figure or a page shows: the one list of their titles, scales and directions.

A measure is computed elsewhere (`metrics`, `answers`, `persuasion`, a grid's cell). What shows a measure names it and
takes the rest from here. A result of a version that did not have it is shown as *not measured*. `docs/measures.md` is
made from this list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from harness.app.evaluation.floors import FLOOR_MEASURES, FLOORS, IEVALM_FLOORS, floor_name, floor_of
from harness.app.evaluation.scales import AMOUNT, ENTROPY, LIKERT, NUMBER, RATE, SHARE, Scale
from harness.core.messages import Struct

Better = Literal["more", "less", ""]


class Entry(Struct, frozen=True, kw_only=True):
    """What a reader must know of one measure."""

    title: str
    """What stands after a comma is the second line of a narrow column's heading."""
    scale: Scale
    better: Better = "more"
    """Which direction is better; empty where neither is."""
    note: str
    """What is counted, of one dialogue; half a sentence."""
    ratio: tuple[str, str] | None = None
    """Two measures, the sum of the first over that of the second; those are shown as their ratio only."""

    @property
    def heading(self) -> str:
        """The title over two lines."""
        return self.title.replace(", ", "\n")


def _recall(k: int) -> dict[str, Entry]:
    first = f"among the first {k}" if k > 1 else "the first"
    at = f"R@{k}"
    found = {
        f"recall_{k}": Entry(
            title=at, scale=RATE, note=f"an item that covers the whole goal is {first} of the last turn's ranking"
        ),
        f"recall_any_{k}": Entry(
            title=f"{at}, any turn", scale=RATE, note=f"such an item is {first} of some turn's ranking"
        ),
        f"target_recall_{k}": Entry(
            title=f"{at}, target only", scale=RATE, note=f"the hidden target is {first} of the last turn's ranking"
        ),
        f"named_recall_{k}": Entry(
            title=f"{at}, named",
            scale=RATE,
            note=f"such an item is {first} of the films that the last message names, in their order there",
        ),
    }
    return _with_floors(found)


def _with_floors(recalls: Mapping[str, Entry]) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for name, entry in recalls.items():
        found[name] = entry
        for floor, words in FLOORS.items():
            if (under := floor_name(floor, name)) in (*FLOOR_MEASURES, *IEVALM_FLOORS):
                scale = SHARE if floor == "chance" else RATE
                found[under] = Entry(title=f"{entry.title}, {floor}", scale=scale, note=f"the same of {words}")
    return found


MEASURES: Mapping[str, Entry] = {
    "conv_sr": Entry(title="Conv-SR", scale=RATE, note="the held-out evaluator rates the final state above tau"),
    "judge_sr": Entry(
        title="Conv-SR, by the judge",
        scale=RATE,
        note="the training judge ended the dialogue; a maximum of noisy readings, so it flatters",
    ),
    "acceptance": Entry(
        title="acceptance", scale=RATE, note="the seeker said yes to a film, whatever ended the dialogue"
    ),
    "quit": Entry(title="seeker left", scale=RATE, better="less", note="the seeker was bored and left"),
    **_with_floors(
        {
            "ievalm_sr": Entry(
                title="iEvaLM SR@50",
                scale=RATE,
                note="by iEvaLM's protocol: the target came among the first 50 of a ranking within 5 turns",
            )
        }
    ),
    "turns": Entry(title="turns", scale=AMOUNT, better="less", note="turns played"),
    "mean_return": Entry(title="R_1 (Eq. 8)", scale=AMOUNT, note="the discounted sum of the judge's rewards"),
    "mean_objective": Entry(title="objective", scale=AMOUNT, note="what is optimised, by `rl.horizon`"),
    "absorbing": Entry(
        title="absorbed return", scale=AMOUNT, note="R_1 that credits a success with the turns that it saved"
    ),
    "terminal": Entry(title="last reward", scale=AMOUNT, note="R_1 of the last reward alone"),
    "wi": Entry(
        title="WI",
        scale=LIKERT,
        note="watching intention after the dialogue for the last film recommended; missing where none was",
    ),
    "wi_all": Entry(
        title="WI, of all", scale=LIKERT, note="the same, and 1 (certainly not) where no film was recommended"
    ),
    "wi_coverage": Entry(title="WI, coverage", scale=RATE, note="a film was recommended, and the intention was read"),
    "prs": Entry(
        title="PRS",
        scale=NUMBER,
        note="sum of post - pre over sum of true - pre, of all dialogues with the three readings",
        ratio=("prs_gain", "prs_room"),
    ),
    "prs_paper": Entry(
        title="PRS, the paper's",
        scale=SHARE,
        note="(post - pre) / (true - pre), 0 where post < pre; left out where pre >= true or post > true",
    ),
    "prs_gain": Entry(title="post - pre", scale=NUMBER, note="what the dialogue moved"),
    "prs_room": Entry(title="true - pre", scale=NUMBER, note="what knowing the whole record would move"),
    "oversold": Entry(
        title="oversold", scale=RATE, better="less", note="post > true: more willing than the record warrants"
    ),
    "harmed": Entry(
        title="harmed",
        scale=RATE,
        better="less",
        note="post below both pre and true: the film was talked down",
    ),
    "cred": Entry(title="Cred", scale=LIKERT, note="mean truth of the messages that speak of a film"),
    "cred_zero_filled": Entry(
        title="Cred, zero-filled", scale=Scale(0.0, 5.0), note="mean over all messages, 0 for those that speak of none"
    ),
    "cred_coverage": Entry(title="Cred, coverage", scale=SHARE, note="share of the messages that were rated"),
    "dist_2": Entry(title="Dist-2", scale=SHARE, note="distinct bigrams over all, mean over the messages"),
    "corpus_dist_2": Entry(
        title="Dist-2, corpus", scale=SHARE, note="the same over all dialogues' messages together: one number a run"
    ),
    "rec_sr_last": Entry(
        title="Rec-SR", scale=RATE, note="the last message names an item that covers the whole goal (as PC-CRS counts)"
    ),
    "rec_sr": Entry(title="Rec-SR, any turn", scale=RATE, note="some message names such an item"),
    "target_rec_sr": Entry(title="Rec-SR, target only", scale=RATE, note="the last message names the hidden target"),
    **_recall(1),
    **_recall(5),
    "strategy_entropy": Entry(
        title="entropy", scale=ENTROPY, better="", note="of the planner's distribution, nats, mean over the turns"
    ),
    "judge_final": Entry(title="judge (end)", scale=SHARE, note="the training judge's reading of the final state"),
    "evaluator_final": Entry(title="eval. (end)", scale=SHARE, note="the held-out evaluator's reading of it"),
    "judge_gap": Entry(
        title="their gap", scale=SHARE.of_differences, better="", note="the judge's reading minus the evaluator's"
    ),
    "label_mass": Entry(
        title="label mass, judge", scale=SHARE, note="probability that the judge's next token is a label"
    ),
    "planner_label_mass": Entry(
        title="label mass, planner", scale=SHARE, note="the same of a prompted planner's letters"
    ),
    "tokens": Entry(title="tokens", scale=AMOUNT, better="less", note="of all roles"),
    "recommender_tokens": Entry(
        title="tokens, recommender's", scale=AMOUNT, better="less", note="without seeker, judges and examiner"
    ),
    "calls": Entry(title="calls", scale=AMOUNT, better="less", note="model calls of all roles"),
    "leaked": Entry(title="target leaked", scale=RATE, better="less", note="the seeker spoke of the hidden target"),
    "role_slips": Entry(
        title="role slips", scale=SHARE, better="less", note="share of the seeker's messages that recommend"
    ),
}
"""By name, in the order of tables."""

PARTS: frozenset[str] = frozenset(name for entry in MEASURES.values() for name in entry.ratio or ())
"""Shown as their ratio only."""


def entry_of(measure: str) -> Entry:
    """What is known of a measure; of one's own (an own judge's or dataset's) nothing but its name."""
    return MEASURES.get(measure) or Entry(title=measure.replace("_", " "), scale=NUMBER, better="", note="")


def row_title(measure: str) -> str:
    """The title over two lines; of a floor, which stands under its recall, its own name alone."""
    floor = floor_of(measure)
    return f"· {floor}" if floor else entry_of(measure).heading


def title_of(measure: str) -> str:
    """How a measure is called."""
    return entry_of(measure).title


def scale_of(measure: str) -> Scale:
    """The scale of a measure."""
    return entry_of(measure).scale


def in_order(measures: Mapping[str, object]) -> tuple[str, ...]:
    """The names in the order of `MEASURES`, unknown ones last."""
    return (*(name for name in MEASURES if name in measures), *(name for name in measures if name not in MEASURES))
