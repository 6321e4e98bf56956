"""INSPIRED's film table, ``movie_database.tsv`` -> a knowledge graph.

Source: the release of Hayati et al., "INSPIRED: Toward Sociable Recommendation Dialog Systems", EMNLP 2020. One line is
one film; its records were gathered from OMDb and YouTube. Columns are found by name, in any order and case: ``title``
is needed; ``video_id`` (the trailer's, which dialogues name as ``movie_id``) gives the id; ``year``, ``genre``,
``director``, ``writer``, ``actors``, ``short_plot`` and ``long_plot`` are read where they are there. Lists are divided
by commas; remarks in brackets (``(screenplay)``) are dropped; ``N/A`` and ``nan`` are nothing. A cell may stand in
quotation marks, as spreadsheet programs write it; a line break always ends a row.

Records of the same film become one (`KnowledgeGraph.merged`). A row that cannot be used is an error that names
file:line:column; up to ``skip_bad`` of them are left out and counted. What it leaves out: ratings, votes and trailers.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from harness.core.errors import DataError
from harness.core.messages import Item
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.datasets.rows import BadRows, RowError, numbered_lines

_COLUMNS = {
    "id": ("video_id",),
    "title": ("title",),
    "year": ("year",),
    "genres": ("genre", "genres"),
    "directors": ("director", "directors"),
    "writers": ("writer", "writers"),
    "stars": ("actors", "stars"),
    "short_plot": ("short_plot", "plot"),
    "long_plot": ("long_plot",),
}
"""What is read, and the names that its column may have."""
_NOTHING = frozenset(("", "n/a", "nan", "none", "null"))
_NAMED = re.compile(r"(.+?)\s*\(((?:18|19|20)\d{2})\)")
_YEAR = re.compile(r"((?:18|19|20)\d{2})(?:\.0|\s*[-–]\s*(?:\d{4})?)?")
_REMARK = re.compile(r"\s*\([^()]*\)")


def load_movie_database(path: Path, skip_bad: int = 0) -> KnowledgeGraph:
    """The graph of the file's films, in its order.

    Args:
        path: the file.
        skip_bad: most bad rows to accept; each is one film that is left out.

    Raises:
        InputError: the file cannot be read.
        DataError: a row or the header cannot be used, or no film is left.
    """
    (_, first), *lines = numbered_lines(path)
    try:
        names = _cells(first)
    except RowError as error:
        raise DataError(f"{path}:1:{error.column}: the header is {error.what}") from error
    places = _places(path, names)
    bad = BadRows(path, skip_bad)
    items: dict[str, Item] = {}
    for number, line in lines:
        try:
            cells = _cells(line)
            if len(cells) != len(names):
                raise RowError(len(cells), f"the row has {len(cells)} cells, the header {len(names)}")
            item = _item({what: cells[at] for what, at in places.items()}, number)
            if item.id in items:
                item = _renamed(item, items[item.id], number)
            items[item.id] = item
        except RowError as error:
            bad.add(number, error)
    if not items:
        raise DataError(f"{path} holds no usable film")
    graph = KnowledgeGraph.merged(items.values())
    if bad.count:
        graph.notes = (*graph.notes, f"{bad.count} bad rows of {path} were skipped")
    return graph


def _places(path: Path, names: list[str]) -> dict[str, int]:
    """What is read -> place of its column."""
    written = [name.strip().lower() for name in names]
    places = {}
    for what, known in _COLUMNS.items():
        found = [at for at, name in enumerate(written) if name in known]
        if len(found) > 1:
            raise DataError(f"{path}:1:{names[found[1]]}: a column for {what} occurs twice in the header")
        if found:
            places[what] = found[0]
    if "title" not in places:
        raise DataError(f"{path}:1:title: the column is missing; found: {', '.join(names)}")
    return places


def _cells(line: bytes) -> list[str]:
    try:
        cells = line.decode("utf-8").split("\t")
    except UnicodeDecodeError as error:
        raise RowError(error.start + 1, "not UTF-8") from error
    return [cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell for cell in cells]


def _item(cells: dict[str, str], line: int) -> Item:
    cells = {what: " ".join(cell.split()) for what, cell in cells.items()}
    cells = {what: "" if cell.lower() in _NOTHING else cell for what, cell in cells.items()}
    title = cells["title"]
    if not title:
        raise RowError("title", "no title")
    year = cells.get("year", "")
    stated = _YEAR.fullmatch(year)
    if year and not stated:
        raise RowError("year", f"{year[:60]!a} is no year")
    named = _NAMED.fullmatch(title)
    return Item(
        id=cells.get("id") or f"line-{line}",
        title=named[1] if named else title,
        # Dialogues name a film as its title cell does, so the year there counts more.
        year=int(named[2]) if named else int(stated[1]) if stated else None,
        genres=tuple(genre.lower() for genre in _list(cells.get("genres", ""))),
        directors=_list(cells.get("directors", "")),
        writers=_list(cells.get("writers", "")),
        stars=_list(cells.get("stars", "")),
        plot=cells.get("short_plot") or cells.get("long_plot") or "",
    )


def _list(cell: str) -> tuple[str, ...]:
    values = (value.strip() for value in _REMARK.sub("", cell).split(","))
    return tuple(dict.fromkeys(value for value in values if value and value.lower() not in _NOTHING))


def _renamed(item: Item, earlier: Item, line: int) -> Item:
    """A second row of one trailer: the same film is merged later, another one is an error."""
    if item.name != earlier.name:
        raise RowError("video_id", f"{item.id!a} is the id of {earlier.name!a} already")
    return msgspec.structs.replace(item, id=f"line-{line}")
