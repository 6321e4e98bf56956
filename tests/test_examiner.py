"""The examiner's questions: what is asked of which dialogue, what is remembered or missing; and who can answer."""

from __future__ import annotations

import math

import msgspec
import pytest
from support.episodes import events_of
from support.fakes import FILMS, FakeChatModel, run_on_fake_clock

from experts.reward import LABELS
from harness.app.evaluation.examiner import Examiner, last_item, spoken_of
from harness.core.errors import CallError
from harness.core.log.episode import build
from harness.core.messages import Attribute, Goal, Persona, Scenario
from harness.core.sections import parse
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.scripted import examiner as scripted
from simulator.scripted.hearing import Ear
from simulator.scripted.roles import World, read

GRAPH = KnowledgeGraph.from_items(FILMS)
CRIME = Scenario(
    id="s0",
    persona=Persona(id="p", name="Pat", text="You decide by facts.", traits={}),
    goal=Goal(
        id="g",
        attributes=(
            Attribute(kind="genre", value="crime"),
            Attribute(kind="genre", value="drama"),
            Attribute(kind="person", value="Al Pacino"),
        ),
        target="heat",
        matches=("heat",),
    ),
)
SURE = {"1": -9.0, "2": -9.0, "3": -9.0, "4": -0.7, "5": -0.7}
"""Expectation 4.5 within a thousandth."""


def episode(*turns, scenario=CRIME, name="e0"):
    """A finished episode whose turns are (response, recommended ids)."""
    events = events_of(name, 0, turns=len(turns))
    events[0] = msgspec.structs.replace(events[0], scenario=scenario)
    for place, (response, recommended) in enumerate(turns, start=2):
        events[place] = msgspec.structs.replace(events[place], response=response, recommended=recommended)
    return build(events)


def examine(answer, *episodes, labels=True, **options):
    model = FakeChatModel(answer)
    examiner = Examiner(model, GRAPH, labels=labels, **({"samples": 10, "quorum": 5, "mass_floor": 0.05} | options))

    async def main():
        return [await examiner.read(one) for one in episodes]

    return run_on_fake_clock(main), model.requests


def sections(request):
    return parse("\n".join(message.content for message in request.messages))


TALK = episode(("What do you like?", ()), ("Heat (1995) is crime.", ("heat",)), ("Fargo (1996) too, by Joel Coen.", ()))


def test_pre_sees_the_title_post_the_dialogue_true_the_record():
    (reading,), requests = examine(lambda _: SURE, TALK)
    pre, post, true = (sections(request) for request in requests[:3])
    assert pre.keys() == {"ROLE", "INSTRUCTIONS", "PERSONA", "GOAL", "ITEM", "TASK"}
    assert post.keys() - pre.keys() == {"DIALOGUE"}
    assert true.keys() - pre.keys() == {"FACTS"}
    assert pre["ITEM"] == "Heat (1995)"
    assert post["DIALOGUE"].endswith("Seeker: reply 3")
    assert true["FACTS"].startswith("[1] Heat (1995) | genres: crime, drama | directors: Michael Mann")
    assert reading.intentions.item == "heat"
    assert reading.intentions.pre == pytest.approx(4.5, abs=0.01)


def test_each_turn_that_speaks_of_an_item_is_checked_against_its_record():
    (reading,), requests = examine(lambda _: SURE, TALK)
    assert reading.credibility == (None, pytest.approx(4.5, abs=0.01), pytest.approx(4.5, abs=0.01))
    checks = [sections(request) for request in requests if request.role == "credibility"]
    assert [check["MESSAGE"] for check in checks] == ["Heat (1995) is crime.", "Fargo (1996) too, by Joel Coen."]
    assert checks[1]["FACTS"].startswith("[1] Fargo (1996)")
    assert (reading.asked, reading.unreadable) == (5, 0)


def test_the_examiner_reads_whole_plots():
    plot = " ".join(f"word{n}" for n in range(100))
    graph = KnowledgeGraph.from_items([msgspec.structs.replace(FILMS[0], plot=plot)])
    title = FILMS[0].name
    model = FakeChatModel(lambda _: SURE)
    asker = Examiner(model, graph, labels=True, samples=10, quorum=5, mass_floor=0.05)
    run_on_fake_clock(lambda: asker.read(episode((f"{title} it is.", (FILMS[0].id,)))))
    facts = [sections(request)["FACTS"] for request in model.requests if "FACTS" in sections(request)]
    assert len(facts) == 2  # the true intention, and the message's truth
    assert all("word99" in one for one in facts)


def test_without_a_recommendation_nothing_is_asked_and_all_is_missing():
    (reading,), requests = examine(lambda _: SURE, episode(("Hello.", ()), ("", ())))
    assert requests == []
    assert (reading.intentions.pre, reading.credibility, reading.asked) == (None, (None, None), 0)


def test_a_system_without_ids_is_asked_about_the_last_film_it_named():
    named = episode(("Heat (1995)!", ()), ("Or Alien (1979).", ()), ("Well?", ()))
    assert last_item(named, GRAPH) == "alien"
    assert last_item(episode(("Heat (1995)!", ("heat",)), ("Not Alien (1979).", ())), GRAPH) == "heat"
    assert spoken_of(TALK.transitions[2], GRAPH) == ("fargo",)


def test_pre_and_true_are_asked_once_for_a_seeker_and_an_item():
    other = episode(("Heat (1995), by Michael Mann.", ("heat",)), name="e1")
    memory: dict[str, float] = {}
    _, requests = examine(lambda _: SURE, TALK, other, memory=memory)
    asked = [sections(request) for request in requests if request.role == "intention"]
    assert ["DIALOGUE" in one for one in asked] == [False, True, False, True]
    _, again = examine(lambda _: SURE, TALK, memory=memory)
    assert sum(request.role == "intention" for request in again) == 1
    # Another goal is another seeker.
    goal = msgspec.structs.replace(CRIME.goal, attributes=CRIME.goal.attributes[:2])
    stranger = episode(("Heat (1995).", ("heat",)), scenario=msgspec.structs.replace(CRIME, goal=goal))
    _, fresh = examine(lambda _: SURE, stranger, memory=memory)
    assert sum(request.role == "intention" for request in fresh) == 3


def test_samples_need_a_quorum_and_what_is_unreadable_is_missing_and_counted():
    answers = {"intention": ["2", "4", "nine"], "credibility": ["5", "x", "y"]}
    (reading,), requests = examine(lambda request: answers[request.role], TALK, labels=False, samples=3, quorum=2)
    assert requests[0].n == 3
    assert reading.intentions.post == 3.0
    assert reading.credibility == (None, None, None)
    assert (reading.asked, reading.unreadable) == (5, 2)


def test_a_failed_call_is_missing_and_not_remembered():
    memory: dict[str, float] = {}
    (reading,), _ = examine(lambda _: CallError("gone"), TALK, memory=memory)
    assert reading.intentions.pre is None
    assert reading.unreadable == 5
    assert memory == {}


def test_labels_that_cannot_be_read_are_missing():
    (reading,), _ = examine(lambda _: {"1": -0.1}, TALK)
    assert (reading.intentions.true, reading.unreadable) == (None, 5)


def test_labels_without_mass_are_missing():
    thin = dict.fromkeys(LABELS, -9999.0)
    (reading,), _ = examine(lambda request: thin, TALK)
    assert reading.unreadable == reading.asked > 0
    (reading,), _ = examine(lambda request: thin, TALK, mass_floor=0.0)
    assert reading.unreadable == 0


def test_an_answer_does_not_depend_on_who_asks_first():
    other = msgspec.structs.replace(TALK, started=msgspec.structs.replace(TALK.started, episode="e9"))
    _, requests = examine(lambda _: SURE, TALK)
    _, others = examine(lambda _: SURE, other)
    assert [request.seed for request in requests] == [request.seed for request in others]


# The scripted world as examiner: causes and effects.

EAR = Ear(GRAPH)
WORLD = World(GRAPH)


def world_answer(request):
    probabilities = WORLD.label_probabilities(read(request.messages))
    return {label: math.log(p) for label, p in probabilities.items()}


def rated(*turns):
    (reading,), _ = examine(world_answer, episode(*turns))
    return reading


def test_truth_is_believed_and_invention_is_not():
    true = rated(("Heat (1995) fits: it is crime and drama and it was directed by Michael Mann.", ("heat",)))
    partly = rated(("Heat (1995) fits: it is crime and it was directed by Ridley Scott.", ("heat",)))
    invented = rated(("Heat (1995) fits: it is horror and it was directed by Ridley Scott.", ("heat",)))
    silent = rated(("You will love Heat (1995).", ("heat",)))
    order = [invented, partly, silent, true]
    values = [reading.credibility[0] for reading in order]
    assert values == sorted(values)
    assert values[0] < 1.5 < 2.5 < values[1]
    assert values[-1] > 4.5


def test_the_true_intention_follows_the_wishes_and_the_title_says_little():
    fitting, near, far = (
        rated((f"{name} is an option.", (item,)))
        for name, item in (("Heat (1995)", "heat"), ("Fargo (1996)", "fargo"), ("Alien (1979)", "alien"))
    )
    assert fitting.intentions.true > near.intentions.true > far.intentions.true
    assert fitting.intentions.pre < 2.5 < fitting.intentions.true


def test_good_talk_about_a_fitting_film_moves_towards_the_truth():
    offered = rated(("I would put Heat (1995) on myself.", ("heat",)))
    argued = rated(*[("Heat (1995) fits: it is crime and drama, directed by Michael Mann.", ("heat",))] * 2)
    refused = rated(("Alien (1979) fits: it is horror, directed by Ridley Scott.", ("alien",)))
    assert argued.intentions.post > offered.intentions.post
    assert refused.intentions.post < refused.intentions.pre


def test_the_scripted_examiner_reads_the_prompt_alone():
    sections_ = {"ITEM": "Heat (1995)", "GOAL": "- genre: crime", "FACTS": "[1] Heat (1995) | genres: comedy"}
    assert scripted.intention(sections_, EAR) < 0.2  # whatever the world knows of Heat
    assert scripted.distribution("credibility", {}, EAR)[3] > 0.3
