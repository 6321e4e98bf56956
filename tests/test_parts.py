"""Table III: parts are counted in what the turns did; the notes name differences and a scripted world's constants."""

from __future__ import annotations

from support.fakes import HEAT

from harness.app.grid.comparison.parts import Parts, cells, notes, parts_of
from harness.app.setup.baselines import DIFFERS, SYSTEMS
from harness.core.log.episode import Episode
from harness.core.messages import (
    Decision,
    EpisodeStarted,
    Fact,
    Goal,
    Persona,
    Persuasion,
    Scenario,
    Score,
    SeekerReply,
    Transition,
)

SCENARIO = Scenario(
    id="s",
    persona=Persona(id="p", name="P", text="", traits={}),
    goal=Goal(id="g", attributes=(), target=HEAT.id, matches=()),
)
STARTED = EpisodeStarted(episode="e", phase="eval", index=0, policy_version=0, scenario=SCENARIO, seed=0, max_turns=5)
FACT = Fact(item="heat", relation="genre", value="crime")
CHOSEN = Decision(strategy="credibility", index=0, probabilities=(1.0,), policy_version=0)


def episode(*turns):
    made = []
    for place, fields in enumerate(turns, start=1):
        given = {"decision": None, "preferences": "", "facts": (), "persuasion": None} | fields
        made.append(
            Transition(
                episode="e",
                turn=place,
                ranking=(),
                response="Hm.",
                recommended=(),
                reply=SeekerReply(text="Well."),
                score=Score(),
                **given,
            )
        )
    return Episode(started=STARTED, transitions=tuple(made))


def test_parts_are_what_the_turns_did() -> None:
    rso = episode({"decision": CHOSEN, "preferences": "Wants: crime", "facts": (FACT,)})
    assert parts_of([rso]) == Parts(turns=1, reasoned=1, grounded=1, strategic=1)
    pccrs = episode(
        {"facts": (FACT,), "persuasion": Persuasion(move="talk")},
        {"facts": (FACT,), "persuasion": Persuasion(move="explain", used=("FRAMING",))},
    )
    assert parts_of([pccrs]) == Parts(turns=2, grounded=2, strategic=1)
    assert cells(parts_of([pccrs])) == ["no", "100% of turns", "50% of turns"]
    assert cells(parts_of([episode({})])) == ["no", "no", "no"]
    assert cells(Parts()) == ["–", "–", "–"]
    assert parts_of([rso, pccrs]) == parts_of([rso]) + parts_of([pccrs])


def test_every_baseline_says_how_it_differs_and_a_scripted_world_what_it_decides() -> None:
    assert DIFFERS.keys() == set(SYSTEMS)
    said = notes({"pccrs": "PCCRS", "intercrs": "InterCRS"}, scripted=True)
    assert [line.split()[0] for line in said] == ["PCCRS:", "InterCRS:", "The"]
    assert ".35" in said[-1]
    assert notes({"pccrs": "PCCRS"}, scripted=False) == said[:1]
    assert notes({}, scripted=True) == []
