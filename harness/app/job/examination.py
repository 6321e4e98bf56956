"""The examiner at work: the answers about finished dialogues, asked for once and kept beside the log."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import msgspec
import trio

from harness.app.console.progress import CONVERSATIONS
from harness.app.evaluation.answers import READINGS, Reading, asks, merged, of_dialogues, read_readings, unanswered
from harness.app.evaluation.examiner import Examiner
from harness.app.job.session import Session
from harness.app.settings.config import Config, Extra
from harness.core.errors import DataError, Interrupted, RunStopped
from harness.core.log.checkedlines import chain_of, repair, write_whole
from harness.core.log.episode import Episode
from harness.core.messages import TRAIN
from harness.core.model.ledger import Ledger
from harness.core.seams import Served
from harness.domain.knowledge_graph import KnowledgeGraph


async def examiner_of(config: Config, models: Mapping[str, Served], graph: KnowledgeGraph, ledger: Ledger) -> Examiner:
    """Played by the evaluator's model."""
    model = models[config.roles.evaluator]
    return Examiner(
        ledger.metered(model),
        graph,
        labels=(await model.capabilities()).label_logprobs,
        samples=config.reward.samples,
        quorum=config.reward.quorum,
        mass_floor=config.reward.mass_floor,
    )


async def examine(
    session: Session, folder: Path, episodes: Iterable[Episode], examiner: Examiner, wanted: Collection[Extra]
) -> dict[str, Reading]:
    """Episode id -> what the examiner answered about it.

    Args:
        session: the run at work.
        folder: of the run; answers that are there are not asked for again.
        episodes: finished dialogues of one phase; those that failed are left out.
        examiner: who is asked.
        wanted: measures that the questions are asked for.

    Raises:
        Interrupted: a stop was requested.
    """
    path = folder / READINGS
    repair(path)
    known = known_readings(folder)
    whole = [episode for episode in episodes if not episode.failed]
    needed = {one.id: unanswered(known.get(one.id), one, wanted) for one in whole}
    waiting = [one for one in whole if needed[one.id]]
    name = f"examining {whole[0].started.phase}" if whole else "examining"
    session.progress.begin(name, len(whole), len(whole) - len(waiting), unit=CONVERSATIONS)
    slots = trio.Semaphore(session.config.scheduler.max_live_conversations)
    with path.open("ab", buffering=0) as file:
        chain = chain_of(path)

        async def read(episode: Episode) -> None:
            async with slots:
                if session.stopping.requested:
                    return
                reading = await examiner.read(episode, needed[episode.id])
            usage, _ = session.players.spent(episode.id)
            reading = merged(msgspec.structs.replace(reading, usage=usage), known.get(episode.id))
            try:
                write_whole(file, chain.sealed(msgspec.json.encode(reading)))
            except OSError as error:
                raise RunStopped(f"cannot write {path}: {error.strerror}") from error
            known[episode.id] = reading
            session.spend(usage)
            session.progress.ended(None, failed=False)

        async with trio.open_nursery() as nursery:
            for episode in waiting:
                nursery.start_soon(read, episode)
    if session.stopping.requested:
        raise Interrupted("interrupted")
    return of_dialogues(known, whole)


def known_readings(folder: Path) -> dict[str, Reading]:
    """Those of a run directory; `DataError` says what to do with a damaged file."""
    try:
        return read_readings(folder / READINGS)
    except DataError as error:
        raise DataError(f"{error}; without the file, its questions are asked again") from None


def unexamined(folder: Path, episodes: Iterable[Episode], wanted: Collection[Extra]) -> int:
    """How many dialogues of a run's evaluations lack answers that are wanted."""
    if not asks(wanted):
        return 0
    known = known_readings(folder)
    evaluated = (one for one in episodes if not one.failed and one.started.phase != TRAIN)
    return sum(bool(unanswered(known.get(one.id), one, wanted)) for one in evaluated)
