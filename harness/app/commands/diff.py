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

from harness.app.evaluation.answers import EXTRA, extra_measures, of_dialogues
from harness.app.evaluation.measures import entry_of
from harness.app.evaluation.metrics import all_by_scenario, headline
from harness.app.evaluation.summary import EXTRA_ROWS, estimates_of, mean_over_interval, paired_differences
from harness.app.identity.sittings import differences as changes
from harness.app.job.examination import known_readings
from harness.app.report.record import RunRecord, read_record
from harness.app.report.run_page import world_of
from harness.app.settings.config import operational, settings
from harness.app.settings.phases import phase_title
from harness.core.log.episode import Episode
from harness.core.log.rundigest import run_digest
from harness.core.messages import TRAIN
from harness.core.sections import one_line
from harness.domain.knowledge_graph import KnowledgeGraph

NOT_RECORDED = "not recorded"


def diff(first: Path, second: Path, console: Console) -> None:
    """Print all differences of two run directories."""
    a, b = read_record(first), read_record(second)
    console.print(Text(f"A {first}\nB {second}"), soft_wrap=True)
    compared = {
        "settings": (_settings(a), _settings(b)),
        "data files": (_short(a.manifest.files), _short(b.manifest.files)),
        "versions": (_versions(a), _versions(b)),
        "code": (_code(a), _code(b)),
        "texts and scripted world": (_texts(a), _texts(b)),
        "world": ({"world": world_of(a)}, {"world": world_of(b)}),
    }
    same = [_say_differences(console, what, *sides) for what, sides in compared.items()]
    for name, record in (("A", a), ("B", b)):
        _say_sittings(console, name, record)
    if a.summary is not None and b.summary is not None:
        equal = a.summary.digest == b.summary.digest
        digests = a.summary.digest[:12], b.summary.digest[:12]
        console.print(
            Text(
                f"run digest: {'the same, ' + digests[0] if equal else f'A {digests[0]}, B {digests[1]}'}"
                + ("" if a.checked and b.checked else " (a log has no checksums: not checked)")
            ),
            soft_wrap=True,
        )
        pools = a.summary.pool, b.summary.pool
        known = all(pools) and ("the same" if pools[0] == pools[1] else "not the same; only equal ones are paired")
        console.print(Text(f"held-out people and goals: {known or NOT_RECORDED}"), soft_wrap=True)
    for phase in a.phases:
        if phase != TRAIN and phase in b.phases:
            same.append(_say_results(a, b, phase, console))
    if all(same) and a.phases == b.phases:
        console.print("Nothing differs.")


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
        for what in changes(before, sitting.identity):
            console.print(Text(one_line(f"{name} from episode {sitting.episodes + 1} on: {what}")), soft_wrap=True)
        before = sitting.identity


def _short(files: Mapping[str, str]) -> dict[str, str]:
    return {key: digest[:12] for key, digest in files.items()}


def _say_differences(console: Console, what: str, a: Mapping[str, str], b: Mapping[str, str]) -> bool:
    """Whether nothing differs."""
    changed = [key for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key)]
    if not changed:
        console.print(Text(f"{what}: the same"))
        return True
    table = Table(title=f"{what}: {len(changed)} differ", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("", "A", "B"):
        table.add_column(heading)
    for key in changed:
        table.add_row(*(Text(one_line(text)) for text in (key, a.get(key, "–"), b.get(key, "–"))))
    console.print(table)
    return False


def _say_results(a: RunRecord, b: RunRecord, phase: str, console: Console) -> bool:
    """The measures of a phase side by side; of the same dialogues only those that differ. Whether nothing does."""
    ours, theirs = _of_scenarios(a, phase), _of_scenarios(b, phase)
    found_a, found_b = _values(a, ours), _values(b, theirs)
    alike = run_digest(ours.values()) == run_digest(theirs.values())
    differing = {name for name in (*found_a, *found_b) if not alike or found_a.get(name) != found_b.get(name)}
    if not differing:
        console.print(Text(f"{phase_title(phase)}: the same {len(ours)} dialogues, so no measure differs"))
        return True
    paired = {
        name
        for name, episode in ours.items()
        if name in theirs
        and theirs[name].started.scenario == episode.started.scenario
        and theirs[name].started.seed == episode.started.seed
    }
    counts = f"the same {len(ours)}" if alike else f"{len(ours)} and {len(theirs)}"
    table = Table(
        title=f"{phase_title(phase)}: {counts} dialogues, {len(paired)} paired",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("", "A", "B", "B - A\n(paired)"):
        table.add_column(heading, justify="right" if heading else "left")
    kept = {measure: {key: value for key, value in of.items() if key in paired} for measure, of in found_b.items()}
    differences, before, after = paired_differences(kept, found_a), estimates_of(found_a), estimates_of(found_b)
    for measure in (*SHOWN, *EXTRA_ROWS):
        if differing.isdisjoint((measure, *(entry_of(measure).ratio or ()))):
            continue
        difference = differences.get(measure)
        table.add_row(
            entry_of(measure).heading,
            mean_over_interval(before.get(measure)),
            mean_over_interval(after.get(measure)),
            mean_over_interval(difference, signed=True) if difference is not None and difference.n else "–",
        )
    console.print(table)
    return False


SHOWN = (
    "mean_return", "mean_objective", "conv_sr", "judge_sr", "acceptance", "turns", "rec_sr_last", "rec_sr", "recall_1",
    "recall_5", "recall_any_1", "recall_any_5", "target_rec_sr", "target_recall_1", "target_recall_5",
    "strategy_entropy",
)  # fmt: skip
"""What a log gives; the measures of ``evaluation.measures`` stand below them, where one of the runs has them."""


def _of_scenarios(record: RunRecord, phase: str) -> dict[str, Episode]:
    return {episode.started.scenario.id: episode for episode in record.of(phase)}


def _values(record: RunRecord, episodes: Mapping[str, Episode]) -> dict[str, dict[str, float | None]]:
    """Measure -> scenario -> value."""
    config, graph = record.config, _graph(record)
    # Under different horizons the objectives cannot be compared; the settings above show them.
    measures = headline(
        graph=graph, threshold=config.reward.threshold, gamma=config.rl.gamma, horizon=config.rl.horizon
    )
    readings = of_dialogues(known_readings(record.folder), episodes.values())
    if readings:
        wanted = {name for one in readings.values() for name in one.wanted}
        measures |= extra_measures(readings, [name for name in EXTRA if name in wanted])
    return all_by_scenario(episodes.values(), measures)


def _graph(record: RunRecord) -> KnowledgeGraph | None:
    """None where the films cannot be read any more."""
    if not record.items:
        return None
    aliases = {item_id: item.id for item_id, item in record.items.items() if item_id != item.id}
    return KnowledgeGraph([item for item_id, item in record.items.items() if item_id not in aliases], aliases)
