"""`diff`: what two runs differ in, settings, data, versions and results.

Results are compared phase by phase on the scenarios that both runs have; where persona, goal and random streams are the
same the difference is paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.app.evaluation.metrics import (
    Measure,
    acceptance,
    by_scenario,
    conversation_success,
    first_return,
    judge_success,
    recall,
    recommendation_success,
    recommendation_success_any,
    strategy_entropy,
    turns,
)
from harness.app.evaluation.scales import scale_of
from harness.app.evaluation.statistics import estimate, paired_difference
from harness.app.evaluation.summary import mean_over_interval
from harness.app.identity.sittings import differences
from harness.app.report.record import RunRecord, read_record
from harness.app.report.run_page import world_of
from harness.app.settings.config import operational, settings
from harness.app.settings.phases import phase_title
from harness.core.messages import TRAIN
from harness.core.sections import one_line
from harness.domain.knowledge_graph import KnowledgeGraph

NOT_RECORDED = "not recorded"


def diff(first: Path, second: Path, console: Console) -> None:
    """Print all differences of two run directories."""
    a, b = read_record(first), read_record(second)
    console.print(Text(f"A {first}\nB {second}"), soft_wrap=True)
    _say_differences(console, "settings", _settings(a), _settings(b))
    _say_differences(console, "data files", _short(a.manifest.files), _short(b.manifest.files))
    _say_differences(console, "versions", _versions(a), _versions(b))
    _say_differences(console, "code", _code(a), _code(b))
    _say_differences(console, "texts and scripted world", _texts(a), _texts(b))
    for name, record in (("A", a), ("B", b)):
        _say_sittings(console, name, record)
    _say_differences(console, "world", {"world": world_of(a)}, {"world": world_of(b)})
    if a.summary is not None and b.summary is not None:
        same = a.summary.digest == b.summary.digest
        digests = a.summary.digest[:12], b.summary.digest[:12]
        console.print(
            Text(
                f"run digest: {'the same, ' + digests[0] if same else f'A {digests[0]}, B {digests[1]}'}"
                + ("" if a.checked and b.checked else " (a log has no checksums: not checked)")
            ),
            soft_wrap=True,
        )
        pools = a.summary.pool, b.summary.pool
        known = all(pools) and ("the same" if pools[0] == pools[1] else "not the same; only equal ones are paired")
        console.print(Text(f"held-out people and goals: {known or NOT_RECORDED}"), soft_wrap=True)
    for phase in a.phases:
        if phase != TRAIN and phase in b.phases:
            console.print(_results(a, b, phase))


def _settings(record: RunRecord) -> dict[str, str]:
    return {
        key + (" (no result depends on it)" if operational(key) else ""): str(value)
        for key, value in settings(record.config).items()
    }


def _versions(record: RunRecord) -> dict[str, str]:
    own = {"machine": record.manifest.machine, "torch threads": str(record.manifest.torch_threads)}
    return {**record.manifest.versions, **own}


def _code(record: RunRecord) -> dict[str, str]:
    identity = record.manifest.identity
    if identity is None:
        return dict.fromkeys(("version", "commit", "dirt", "source"), NOT_RECORDED)
    code = identity.code
    return {"version": code.version, "commit": code.commit[:12], "dirt": code.dirt, "source": code.source[:12]}


def _texts(record: RunRecord) -> dict[str, str]:
    identity = record.manifest.identity
    return _short(identity.texts | identity.world) if identity is not None else {"all": NOT_RECORDED}


def _say_sittings(console: Console, name: str, record: RunRecord) -> None:
    before = record.manifest.identity
    for sitting in record.sittings:
        for what in differences(before, sitting.identity):
            console.print(Text(one_line(f"{name} from episode {sitting.episodes + 1} on: {what}")), soft_wrap=True)
        before = sitting.identity


def _short(files: Mapping[str, str]) -> dict[str, str]:
    return {key: digest[:12] for key, digest in files.items()}


def _say_differences(console: Console, what: str, a: Mapping[str, str], b: Mapping[str, str]) -> None:
    changed = [key for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key)]
    if not changed:
        console.print(Text(f"{what}: the same"))
        return
    table = Table(title=f"{what}: {len(changed)} differ", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("", "A", "B"):
        table.add_column(heading)
    for key in changed:
        table.add_row(*(Text(one_line(text)) for text in (key, a.get(key, "–"), b.get(key, "–"))))
    console.print(table)


def _results(a: RunRecord, b: RunRecord, phase: str) -> Table:
    ours = {episode.started.scenario.id: episode for episode in a.of(phase)}
    theirs = {episode.started.scenario.id: episode for episode in b.of(phase)}
    paired = [
        scenario
        for scenario, episode in ours.items()
        if scenario in theirs
        and theirs[scenario].started.scenario == episode.started.scenario
        and theirs[scenario].started.seed == episode.started.seed
    ]
    table = Table(
        title=f"{phase_title(phase)}: {len(ours)} and {len(theirs)} dialogues, {len(paired)} paired",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("", "A", "B", "B - A\n(paired)"):
        table.add_column(heading, justify="right" if heading else "left")
    measures_a, measures_b = _measures(a), _measures(b)
    for name, title in MEASURES.items():
        before = by_scenario(ours.values(), measures_a[name])
        after = by_scenario(theirs.values(), measures_b[name])
        kept = {key: value for key, value in after.items() if key in set(paired)}
        difference = paired_difference(kept, before, scale_of(name))
        table.add_row(
            title,
            mean_over_interval(estimate(list(before.values()), scale_of(name))),
            mean_over_interval(estimate(list(after.values()), scale_of(name))),
            mean_over_interval(difference, signed=True) if difference.n else "–",
        )
    return table


MEASURES = {
    "mean_return": "R_1 (Eq. 8)",
    "mean_objective": "objective",
    "conv_sr": "Conv-SR",
    "judge_sr": "Conv-SR by the judge",
    "acceptance": "accepted",
    "turns": "turns",
    "rec_sr_last": "Rec-SR",
    "rec_sr": "Rec-SR, any turn",
    "recall_1": "R@1",
    "recall_5": "R@5",
    "strategy_entropy": "entropy",
}


def _measures(record: RunRecord) -> dict[str, Measure]:
    config = record.config
    aliases = {item_id: item.id for item_id, item in record.items.items() if item_id != item.id}
    films = [item for item_id, item in record.items.items() if item_id not in aliases]
    graph = KnowledgeGraph(films, aliases) if films else None
    return {
        "mean_return": lambda e: first_return(e, config.rl.gamma, "literal"),
        # Under different horizons the objectives cannot be compared; the settings above show them.
        "mean_objective": lambda e: first_return(e, config.rl.gamma, config.rl.horizon),
        "rec_sr_last": lambda e: None if graph is None else recommendation_success(e, graph),
        "rec_sr": lambda e: None if graph is None else recommendation_success_any(e, graph),
        "conv_sr": lambda e: conversation_success(e, config.reward.threshold),
        "judge_sr": judge_success,
        "acceptance": acceptance,
        "turns": turns,
        "recall_1": lambda e: recall(e, 1),
        "recall_5": lambda e: recall(e, 5),
        "strategy_entropy": strategy_entropy,
    }
