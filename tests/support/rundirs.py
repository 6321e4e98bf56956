"""A run directory made by hand: evaluations of the same scenarios, one update, and texts that a test gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.app.evaluation.metrics import headline
from harness.app.evaluation.summary import Summary, differences, summarize_phase, tokens_by_role
from harness.app.identity.manifest import encode, manifest_of
from harness.app.settings.configfile import load_config
from harness.core.log import rundir
from harness.core.log.checkedlines import mark_of, new_chain
from harness.core.log.codec import encode_event
from harness.core.log.loggedepisodes import read_episodes
from harness.core.log.rundigest import run_digest
from harness.core.messages import (
    Attribute,
    Decision,
    EpisodeEnded,
    EpisodeStarted,
    Event,
    Fact,
    Failure,
    Goal,
    Opening,
    Persona,
    Scenario,
    Score,
    SeekerReply,
    StopCause,
    Transition,
    Usage,
)
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.strategies import STRATEGIES

ROOT = Path(__file__).parents[2]
TINY = ROOT / "experiments" / "tiny.toml"
WORLD = "scripted world: these numbers say nothing about language models or people"
PHASES = {"before": -1, "warmup": 0, "train": 0, "rl": 1}


def write_run(
    folder: Path,
    *,
    dialogues: int = 4,
    turns: int = 3,
    texts: Sequence[str] = (),
    persona: str = "Pat",
    summary: bool = True,
) -> Path:
    """Write the directory. ``texts`` are spoken in turn by everybody; the last training episode fails."""
    config = load_config(TINY)
    graph = KnowledgeGraph.load(Path(config.data.knowledge_graph))
    rundir.create(folder, encode(manifest_of(config, {"data.inspired": "0" * 64})))
    spoken = list(texts) or ["I like this.", "Tell me more.", "Not for me."]
    chain = new_chain(folder / rundir.EPISODES)
    lines = [
        chain.sealed(encode_event(event))
        for phase, version in PHASES.items()
        for index in range(dialogues)
        for event in events(graph, phase, version, index, turns, spoken, persona)
    ]
    (folder / rundir.EPISODES).write_bytes(b"".join(lines))
    (folder / rundir.METRICS).write_bytes(_metrics(folder))
    if summary:
        _summarize(folder, graph)
    return folder


def events(
    graph: KnowledgeGraph, phase: str, version: int, index: int, turns: int, spoken: Sequence[str], persona: str
) -> list[Event]:
    """One episode; its strategies go round, its rewards rise with the phase."""
    name = f"{phase}-{index:06d}"
    films = graph.items[index % 5 : index % 5 + 5]
    scenario = Scenario(
        id=f"{'train' if phase == 'train' else 'eval'}-{index:06d}",
        persona=Persona(
            id=f"p{index % 3}",
            name=persona,
            text=f"You are {persona}.",
            traits={"taste": "facts" if index % 2 else "warmth"},
        ),
        goal=Goal(
            id=f"goal-{index}",
            attributes=(Attribute(kind="genre", value="comedy"),),
            target=films[0].id,
            matches=(films[0].id, films[1].id),
        ),
    )
    failed = phase == "train" and index == 3
    played: list[Event] = [
        EpisodeStarted(
            episode=name,
            phase=phase,
            index=index,
            policy_version=version,
            scenario=scenario,
            seed=index,
            max_turns=turns,
        ),
        Opening(episode=name, text=spoken[0], feelings="curious"),
    ]
    stop: StopCause = "error" if failed else "judge" if phase == "rl" else "turns"
    for turn in range(1, turns + 1):
        chosen = (index + turn) % len(STRATEGIES)
        rest = 0.4 / (len(STRATEGIES) - 1)
        raw = (2, 3) if phase == "before" else (3, 4) if phase != "rl" else (4, 5)
        played.append(
            Transition(
                episode=name,
                turn=turn,
                decision=Decision(
                    strategy=STRATEGIES[chosen].key,
                    index=chosen,
                    probabilities=tuple(0.6 if place == chosen else rest for place in range(len(STRATEGIES))),
                    policy_version=version,
                ),
                preferences=f"Wants: {spoken[turn % len(spoken)]}",
                facts=(Fact(item=films[0].id, relation="genre", value=spoken[turn % len(spoken)]),),
                ranking=tuple(film.id for film in films),
                response=f"{spoken[turn % len(spoken)]} {turn}",
                recommended=(films[turn % 2].id,) if turn > 1 else (),
                reply=SeekerReply(text=f"{spoken[(turn + 1) % len(spoken)]} {turn}", feelings="so so"),
                score=Score(raw=raw, reward=(sum(raw) / 2 - 1) / 4 if turn != 2 or index else None, label_mass=0.9),
                stop=stop if turn == turns and not failed else None,
                usage={"actor": Usage(calls=1, prompt_tokens=100, cached_tokens=60, completion_tokens=20)},
                timing={"actor": 0.25},
            )
        )
    evaluation = Score(raw=(5, 5) if phase == "rl" else (2, 3), reward=1.0 if phase == "rl" else 0.375)
    played.append(
        EpisodeEnded(
            episode=name,
            stop=stop,
            turns=turns,
            evaluation=None if phase == "train" else evaluation,
            failure=Failure(kind="reply", message=spoken[0], turn=turns) if failed else None,
        )
    )
    return played


def _metrics(folder: Path) -> bytes:
    shares = {strategy.key: 1 / 13 for strategy in STRATEGIES}
    update = {"type": "update", "version": 1, "refused": None, "episodes": 4, "entropy": 2.4, "kl_to_warmup": 0.01,
              "gradient_norm": 0.1, "reward_mean": 0.5, "effective_sample_size": 9.0, "missing_reward_share": 0.1,
              "strategy_shares": shares}  # fmt: skip
    warmup = {
        "type": "warmup",
        "epochs": [{"epoch": n, "train_nll": 2.5 / n, "validation_nll": 2.6 / n} for n in (1, 2)],
        "best_epoch": 2,
    }
    chain = new_chain(folder / rundir.METRICS)
    return b"".join(chain.sealed(msgspec.json.encode(line)) for line in (warmup, update))


def _summarize(folder: Path, graph: KnowledgeGraph) -> None:
    config = load_config(TINY)
    episodes = read_episodes(folder / rundir.EPISODES)
    measures = headline(graph=graph, threshold=0.75, gamma=0.99, horizon="absorbing")
    by_phase = {name: [e for e in episodes if e.started.phase == name] for name in PHASES}
    summary = Summary(
        world=WORLD,
        phases=tuple(
            summarize_phase(name, version, by_phase[name], measures)
            for name, version in PHASES.items()
            if name != "train"
        ),
        differences=differences(by_phase["rl"], by_phase["warmup"], measures),
        seconds=12.0,
        tokens=tokens_by_role(episodes),
        seed=0,
        config_digest=config.digest,
        digest=run_digest(episodes),
        log=mark_of(folder / rundir.EPISODES),
        complete=True,
    )
    rundir.write_atomically(folder / rundir.SUMMARY, msgspec.json.encode(summary))
