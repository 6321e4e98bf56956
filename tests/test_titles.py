"""The rule for when a text names a film, sentence by sentence; and one record for one film."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.present import present

from experts.replies import read_actor_reply
from harness.core.messages import Item
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.same_films import merge_same_films
from harness.domain.titles import TitleIndex, considered, spoken_name, title_key
from simulator.datasets.redial import load_redial_graph
from simulator.scripted import phrases
from simulator.scripted.acts import NAMING, PLAIN, TEMPLATES
from simulator.scripted.hearing import Ear

SHARED = Path(__file__).parents[2] / "shared"

NAMES = (
    "&ME", "Mom", "Die", "Taken", "Friday", "(2015)", "1922", "Heat (1995)", "Back to the Future (1985)",
    "Midway (1976)", "Little Women (1994)", "Alien (1979)", "Aliens (1986)", "Alien 3 (1992)", "300 (2006)",
    "21 (2008)", "Schindler's List (1993)", "Amélie (2001)", "The Dark Knight (2008)", "The Matrix (1999)",
    "Mother (1996)", "Mother (2009)", "Spider (2002)", "Spider-Man (2002)", "Lilo & Stitch (2002)", "Get Out (2017)",
    "Evil Dead", "Evil Dead (2013)", "New York (2009)", "$ (1971)", "!!!", "2001: A Space Odyssey (1968)",
    "Red Dragon (2002)", "Steve Jobs (2015)", "Nostalghia", "Once Upon a Time (2013)", "Star Wars (1977)",
    "Blade Runner (1982)", "Mad Max (1979)", "Airplane! (1980)", "Сталкер (1979)", "Frozen (2013)", "It (2017)",
    "Me Before You", "The Boy", "9 to 5 (1980)", "V/H/S", "Das Leben der Anderen (2006)", "Iron Man (2008)",
)  # fmt: skip


def _item(name: str) -> Item:
    title, year = (name[:-7], int(name[-5:-1])) if name[-6:-5] == "(" and len(name) > 6 else (name, None)
    return Item(id=name, title=title, year=year, stars=("Steve Jobs",) if name.startswith("Mad") else ())


FILMS = [_item(name) for name in NAMES]
INDEX = TitleIndex(FILMS)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        # Ordinary words
        ("Hello, can you find me something to watch?", ()),
        ("Find me something. You and me, Mom and Me!", ()),
        ("My mom says: Mom and Dad would rather die. Die? Taken together, Friday works for me.", ()),
        ("Have you seen Mom? It was taken on Friday.", ()),
        ("The Frozen lake. Frozen was fun, and Taken too.", ()),
        ("I was born in 1922, something from (2015), please, or from 1984 or 2012 (maybe 300 films, 21 of them).", ()),
        ("I get out of bed and step up. Get out! We go back to the future plans.", ()),
        ("It is me before you. The boy is cute. Us and It?", ()),
        ("A night in New York with Steve Jobs", ()),
        # Its year, in its notations
        ("I loved Heat (1995).", ("Heat (1995)",)),
        ("I loved heat (1995) and HEAT [1995].", ("Heat (1995)",)),
        ("Heat, 1995, is good.", ("Heat (1995)",)),
        ("Heat 1995", ("Heat (1995)",)),
        ("Heat from 1995 was on", ("Heat (1995)",)),
        ("the 1995 film Heat", ("Heat (1995)",)),
        ("1995's Heat", ("Heat (1995)",)),
        ("Heat ('95) and Heat (1995 film)", ("Heat (1995)",)),
        ('"Heat" (1995)', ("Heat (1995)",)),
        ("the heat 1995 gave us", ()),
        ("Heat from the 1990s, Heat of the 1995s", ()),
        ("1922 (2017) and 300 (2006)", ("1922", "300 (2006)")),
        ("In 300, 2006 and 21, 2008 years", ()),
        ("$ (1971) and !!! (2007)", ("$ (1971)", "!!!")),
        ("Airplane (1980), Airplane! (1980)", ("Airplane! (1980)",)),
        ("Mom (2017)", ("Mom",)),
        # Another year
        ("I saw Midway (2019) on Sunday. Midway, 2019. The 2019 Midway", ()),
        ("Little Women (2019) made me cry.", ()),
        ("the 2019 version of Little Women", ()),
        ("2019's Little Women or Little Women from 2019", ()),
        ("Back to the Future (1986)", ()),
        ("Blade Runner 2049 is long, and Evil Dead (1999)", ()),
        # Quotation marks
        ('I loved "Heat".', ("Heat (1995)",)),
        ("I loved “Heat,” really. And ‘Taken’", ("Heat (1995)", "Taken")),
        ("'Friday', «Mom», *Die*!", ("Friday", "Mom", "Die")),
        ('"1922", "300" and "(2015)"', ("1922", "300 (2006)", "(2015)")),
        ('"2015" and "&ME", "!!!"', ("&ME", "!!!")),
        ('She said "taken" and "Taken together it is fine"', ()),
        ("It's Mom's day, the dogs' Mom 'n' Dad", ()),
        ('"Mother" was good', ()),
        ('"Evil Dead"', ("Evil Dead",)),
        ("a movie called Taken and a film, named Frozen.", ("Taken", "Frozen (2013)")),
        ("a dog called Taken", ()),
        # Bare titles
        ("Back to the Future is my favourite.", ("Back to the Future (1985)",)),
        ("Have you seen back to the future?", ()),
        ("I loved the Dark Knight and The Matrix, less the Matrix", ("The Dark Knight (2008)", "The Matrix (1999)")),
        ("I liked Dark Knight; Matrix was fine", ("The Dark Knight (2008)",)),
        ("Iron Man's suit, Schindlers List, Schindler’s List", ("Iron Man (2008)", "Schindler's List (1993)")),
        ("Lilo and Stitch, then Lilo & Stitch", ("Lilo & Stitch (2002)",)),
        ("Amelie (2001) and Ame\u0301lie (2001)", ("Amélie (2001)",)),
        ("Spiderman (2002), Spider-Man (2002)", ("Spider-Man (2002)",)),
        ("I liked Get Out and 2001: A Space Odyssey", ("Get Out (2017)", "2001: A Space Odyssey (1968)")),
        ("Сталкер (1979), «сталкер»", ("Сталкер (1979)",)),
        ("Evil Dead and Mother are several films", ()),
        # Longer names
        ("Alien 3 (1992), Alien 3 and Alien 4, Aliens, Alien's end", ("Alien 3 (1992)",)),
        ("Aliens (1986) after Alien (1979)", ("Aliens (1986)", "Alien (1979)")),
        ("I like Star Wars Rebels, Star Wars: The Clone Wars, Star Wars Episode IV and Iron Man 3", ()),
        ("Once Upon a Time in Hollywood with a Deep Red Dragon", ()),
        ("I saw Little Miss Heat (1995) and Frozen-Heat (1995)", ()),
        ("Marvel's Iron Man and I liked Star Wars: It is fun", ("Iron Man (2008)", "Star Wars (1977)")),
        ("Watch Iron Man, take Red Dragon (2002)", ("Iron Man (2008)", "Red Dragon (2002)")),
    ],
)  # fmt: skip
def test_what_a_text_names(text: str, named: tuple[str, ...]) -> None:
    assert INDEX.named(text) == named


@pytest.mark.parametrize("film", FILMS, ids=NAMES)
def test_every_film_has_a_name_that_is_read_back(film: Item) -> None:
    name = spoken_name(film)
    for text in (f"Do give {name} a try.", f"{name} fits: it is crime.", f"I saw {name} on a bad day, and it helped."):
        found = INDEX.mentions(text)
        assert [mention.item for mention in found] == [film.id]
        assert title_key(film.title) in title_key(text[found[0].start : found[0].end])


@pytest.mark.parametrize("film", [film for film in FILMS if film.year], ids=lambda film: film.id)
def test_another_year_is_another_film(film: Item) -> None:
    for year in range(present(film.year) - 2, present(film.year) + 3):
        for text in (f"I saw {film.title} ({year}).", f"I saw {film.title}, {year}."):
            assert film.id not in INDEX.named(text) or year == film.year
        assert (INDEX.find(f"{film.title} ({year})") == film) == (year == film.year)


def test_references_are_exact() -> None:
    def found(name: str) -> str | None:
        film = INDEX.find(name)
        return film.id if film else None

    for name in NAMES:
        assert found(name) == name
    assert found("heat") == found("HEAT (1995)") == "Heat (1995)"
    assert found("Mother") is None
    assert found("Mother (2009)") == "Mother (2009)"
    assert found("Heat (1996)") is None
    assert found("Taken (2008)") == "Taken"
    assert found("Evil Dead (1981)") is None
    assert found("Evil Dead") == "Evil Dead"
    assert found("Matrix, The (1999)") == "The Matrix (1999)"
    assert found("me") is found("2015") is found("") is None


def test_a_film_that_a_list_points_at_needs_no_capitals_but_its_words() -> None:
    def held(text: str, *ids: str) -> tuple[str, ...]:
        return tuple(i for i in INDEX.named(text, frozenset(ids)) if i in ids)

    assert held("have you seen heat?", "Heat (1995)") == ("Heat (1995)",)
    assert held("Have you seen Heat?", "Heat (1995)") == ("Heat (1995)",)
    assert held("I would rather die than see it.", "Die") == ()
    assert held("Mother is good", "Mother (2009)") == ("Mother (2009)",)
    assert held("Heat (1986) is good", "Heat (1995)") == ()
    assert held("Alien 3 (1992) is good", "Alien (1979)") == ()
    assert held("find me a film of 1922", "&ME", "1922") == ()


@given(st.text(max_size=60), st.sampled_from(NAMES), st.text(max_size=60))
def test_any_text_is_read(before: str, name: str, after: str) -> None:
    text = before + name + after
    for mention in INDEX.mentions(text):
        assert mention.item in NAMES
        assert 0 <= mention.start < mention.end <= len(text)


def test_one_film_is_one_record() -> None:
    def film(id: str, title: str, year: int | None, director: str = "", *stars: str) -> Item:
        return Item(id=id, title=title, year=year, directors=(director,) if director else (), stars=stars)

    items = [
        film("1", "Heat", None, "Michael Mann", "Al Pacino"),
        film("2", "Heat", 1995, "Michael Mann"),
        film("3", "Death Wish", None, "Eli Roth", "Bruce Willis"),
        film("4", "Death Wish", 1974, "Michael Winner", "Charles Bronson"),
        film("5", "Home Alone", 1990, "Chris Columbus", "Macaulay Culkin", "Joe Pesci"),
        film("6", "Home Alone", 2000, "Chris Columbus", "Macaulay Culkin"),
        film("7", "home-alone", None, "Chris Columbus", "Macaulay Culkin", "Joe Pesci"),
        film("8", "Twins", 1988, "A"),
        film("9", "Twins", 1989, "A"),
        film("10", "Twins", None, "A"),
        film("11", "Alone", 2000),
        film("12", "Alone", None, "B"),
        film("13", "Taken", None),
        film("14", "Love & Ball", 2000, "C"),
        film("15", "Love and Ball", 2000, "C"),
        film("16", "Love & Ball", 2000, "D"),
    ]
    merged = merge_same_films(items)
    assert merged.aliases == {"1": "2", "7": "5", "12": "11", "15": "14"}
    assert merged.apart == ("3", "10")
    assert [item.id for item in merged.items] == ["2", "3", "4", "5", "6", "8", "9", "10", "11", "13", "14", "16"]
    assert merged.items[0].stars == ("Al Pacino",)
    assert merge_same_films(merged.items) == (merged.items, {}, merged.apart)


@pytest.fixture(scope="module")
def redial() -> KnowledgeGraph:
    folder = SHARED / "data" / "redial"
    if not folder.exists():
        pytest.skip("ReDial's graph is not here")
    return load_redial_graph(folder)


def test_ordinary_talk_names_no_film_of_redial(redial: KnowledgeGraph) -> None:
    groups = [value for value in vars(phrases).values() if isinstance(value, tuple)]
    talk = [text for group in (*groups, *phrases.CUES.values(), *phrases.WISH.values()) for text in group]
    said = list(_flat([*talk, *TEMPLATES.values(), *PLAIN.values()]))
    assert len(said) > 150
    for text in (*said, "find me something, me too, for me", "a film of 1922 or (2015), like 300 others on Friday"):
        assert redial.titles_in(text.replace("{item}", "it").replace("{wishes}", "the 1990s")) == ()


def _flat(texts: Iterable[object]) -> Iterator[str]:
    for text in texts:
        if isinstance(text, str):
            yield text
        elif isinstance(text, tuple):
            yield from _flat(text)


def test_every_film_of_redial_is_recovered_from_what_the_scripted_actor_says(redial: KnowledgeGraph) -> None:
    ear = Ear(redial)
    acts = sorted(NAMING)
    for number, item in enumerate(redial.items):
        said = TEMPLATES[acts[number % len(acts)]][number % 5].format(item=ear.spoken(item.name), facts="it is crime")
        assert redial.titles_in(said) == (item.id,), said
        reply = read_actor_reply(json.dumps({"text": said, "items": [1]}), [item], frozenset())
        assert reply is not None
        assert reply.recommended == (item.id,)


def test_no_film_of_redial_is_taken_for_one_of_another_year(redial: KnowledgeGraph) -> None:
    years = defaultdict(set)
    for item in redial.items:
        years[title_key(item.title).removeprefix("the ")].add(item.year)
    for item in redial.items:
        if item.year is not None:
            taken = years[title_key(item.title).removeprefix("the ")]
            other = next(year for year in range(item.year + 1, item.year + 90) if year not in taken)
            assert redial.titles_in(f"I saw {item.title} ({other}) on Sunday.") == ()
            assert redial.find(f"{item.title} ({other})") is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Get Out of here!", False),
        ("Get Out more often.", False),
        ("The Thing is, I want a comedy.", False),
        ("The Thing is that I have seen it all.", False),
        ("Well. The Thing about horror is that it scares me.", False),
        ("The Thing I like is a good laugh.", False),
        ("The Thing is a classic.", True),
        ("The Thing was scary!", True),
        ("Get Out is so good.", True),
        ("Get Out and Us are both by Jordan Peele.", True),
        ("The Thing. I loved it.", True),
        ("I loved Get Out of all his films.", True),
        ("Get Out (2017) of course.", True),
        ('"The Thing" is what I want.', True),
    ],
)
def test_a_title_that_opens_everyday_sentences_needs_words_about_a_film_there(text: str, named: bool) -> None:
    index = TitleIndex([*map(_item, ("Get Out (2017)", "The Thing (1982)", "Us (2019)"))])
    assert bool({"Get Out (2017)", "The Thing (1982)"} & set(index.named(text))) is named


def test_the_kinds_of_the_shared_cases() -> None:
    path = SHARED / "cases" / "titles.tsv"
    if not path.exists():
        pytest.skip("the shared cases are not here")
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    index = TitleIndex(_item(name) for name in dict.fromkeys(row["film"] for row in rows))
    wrong = [row for row in rows if (row["film"] in index.named(row["sentence"])) != (row["names it"] == "yes")]
    assert not wrong


def test_a_list_is_about_its_first_film_and_two_are_about_the_last() -> None:
    assert [considered(items) for items in (("a",), ("a", "b"), ("a", "b", "c"))] == ["a", "b", "a"]
