"""The trained planner as a folder in Hugging Face's layout: safetensors, `config.json`, and a model card.

The folder is a checkpoint too: ``planner.init`` takes it, `learner.checkpoint.load_checkpoint` verifies it. A frozen
encoder is named with its SHA-256 and not copied; trained encoder layers lie in ``encoder/`` as `save_pretrained` writes
them. The learner's state is left out: an exported planner is not trained further.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec

from harness.app.evaluation.decisions import decisions_of
from harness.app.evaluation.measures import title_of
from harness.app.evaluation.statistics import estimate_text
from harness.app.evaluation.summary import rows_of
from harness.app.report.record import RunRecord
from harness.app.settings.phases import phase_title
from harness.core.errors import InputError
from learner.checkpoint import CheckpointMeta, load_checkpoint, newest_checkpoint

_META, _LEARNER = "checkpoint.json", "learner.safetensors"


def export_planner(record: RunRecord, checkpoints: Path, out: Path, world: str) -> Path:
    """Write the newest planner of a run; `InputError` where it has none or ``out`` is there already."""
    newest = newest_checkpoint(checkpoints)
    if newest is None:
        raise InputError(f"{record.folder} holds no trained planner")
    if out.exists():
        raise InputError(f"{out} already exists")
    meta = load_checkpoint(newest).meta
    kept = {name: digest for name, digest in meta.files.items() if name != _LEARNER}
    for name in kept:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(newest / name, out / name)
    exported = msgspec.structs.replace(meta, files=kept)
    (out / _META).write_bytes(msgspec.json.format(msgspec.json.encode(exported), indent=2))
    (out / "config.json").write_bytes(msgspec.json.format(msgspec.json.encode(_config(exported)), indent=2))
    (out / "README.md").write_text(card(record, exported, world), encoding="utf-8")
    load_checkpoint(out)
    return out


def _config(meta: CheckpointMeta) -> dict[str, Any]:
    return {
        "model_type": "rso-planner",
        "architectures": ["EncoderPolicy" if meta.encoder is not None else "TabularPolicy"],
        "id2label": {str(place): name for place, name in enumerate(meta.strategies)},
        "label2id": {name: place for place, name in enumerate(meta.strategies)},
        "encoder": msgspec.to_builtins(meta.encoder),
    }


def card(record: RunRecord, meta: CheckpointMeta, world: str) -> str:
    """The model card: what it is, how it was made, how far its numbers carry, how to load it."""
    encoder = (
        f"`{meta.encoder.name}` (SHA-256 `{meta.encoder.sha256}`)" if meta.encoder is not None else "none (tabular)"
    )
    layers = meta.encoder.trainable_layers if meta.encoder is not None else 0
    rows = []
    for measure in rows_of(record.evaluations):
        cells = [estimate_text(phase.metrics.get(measure), 3) for phase in record.evaluations]
        rows.append(f"| {title_of(measure)} | {' | '.join(cells)} |")
    headings = [phase_title(phase.name) for phase in record.evaluations]
    lines = [
        "---",
        "library_name: rso-harness",
        "pipeline_tag: text-classification",
        "tags: [conversational-recommendation, reinforcement-learning, dialogue-policy]",
        "---",
        "",
        f"# RSO strategy planner, version {meta.version}",
        "",
        "A distribution over macro-level strategies of a conversational recommender, given the dialogue so far: warmed "
        "up on human strategy labels, then tuned by entropy-regularised policy gradient on simulated conversations.",
        "",
        f"- strategies: {', '.join(meta.strategies)}",
        f"- encoder: {encoder}, trained layers: {layers}",
        f"- seed {record.config.run.seed}, config digest `{meta.config_digest}`",
        f"- weights hash `{meta.weights_hash}`",
        f"- decisions in force: {_plain(decisions_of(record.config))}",
        "",
        "## Results",
        "",
        f"**World: {_plain(world)}.** 95% intervals over the dialogues of one run; they do not speak about training "
        "again.",
        "",
    ]
    if headings:
        lines += [f"| | {' | '.join(headings)} |", "|---" * (len(headings) + 1) + "|", *rows, ""]
    lines += [
        "## Use",
        "",
        "```python",
        "from pathlib import Path",
        "from learner.checkpoint import load_checkpoint",
        "",
        'policy = load_checkpoint(Path("path/to/this/folder")).policy()',
        "policy.distribution(state)  # harness.core.messages.State -> one probability a strategy",
        "```",
        "",
        'or `planner.init = "path/to/this/folder"` in an experiment file of the harness.',
        "",
    ]
    return "\n".join(lines)


def _plain(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|").replace("\n", " ")
