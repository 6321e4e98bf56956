"""What each sitting of a run was made by. The first stands in `config.json`, later ones in `sittings.jsonl`.

A line is written where something differs from the sitting before: it holds from an episode on, counted by the finished
episodes that the log had. Where the code differs, the run goes on and says so. Where a text or the world differs, the
run would mix two experiments: it is refused with the names, or accepted by the user and recorded. Where a model is
reached at another address, the run goes on and says so: nothing tells whether it is the same model there. The line is
on disk before the sitting plays, and is no part of the run digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from harness.app.identity.code import UNKNOWN, Code, code_of
from harness.app.identity.libraries import versions_now
from harness.app.identity.texts import texts_of, world_of
from harness.app.settings.config import Config
from harness.core.errors import DataError, InputError
from harness.core.log import rundir
from harness.core.log.checkedlines import repair, write_whole
from harness.core.log.loggedepisodes import read_events
from harness.core.messages import EpisodeEnded, Struct
from harness.domain.device import CPU, kind_of, name_of

SITTINGS = "sittings.jsonl"
_SHOWN = 6
_OWN = "a server of the run's own"


class Identity(Struct, frozen=True, kw_only=True):
    """What a sitting's episodes were made by."""

    code: Code
    texts: dict[str, str]
    """Name -> SHA-256 of every prompt, persona and strategy text."""
    world: dict[str, str]
    """Name -> SHA-256 of each file of the scripted world, without docstrings; empty where no model is scripted."""
    versions: dict[str, str]
    """Of Python and the libraries."""
    device: str = CPU
    """Where the planner lives, as `harness.domain.device.name_of` says it."""
    servers: dict[str, str] | None = None
    """Model -> address of its server; one that the run starts itself is left out. None in records of older versions."""


class Sitting(Struct, frozen=True, kw_only=True):
    """A sitting that differs from the one before."""

    episodes: int
    """Finished episodes that the log held before it."""
    identity: Identity
    accepted: tuple[str, ...] = ()
    """Texts and files of the world that changed and that the user accepted."""
    moved: tuple[str, ...] = ()
    """Models that were reached at another address."""


def identity_of(config: Config, *, compared: bool = False, baseline: bool = False) -> Identity:
    """Of a sitting that starts now; for ``compared`` and ``baseline`` see `texts_of`."""
    return Identity(
        code=code_of(),
        texts=texts_of(config.data.labels, compared=compared, baseline=baseline),
        world=world_of(config),
        versions=versions_now(),
        device=name_of(config.planner.device),
        servers={name: url.rstrip("/") for name in config.models_in_use if (url := config.models[name].base_url)},
    )


def read_sittings(folder: Path) -> list[Sitting]:
    """Those after the first; a last line that was cut short is left out."""
    path = folder / SITTINGS
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            found.append(msgspec.json.decode(line, type=Sitting))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{path}:{number}: not a sitting: {error}") from None
    return found


def sit_down(folder: Path, first: Identity | None, now: Identity, *, accept_changes: bool) -> list[str]:
    """Record what differs from the sitting before; returns it in sentences, none where nothing does.

    ``first``: of the run's `config.json`; None: begun by a version that recorded none. Raises as `refuse_other_texts`
    and `refuse_other_device`.
    """
    refuse_other_device(folder, first, now)
    refuse_other_texts(folder, first, now, accept_changes=accept_changes)
    before = _last(folder, first)
    if before == now:
        return []
    episodes = _finished(folder / rundir.EPISODES)
    accepted = changed_texts(before, now) if before is not None else []
    moved = tuple(name for name, _, _ in _moved(before, now)) if before is not None else ()
    _append(folder / SITTINGS, Sitting(episodes=episodes, identity=now, accepted=tuple(accepted), moved=moved))
    return [f"from episode {episodes + 1} on: {what}" for what in differences(before, now)]


def refuse_other_texts(folder: Path, first: Identity | None, now: Identity, *, accept_changes: bool) -> None:
    """`InputError`, naming them, where prompts, personas, strategies or the world are not those of the last sitting."""
    before = _last(folder, first)
    changed = changed_texts(before, now) if before is not None else []
    if changed and not accept_changes:
        raise InputError(
            f"texts or the scripted world have changed since {folder} was last played: {_listed(changed)}; going on "
            "would mix two experiments (--accept-changes does, and records from which episode on)"
        )


def refuse_other_device(folder: Path, first: Identity | None, now: Identity) -> None:
    """`InputError` where the planner would live on another kind of device: an update made again from the log would
    reach other weights than those that acted."""
    before = _last(folder, first)
    if before is not None and kind_of(before.device) != kind_of(now.device):
        raise InputError(
            f"{folder} was begun with its planner on {kind_of(before.device)}, and here it would live on "
            f"{kind_of(now.device)}, which rounds differently: planner.device says where"
        )


def changed_texts(before: Identity, now: Identity) -> list[str]:
    """Names of texts and files of the world that are not the same, or are in one of the two only."""
    old, new = before.texts | before.world, now.texts | now.world
    changed = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
    return sorted(changed, key=lambda name: (" in " in name, name))  # a prompt before the definition that it is made of


def differences(before: Identity | None, now: Identity) -> list[str]:
    """What changed, one sentence each."""
    if before is None:
        return ["code, prompts, personas, strategies and world are recorded; before that they were not"]
    said = []
    if before.code != now.code:
        said.append(f"other code: {shown(before.code)} -> {shown(now.code)}")
    other = [
        f"{name} {before.versions.get(name, 'absent')} -> {now.versions.get(name, 'absent')}"
        for name in sorted(before.versions.keys() | now.versions.keys())
        if before.versions.get(name) != now.versions.get(name)
    ]
    if other:
        said.append(f"other libraries: {', '.join(other)}")
    if before.device != now.device:
        said.append(f"another device of the planner: {before.device} -> {now.device}")
    said += [f"the model {name} is reached at {there}, before at {here}" for name, here, there in _moved(before, now)]
    changed = changed_texts(before, now)
    if changed:
        said.append(f"other texts or another world, accepted: {', '.join(changed)}")
    return said


def cautions_of_sittings(folder: Path) -> list[str]:
    """The cautions that the numbers come from more than one set of texts, or from more than one server."""
    later = read_sittings(folder)
    mixed = [f"{_listed(one.accepted)} (episode {one.episodes + 1})" for one in later if one.accepted]
    moved = [f"{', '.join(one.moved)} (episode {one.episodes + 1})" for one in later if one.moved]
    said = [f"texts or the world changed on the way, and were accepted: {'; '.join(mixed)}"] if mixed else []
    if moved:
        said.append(f"a server moved on the way, and nothing tells whether it is the same model: {'; '.join(moved)}")
    return said


def mixed(folders: Iterable[Path]) -> list[str]:
    """The same for many directories with one table: which of them, and what changed."""
    found = [(folder.name, caution) for folder in folders for caution in cautions_of_sittings(folder)]
    return [f"in {len(found)} cells {what}; the first: {name}" for name, what in found[:1]]


def shown(code: Code) -> str:
    """One state of the code in a few words."""
    commit = "unknown" if code.commit == UNKNOWN else f"{code.commit[:12]} ({code.dirt})"
    return f"version {code.version}, commit {commit}, source {code.source[:12]}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _moved(before: Identity, now: Identity) -> list[tuple[str, str, str]]:
    """(model, where it was reached, where it is now) of models whose server is another; none where one is unknown."""
    if before.servers is None or now.servers is None:
        return []
    old, new = before.servers, now.servers
    return [
        (name, old.get(name, _OWN), new.get(name, _OWN))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _last(folder: Path, first: Identity | None) -> Identity | None:
    later = read_sittings(folder)
    return later[-1].identity if later else first


def _finished(log: Path) -> int:
    return sum(isinstance(event, EpisodeEnded) for event in read_events(log)) if log.exists() else 0


def _append(path: Path, sitting: Sitting) -> None:
    repair(path)
    with path.open("ab", buffering=0) as file:
        write_whole(file, msgspec.json.encode(sitting) + b"\n")
    rundir.fsync_folder(path.parent)
