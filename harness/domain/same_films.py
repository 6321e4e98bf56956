"""One film, one record: records of one title whose years and facts agree are merged.

Graphs that were joined from several sources hold ``Back to the Future`` beside ``Back to the Future (1985)``, and
``Love and Basketball (2000)`` beside ``Love & Basketball (2000)``. Such a pair is one film where title and facts agree;
a remake that merely has the title stays a record of its own (``Death Wish`` with Bruce Willis beside ``Death Wish
(1974)``). What is left out: one film under two different years or titles.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from harness.core.messages import Item
from harness.domain.titles import title_key


class Merged(NamedTuple):
    """The remaining records in their order, and the record into which each other one was merged."""

    items: tuple[Item, ...]
    aliases: dict[str, str]
    """Id of a record that was merged -> id of the record that is kept."""
    apart: tuple[str, ...]
    """Ids of records without a year whose title a record with a year has, and that are another film or may be one."""


def merge_same_films(items: Iterable[Item]) -> Merged:
    """Merge every record without a year into the one record of its title that has a year and whose facts agree.

    A record of the same title and year as an earlier one is merged into that if their facts agree.

    Facts agree where both records share a director; where one of them names no director, a star; where one has neither
    directors nor stars, if no third record has the title. If several records agree, the one with most facts in common
    is taken; in a tie, none. The kept record has its own facts, and the other's where it has none.
    """
    items = tuple(items)
    by_title: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_title[title_key(item.title) or item.title].append(item)
    aliases: dict[str, str] = {}
    apart: list[str] = []
    kept: dict[str, Item] = {}
    for records in by_title.values():
        alone = len(records) == 2
        dated: list[Item] = []
        for item in sorted(records, key=lambda item: item.year is None):
            if item.year is None:
                same = _same(item, dated, alone=alone)
            else:
                earlier = (other for other in dated if other.year == item.year)
                same = next((other for other in earlier if _agree(item, other, alone=alone)), None)
            if same is None:
                if item.year is not None:
                    dated.append(item)
                elif dated:
                    apart.append(item.id)
                continue
            aliases[item.id] = same.id
            kept[same.id] = _filled(kept.get(same.id, same), item)
    left = tuple(kept.get(item.id, item) for item in items if item.id not in aliases)
    return Merged(left, aliases, tuple(apart))


def _same(item: Item, dated: list[Item], *, alone: bool) -> Item | None:
    agreeing = sorted(
        ((_in_common(item, other), other) for other in dated if _agree(item, other, alone=alone)),
        key=lambda found: found[0],
        reverse=True,
    )
    if not agreeing or (len(agreeing) > 1 and agreeing[0][0] == agreeing[1][0]):
        return None
    return agreeing[0][1]


def _agree(one: Item, other: Item, *, alone: bool) -> bool:
    if one.directors and other.directors:
        return not set(one.directors).isdisjoint(other.directors)
    if one.stars and other.stars:
        return not set(one.stars).isdisjoint(other.stars)
    return alone


def _in_common(one: Item, other: Item) -> tuple[int, int, int]:
    return (
        len(set(one.directors) & set(other.directors)),
        len(set(one.stars) & set(other.stars)),
        len(set(one.genres) & set(other.genres)) - len(set(one.genres) ^ set(other.genres)),
    )


def _filled(item: Item, other: Item) -> Item:
    return msgspec.structs.replace(
        item,
        genres=item.genres or other.genres,
        directors=item.directors or other.directors,
        stars=item.stars or other.stars,
        writers=item.writers or other.writers,
        plot=item.plot or other.plot,
    )
