"""When a text names a film: the one rule for all texts.

A film is named by its *title* and, where the record has one, its *year*. Words are compared without case, accents,
punctuation and kind of apostrophe; ``&`` is ``and``; a hyphenated word may be written as one (``Spider-Man``,
``Spiderman``) and an apostrophe may be missing. The longest title that fits a place in the text is tried first.

1. *With its year* (``Heat (1995)``, ``Heat [1995]``, ``Heat, 1995``, ``Heat 1995``, ``Heat from 1995``, ``the 1995 film
   Heat``): the film of that title and year. Outside of brackets the title must be capitalised. Another year names no
   film of the title. A record without a year stands for any year where no other record has its title.
2. *In quotation marks* or between asterisks, title alone: the one film of the title; of several the one whose record
   has no year, since the others are told apart by theirs. A single word must be capitalised. ``a film called X``
   counts as quotation marks around a capitalised X.
3. *Bare*, title of two words or more, an article counted: the one film of the title, if its words are capitalised
   (function words inside of it may be small; so may the article before two words, ``the Dark Knight``), at least one
   of them where no sentence begins, and if it is no part of a longer capitalised name, no sequel (``Alien 3``), no
   person of the records, and no everyday name (``New York``). A title that is also how a sentence of everyday talk
   begins (``The Thing is, ...``, ``Get Out of here``) needs words about a film behind it there.
4. *A bare single word* names nothing, capitalised or not: ``Mom``, ``Taken``, ``Friday`` and ``Frozen`` are words and
   names first. A title without letters (``1922``, ``300``, ``(2015)``, ``!!!``) needs its year in brackets, or
   quotation marks.

Where two films fit, neither is named: a wrong film does more harm to a measure than a missing one.
References that are no running text (a list entry, a dataset's column) are exact: `TitleIndex.find`. Where an id already
points at a film, as the actor's list does, the text need only hold its words: ``pointed_at`` of `TitleIndex.mentions`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, overload

from harness.core.messages import Item

_WORD = re.compile(r"&|[^\W_]+(?:['’ʼ`´‘][^\W_]+)*")
_APOSTROPHES = re.compile("['’ʼ`´‘]")
_YEAR = r"((?:18|19|20)\d{2})(?![\w/]|['’]?s\b)"
_BRACKETED = re.compile(
    rf"[!?.…)\]\"”’'*_]{{0,6}},?\s*[(\[]\s*(?:the\s+)?{_YEAR}(?:\s+(?:film|movie|version|remake))?\s*[)\]]", re.I
)
_FOLLOWING = re.compile(rf"[\"”’'*_]?\s*,?\s*(?:(?:from|of|made in|released in)\s+)?(?:the\s+)?{_YEAR}", re.I)
_APOSTROPHE_YEAR = re.compile(r"[\"”’'*_]?,?\s*[(\[]?['’‘](\d{2})(?!\w)")
_PRECEDING = re.compile(
    r"\b((?:18|19|20)\d{2})(?:['’]s)?\s+(?:(?:film|movie|version|remake|adaptation|picture)\s+)?(?:of\s+)?"
    r"[\"“‘'*_]?(?:the\s+)?$",
    re.I,
)
_CALLED = re.compile(
    r"\b(?:film|movie|picture|flick|one)s?,?\s+(?:(?:that|which)\s+(?:is|was)\s+|(?:that|which)'s\s+)?"
    r"(?:called|titled|entitled|named)\s+$",
    re.I,
)
_NAME_WITH_YEAR = re.compile(r"\s*(.*\S)\s*[(\[]\s*(\d{4})\s*[)\]]\s*", re.DOTALL)
_QUOTES = {'"': '"', "“": "”", "„": "“”", "«": "»", "»": "«", "‘": "’", "'": "'", "*": "*", "_": "_", "`": "`'"}
_HYPHENS = ("-", "‐", "‑")
_SENTENCE_ENDS = frozenset('.!?…:;\n"“”«»()[]*•|')
_ARTICLES = frozenset(("the", "a", "an"))
_SMALL = _ARTICLES.union(
    ("and", "or", "nor", "but", "of", "in", "on", "at", "to", "by", "for", "from", "with", "into", "onto", "over"),
    ("under", "up", "out", "off", "as", "vs", "v", "versus", "than"),
)
"""Words that may stand small inside of a capitalised title."""
_NO_NAME = frozenset(
    ("i", "i'm", "i've", "i'd", "i'll", "it", "it's", "this", "that", "these", "those", "and", "but", "or", "so", "is")
).union(("was", "he", "she", "we", "you", "they"))
"""Capitalised neighbours that make no longer name."""
_SEQUELS = re.compile(r"\s*:?\s*(?:\d{1,2}\w?\b|(?:II+|IV|VI*|IX|X)\b|(?:Part|Chapter|Episode|Volume|Vol)\b)")
_EVERYDAY = frozenset(
    (
        "new york", "los angeles", "las vegas", "san francisco", "new orleans", "mom and dad", "new year", "new year's",
        "new year's eve", "new year's day", "christmas eve", "christmas day", "valentine's day", "mother's day",
        "father's day", "merry christmas", "happy new year", "happy birthday", "good morning", "good night",
        "good evening", "thank you", "united states", "middle east", "world war",
    )
)  # fmt: skip
"""Capitalised phrases of everyday talk."""
_OPENINGS = frozenset(
    (
        "the thing", "get out", "the one", "the way", "the game", "the other", "the others", "the rest", "the best",
        "the end", "the point", "the help", "the fact", "the whole", "the call", "the day", "the day after", "the gift",
        "what if", "in time", "about time", "good time", "big time", "right now", "this is it", "it follows", "no way",
        "say anything", "let me in", "step up", "stand up", "wake up", "all that", "all good things", "you again",
        "once upon a time", "one day", "some day", "next time", "for once", "if only", "come on", "hold on", "shut up",
        "knock knock", "that thing", "as if", "at first sight", "for keeps", "going in style", "look who's talking",
    )
)  # fmt: skip
"""Titles that are also how a sentence of everyday talk begins."""
_ABOUT_A_FILM = re.compile(
    r"\s*(?:$|[.!?;:)\]\"”»\n]|,\s|[-–—]"
    r"|(?:is|was)\s+(?!(?:that|how|what|why|to|i|we|you|my|there|when|if|where)\b)\w"
    r"|(?:has|had|looks|sounds|seems|stars|starring|scared|made me|felt|came|comes|directed|and|or|by|sequel|film|movie"
    r"|remake|trailer)\b)"
)
"""What follows one of these that is a film: "The Thing is a classic", not "The Thing is, ..." nor "Get Out of here"."""


_LIST = 3


class Mention(NamedTuple):
    """A film that a text names, and where: ``text[start:end]`` is title and year."""

    start: int
    end: int
    item: str


class _Record(NamedTuple):
    item: Item
    short: bool
    """Reached by a form of the title that leaves its article out."""


class _Word(NamedTuple):
    key: str
    start: int
    end: int
    text: str


def title_key(title: str) -> str:
    """What two spellings of one title share; empty for a title without letters and digits."""
    return " ".join(_Words(title).keys)


def considered(items: Sequence[str]) -> str:
    """The film that a message with these films, in order, is about.

    Of a list (three or more) it is the first, the best of the list; of two the last, to which the talk has come.
    """
    return items[0] if len(items) >= _LIST else items[-1]


def spoken_name(item: Item) -> str:
    """How a film is named so that the rule finds it again: ``Heat (1995)``, and in quotation marks without a year."""
    return item.name if item.year is not None else f'"{item.title}"'


class _Words(Sequence[_Word]):
    """The words of a text. A word's place is looked up only where a title may begin, which is at few words."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._matches = list(_WORD.finditer(text))
        self.keys = tuple([_fold(match[0]) for match in self._matches])

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, at: int) -> _Word: ...
    @overload
    def __getitem__(self, at: slice) -> list[_Word]: ...
    def __getitem__(self, at: int | slice) -> _Word | list[_Word]:
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(len(self)))]
        match = self._matches[at]
        return _Word(self.keys[at], match.start(), match.end(), match[0])


def _fold(word: str) -> str:
    if word.isalpha() and word.isascii():
        return word.lower()
    if word == "&":
        return "and"
    if not word.isascii():
        word = _APOSTROPHES.sub("'", word)
        word = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    elif "`" in word:
        word = word.replace("`", "'")
    return word.casefold()


class TitleIndex:
    """The titles of some films, looked up by their first word; a text is read once, from left to right."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._forms: dict[tuple[str, ...], list[_Record]] = defaultdict(list)
        self._longest: dict[str, int] = {}
        self._exact: dict[str, Item] = {}
        self._signs: dict[str, list[Item]] = defaultdict(list)
        people: set[str] = set()
        for item in items:
            self._exact.setdefault(_squeezed(item.name), item)
            people.update(item.directors, item.writers, item.stars)
            words = _Words(item.title)
            if not words:
                self._signs[item.title.strip()].append(item)
            for form, short in _spellings(words):
                self._add(form, _Record(item, short))
        self._names = _EVERYDAY.union(map(title_key, people))
        signs = "|".join(re.escape(sign) for sign in sorted(self._signs, key=len, reverse=True) if sign)
        self._sign = re.compile(rf"(?<!\S)[\"“«'‘]?({signs})") if signs else None

    def _add(self, form: tuple[str, ...], record: _Record) -> None:
        held = self._forms[form]
        if all(other.item.id != record.item.id for other in held):
            held.append(record)
            self._longest[form[0]] = max(self._longest.get(form[0], 0), len(form))

    def find(self, name: str) -> Item | None:
        """The film of a reference that is no running text: its exact name, else its title and year in any spelling.

        A title without a year finds the one film that has it; a year finds that year's film, or the title's only
        record where this one has no year.
        """
        exact = self._exact.get(_squeezed(name))
        if exact is not None:
            return exact
        dated = _NAME_WITH_YEAR.fullmatch(name)
        title, year = (dated[1], int(dated[2])) if dated else (name, None)
        words = _Words(title).keys
        records = (
            self._forms.get(words, []) if words else [_Record(i, False) for i in self._signs.get(title.strip(), [])]
        )
        if not any(map(str.isalpha, title)):
            records = [record for record in records if record.item.title == title.strip()]
        return _of_year(records, year) if year is not None else _alone(records)

    def mentions(self, text: str, pointed_at: frozenset[str] = frozenset()) -> tuple[Mention, ...]:
        """The films that a text names, in order of place, with repeats.

        ``pointed_at``: ids that something else than the text refers to, such as the actor's list. Their titles need no
        quotation marks and no capitals (a single word: one capital, in a text that has capitals).
        """
        words = _Words(text)
        keys = words.keys
        found: list[Mention] = [] if self._sign is None else list(self._signs_in(text))
        at = 0
        while at < len(keys):
            step = 1
            for length in range(min(self._longest.get(keys[at], 0), len(keys) - at), 0, -1):
                form = keys[at : at + length]
                records = self._forms.get(form)
                if records is None and length > 1 and form[-1].endswith("'s"):
                    # "Iron Man's ending". A single word is never read this way: "Alien's" is not far from "Aliens".
                    records = self._forms.get((*form[:-1], form[-1][:-2]))
                if records is None:
                    continue
                verdict = self._judge(_Place(words, at, length), records, pointed_at)
                if verdict is not None:
                    found += [verdict] if verdict.item else []
                    step = length
                    break
            at += step
        return tuple(sorted(found))

    def named(self, text: str, pointed_at: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """Ids of the films that a text names, in order, without repeats."""
        return tuple(dict.fromkeys(mention.item for mention in self.mentions(text, pointed_at)))

    def without(self, text: str, item_ids: Iterable[str], word: str) -> str:
        """The text with a word in place of each naming of these films, bare repeats of their titles too."""
        pointed_at = frozenset(item_ids)
        for mention in reversed(self.mentions(text, pointed_at) if pointed_at else ()):
            if mention.item in pointed_at:
                text = text[: mention.start] + word + text[mention.end :]
        return text

    def _judge(self, here: _Place, records: list[_Record], pointed_at: frozenset[str]) -> Mention | None:
        """The film that is named; a mention without item where the words are another film; None where none is named."""
        if here.joined:
            return None
        if not any(c.isalpha() for c in here.said):
            records = [r for r in records if here.literal(r.item.title)]
            if not records:
                return None
        year = here.year
        if year is not None:
            if not year.bracketed and (not here.lettered or not here.capitalised):
                return None
            if here.follows_name:
                return None
            item = _of_year(records, year.year)
            return Mention(here.start, max(year.end, here.end), item.id if item else "")
        several = [r.item for r in records if not r.short] or [r.item for r in records]
        quoted = here.quoted if here.length > 1 or here.capitalised or not here.lettered else None
        if quoted is not None:
            item = _alone(records) or _only(i for i in several if i.year is None)
            return Mention(*quoted, item.id if item else "")
        if not here.lettered or here.is_sequel:
            return None
        item = _only(i for i in several if i.id in pointed_at)
        if item is not None and (here.length > 1 or here.capitalised or not any(map(str.isupper, here.text))):
            return Mention(here.start, here.end, item.id)
        item = _alone(records)
        if item is None or here.goes_on:
            return None
        called = here.called and here.capitalised
        if not called and (here.follows_name or " ".join(here.form) in self._names or not here.written_as_title):
            return None
        if not called and here.opens_a_phrase:
            return None
        return Mention(here.start, here.end, item.id)

    def _signs_in(self, text: str) -> Iterator[Mention]:
        assert self._sign is not None
        for match in self._sign.finditer(text):
            items = [_Record(item, False) for item in self._signs[match[1]]]
            year = _BRACKETED.match(text, match.end())
            closing = _QUOTES.get(text[match.start()], "") if match.start() < match.start(1) else ""
            if year:
                item = _of_year(items, int(year[1]))
            elif closing and text[match.end() : match.end() + 1] in tuple(closing):
                item = _alone(items)
            else:
                continue
            if item is not None:
                yield Mention(match.start(1), year.end() if year else match.end(), item.id)


class _Year(NamedTuple):
    year: int
    bracketed: bool
    end: int


class _Place:
    """Some words of a text that are a film's title, and what stands around them."""

    def __init__(self, words: _Words, at: int, length: int) -> None:
        self.text = words.text
        self.length = length
        self.form = words.keys[at : at + length]
        self._words = words
        self._at = at
        self._title = words[at : at + length]
        self.start = self._title[0].start
        self.end = self._title[-1].end

    @property
    def said(self) -> str:
        return self.text[self.start : self.end]

    @property
    def lettered(self) -> bool:
        return any(c.isalpha() for c in self.said)

    @property
    def capitalised(self) -> bool:
        """Whether no small letter begins it; the article before the first word does not count."""
        content = self._title[1:] if self.length > 1 and self._title[0].key in _ARTICLES else self._title
        return not content[0].text[0].islower()

    def literal(self, title: str) -> bool:
        """Whether a title of digits stands here with its own signs around it, as ``(2015)`` has them."""
        lead = next((i for i, c in enumerate(title) if c.isalnum() or c == "&"), 0)
        return self.text.startswith(title, self.start - lead) if self.start >= lead else False

    @property
    def joined(self) -> bool:
        """Whether it is part of a hyphenated word, as Spider in Spider-Man."""
        before, after = self.text[max(0, self.start - 2) : self.start], self.text[self.end : self.end + 2]
        return (len(before) == 2 and before[1] in _HYPHENS and before[0].isalnum()) or (
            len(after) == 2 and after[0] in _HYPHENS and after[1].isalnum()
        )

    @property
    def year(self) -> _Year | None:
        if match := _BRACKETED.match(self.text, self.end):
            return _Year(int(match[1]), True, match.end())
        if match := _APOSTROPHE_YEAR.match(self.text, self.end):
            short = int(match[1])
            return _Year(short + (1900 if short >= 30 else 2000), False, match.end())
        if match := _FOLLOWING.match(self.text, self.end):
            return _Year(int(match[1]), False, match.end())
        if match := _PRECEDING.search(self.text[max(0, self.start - 40) : self.start]):
            return _Year(int(match[1]), False, self.end)
        return None

    @property
    def quoted(self) -> tuple[int, int] | None:
        """Where the quotation begins and ends that holds the title and nothing else."""
        lead = self.start
        while lead > 0 and not self.text[lead - 1].isspace() and self.text[lead - 1] not in _QUOTES:
            lead -= 1
        if lead == 0:
            return None
        mark = self.text[lead - 1]
        closing = _QUOTES.get(mark, "")
        if not closing or (mark in "'‘*_`" and lead >= 2 and self.text[lead - 2].isalnum()):
            return None
        end = self.end
        while end < len(self.text) and self.text[end] in ".,!?…;:)]":
            end += 1
        if end >= len(self.text) or self.text[end] not in closing:
            return None
        if mark in "'‘*_`" and self.text[end + 1 : end + 2].isalnum():
            return None
        return lead - 1, end + 1

    @property
    def called(self) -> bool:
        return _CALLED.search(self.text[max(0, self.start - 60) : self.start]) is not None

    @property
    def follows_name(self) -> bool:
        """Whether a capitalised word that begins no sentence is directly before it."""
        if self._at == 0:
            return False
        before = self._words[self._at - 1]
        return (
            self.text[before.end : self.start] == " "
            and before.text[0].isupper()
            and before.key not in _NO_NAME
            and not before.key.endswith("'s")
            and not self._begins(before)
        )

    @property
    def is_sequel(self) -> bool:
        """Whether the number of a sequel or of a part follows."""
        return _SEQUELS.match(self.text, self.end) is not None

    @property
    def goes_on(self) -> bool:
        """Whether it is the beginning of a longer capitalised name."""
        if self._at + self.length >= len(self._words):
            return False
        next_word = self._at + self.length
        after = self._words[next_word]
        gap = self.text[self.end : after.start]
        if gap == " " and after.text in ("of", "in") and next_word + 1 < len(self._words):
            after = self._words[next_word + 1]
        return gap in (" ", ": ", " - ") and after.text[0].isupper() and after.key not in _NO_NAME

    @property
    def written_as_title(self) -> bool:
        """Whether it has the capitals of a title, at least one of them where no sentence begins."""
        article = self._title[0].key in _ARTICLES
        title = self._title[1:] if article else self._title
        if self.text.isupper() or not title:
            return False
        if len(title) == 1 and not (article and self._title[0].text[0].isupper()):
            return False
        for word in title:
            small = word.key in _SMALL and word not in (title[0], title[-1])
            if word.text[0].islower() and not small:
                return False
        return any(word.text[0].isalpha() and not self._begins(word) for word in title if not word.text[0].islower())

    @property
    def opens_a_phrase(self) -> bool:
        """Whether it may as well be the everyday words that a sentence begins with."""
        everyday = " ".join(self.form) in _OPENINGS and self._begins(self._title[0])
        return everyday and _ABOUT_A_FILM.match(self.text, self.end) is None

    def _begins(self, word: _Word) -> bool:
        before = self.text[: word.start].rstrip(" ")
        return not before or before[-1] in _SENTENCE_ENDS


def _spellings(words: _Words) -> Iterator[tuple[tuple[str, ...], bool]]:
    """(form, article left out): the title as it is, without apostrophes, hyphenated words as one, its article moved."""
    form = words.keys
    if not form:
        return
    yield form, False
    joined: list[str] = []
    end = -1
    for word in words:
        if end > 0 and words.text[end : word.start] in _HYPHENS:
            joined[-1] += word.key
        else:
            joined.append(word.key)
        end = word.end
    for base in (form, tuple(joined)):
        plain = tuple(word.replace("'", "") for word in base)
        yield plain, False
    if form[0] in _ARTICLES and len(form) > 1:
        yield form[1:], True
        yield (*form[1:], form[0]), False


def _of_year(records: Sequence[_Record], year: int) -> Item | None:
    for short in (False, True):
        some = [record.item for record in records if record.short == short]
        found = _only(item for item in some if item.year == year)
        if found is not None:
            return found
        if not short and len(some) == 1 and some[0].year is None:
            return some[0]
    return None


def _alone(records: Sequence[_Record]) -> Item | None:
    full = [record.item for record in records if not record.short]
    return _only(full or [record.item for record in records])


def _only(items: Iterable[Item]) -> Item | None:
    some = list(items)
    return some[0] if len(some) == 1 else None


def _squeezed(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split())
