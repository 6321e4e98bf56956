"""Charts as inline SVG, made of escaped text only: no script, no style attribute, no outside reference.

Colours and strokes that must follow the page's light or dark theme are classes of `report.css`; colours of series are
attributes, because a strict content security policy allows no inline style. Every mark carries its number as a
``<title>``, so a pointer or a screen reader finds it. Scientific plots for papers are `harness.app.drawing.figures`.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

from harness.core.messages import Struct

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 12, 34
LETTER = 5.5
"""About the width of a letter of an axis."""


class Series(Struct, frozen=True, kw_only=True):
    """A line: ``y`` over ``x``, gaps where ``y`` is None, with an optional band."""

    name: str
    colour: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()


class Bar(Struct, frozen=True, kw_only=True):
    """One bar or one part of a stack."""

    name: str
    colour: str
    value: float
    note: str = ""


class Dot(Struct, frozen=True, kw_only=True):
    """A mean with its interval."""

    name: str
    colour: str
    mean: float | None
    low: float | None = None
    high: float | None = None


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """One element; attributes and children that are not `Markup` are escaped. ``klass`` is ``class``."""
    pairs = Markup("").join(
        Markup(' {}="{}"').format(_attribute(key), _number(value) if isinstance(value, float) else value)
        for key, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), pairs, inner)


def lines(series: Sequence[Series], *, x_label: str, y_label: str, y_from: float | None = None) -> Markup:
    """Lines with bands over a shared x axis; empty markup where no series has a point."""
    points = [(s, x, y) for s in series for x, y in zip(s.x, s.y, strict=True) if y is not None]
    if not points:
        return Markup("")
    ys = [y for _, _, y in points] + [v for s in series for v in (*s.low, *s.high) if v is not None]
    xs = [x for _, x, _ in points]
    low, high = _padded(min(ys) if y_from is None else min(y_from, *ys), max(ys), fixed=y_from is not None)
    left, right = min(xs), max(xs)
    if left == right:
        left, right = left - 1.0, right + 1.0

    def at_x(x: float) -> float:
        return LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)

    def at_y(y: float) -> float:
        return HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    marks: list[str] = []
    for one in series:
        marks += [*_band(one, at_x, at_y), *_line(one, at_x, at_y)]
    return _chart(
        [*_y_axis(low, high, at_y), *_x_axis(left, right, at_x), *marks],
        x_label=x_label,
        y_label=y_label,
    )


def columns(groups: Sequence[tuple[str, Sequence[Bar]]], *, x_label: str, y_label: str) -> Markup:
    """Bars side by side in groups, from 0."""
    values = [bar.value for _, bars in groups for bar in bars]
    if not values:
        return Markup("")
    high = _padded(0.0, max(*values, 1e-9), fixed=True)[1]

    def at_y(y: float) -> float:
        return HEIGHT - BOTTOM - y / high * (HEIGHT - TOP - BOTTOM)

    slot = (WIDTH - LEFT - RIGHT) / len(groups)
    marks: list[str] = []
    for place, (name, bars) in enumerate(groups):
        left = LEFT + place * slot
        width = 0.8 * slot / max(len(bars), 1)
        for number, bar in enumerate(bars):
            marks.append(
                tag(
                    "rect",
                    tag("title", f"{name}, {bar.name}: {bar.note or _short(bar.value)}"),
                    x=left + 0.1 * slot + number * width,
                    y=at_y(bar.value),
                    width=max(width - 1.0, 0.5),
                    height=HEIGHT - BOTTOM - at_y(bar.value),
                    fill=bar.colour,
                )
            )
        marks.append(_text(name, left + slot / 2, HEIGHT - BOTTOM + 14, anchor="middle"))
    return _chart([*_y_axis(0.0, high, at_y), *marks], x_label=x_label, y_label=y_label)


def stacks(bars: Sequence[tuple[str, Sequence[Bar]]], *, x_label: str, y_label: str) -> Markup:
    """Stacked bars of shares that add up to 1, one a position; wide gaps are left out so that they read as an area."""

    def at_y(y: float) -> float:
        return HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM)

    slot = (WIDTH - LEFT - RIGHT) / max(len(bars), 1)
    marks: list[str] = []
    for place, (name, parts) in enumerate(bars):
        reached = 0.0
        for part in parts:
            if part.value <= 0.0:
                continue
            top = min(reached + part.value, 1.0)
            marks.append(
                tag(
                    "rect",
                    tag("title", f"{part.name}, {name}: {part.value:.1%}"),
                    x=LEFT + place * slot + 0.5,
                    y=at_y(top),
                    width=slot - 1.0,
                    height=max(at_y(reached) - at_y(top), 0.0),
                    fill=part.colour,
                )
            )
            reached = top
        rows = textwrap.wrap(name, max(int(slot / LETTER), 6))[:2]  # a third would meet the axis's name
        marks += [
            _text(row, LEFT + (place + 0.5) * slot, HEIGHT - BOTTOM + 12 + 10 * line, anchor="middle")
            for line, row in enumerate(rows)
        ]
    return _chart([*_y_axis(0.0, 1.0, at_y, percent=True), *marks], x_label=x_label, y_label=y_label)


def strip(dots: Sequence[Dot], *, zero: bool = False) -> Markup:
    """Means with intervals on one small axis, a line a dot: the shape of a table row. ``zero`` draws a line at 0."""
    ends = [v for dot in dots for v in (dot.mean, dot.low, dot.high) if v is not None] + ([0.0] if zero else [])
    if not ends:
        return Markup("")
    low, high = min(ends), max(ends)
    if low == high:
        low, high = low - 0.5, high + 0.5
    width, step = 150, 10

    def at(value: float) -> float:
        return 6 + (value - low) / (high - low) * (width - 12)

    height = step * len(dots) + 4
    marks: list[str] = []
    if zero:
        marks.append(tag("line", klass="zero", x1=at(0.0), x2=at(0.0), y1=0.0, y2=float(height)))
    for place, dot in enumerate(dots):
        y = step * place + step / 2 + 2
        if dot.mean is None:
            continue
        if dot.low is not None and dot.high is not None:
            marks.append(tag("line", x1=at(dot.low), x2=at(dot.high), y1=y, y2=y, stroke=dot.colour, stroke_width=2))
        note = f"{dot.name}: {dot.mean:.3f}"
        if dot.low is not None and dot.high is not None:
            note += f" [{dot.low:.3f}, {dot.high:.3f}]"
        marks.append(tag("circle", tag("title", note), cx=at(dot.mean), cy=y, r=3.5, fill=dot.colour))
    return tag("svg", *marks, klass="strip", viewBox=f"0 0 {width} {height}", width=width, height=height, role="img")


def dumbbells(rows: Sequence[tuple[str, Sequence[Dot]]], *, x_label: str) -> Markup:
    """A row a name with one dot a phase, joined; from 0."""
    values = [dot.mean for _, dots in rows for dot in dots if dot.mean is not None]
    if not values:
        return Markup("")
    high = _padded(0.0, max(*values, 1e-9), fixed=True)[1]
    left, step = 140, 20
    height = step * len(rows) + BOTTOM + 6

    def at(value: float) -> float:
        return left + value / high * (WIDTH - left - RIGHT)

    marks: list[str] = []
    for value in _ticks(0.0, high):
        marks.append(tag("line", klass="grid", x1=at(value), x2=at(value), y1=4.0, y2=float(height - BOTTOM)))
        marks.append(_text(f"{value:.0%}", at(value), height - BOTTOM + 14, anchor="middle"))
    for place, (name, dots) in enumerate(rows):
        y = step * place + step / 2 + 4
        found = [dot.mean for dot in dots if dot.mean is not None]
        marks.append(_text(name, left - 8, y + 4, anchor="end"))
        if found:
            marks.append(tag("line", klass="join", x1=at(min(found)), x2=at(max(found)), y1=y, y2=y))
        marks += [
            tag("circle", tag("title", f"{name}, {d.name}: {d.mean:.1%}"), cx=at(d.mean), cy=y, r=4.5, fill=d.colour)
            for d in dots
            if d.mean is not None
        ]
    marks.append(_text(x_label, (left + WIDTH - RIGHT) / 2, height - 3, anchor="middle", klass="label"))
    return tag("svg", *marks, klass="chart", viewBox=f"0 0 {WIDTH} {height}", role="img")


def forest(rows: Sequence[tuple[str, Dot]], *, x_label: str, x_from: float | None = None) -> Markup:
    """A row a name with its mean and interval (Fig. 4, Fig. 5)."""
    ends = [v for _, d in rows for v in (d.mean, d.low, d.high) if v is not None]
    if not ends:
        return Markup("")
    low, high = _padded(min(ends) if x_from is None else x_from, max(ends), fixed=x_from is not None)
    left, step = 170, 22
    height = step * len(rows) + BOTTOM + 6

    def at(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - left - RIGHT)

    marks: list[str] = []
    for value in _ticks(low, high):
        marks.append(tag("line", klass="grid", x1=at(value), x2=at(value), y1=4.0, y2=float(height - BOTTOM)))
        marks.append(_text(_short(value), at(value), height - BOTTOM + 14, anchor="middle"))
    for place, (name, dot) in enumerate(rows):
        y = step * place + step / 2 + 4
        marks.append(_text(_cut(name, 26), left - 8, y + 4, anchor="end"))
        if dot.mean is None:
            marks.append(_text("none", left + 4, y + 4))
            continue
        note = f"{name}: {dot.mean:.3f}"
        if dot.low is not None and dot.high is not None:
            marks.append(tag("line", x1=at(dot.low), x2=at(dot.high), y1=y, y2=y, stroke=dot.colour, stroke_width=2))
            note += f" [{dot.low:.3f}, {dot.high:.3f}]"
        marks.append(tag("circle", tag("title", note), cx=at(dot.mean), cy=y, r=4.5, fill=dot.colour))
    marks.append(_text(x_label, (left + WIDTH - RIGHT) / 2, height - 3, anchor="middle", klass="label"))
    return tag("svg", *marks, klass="chart", viewBox=f"0 0 {WIDTH} {height}", role="img")


def _chart(marks: Sequence[str], *, x_label: str, y_label: str) -> Markup:
    labels = (
        _text(x_label, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, anchor="middle", klass="label"),
        tag(
            "text",
            y_label,
            klass="label",
            x=11,
            y=(HEIGHT - BOTTOM + TOP) / 2,
            text_anchor="middle",
            transform=f"rotate(-90 11 {(HEIGHT - BOTTOM + TOP) / 2})",
        ),
    )
    return tag("svg", *marks, *labels, klass="chart", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")


def _line(one: Series, at_x: Callable[[float], float], at_y: Callable[[float], float]) -> list[str]:
    marks: list[str] = []
    run: list[str] = []
    for x, y in (*zip(one.x, one.y, strict=True), (0.0, None)):
        if y is not None:
            run.append(f"{at_x(x):.1f},{at_y(y):.1f}")
        elif run:
            marks.append(
                tag("polyline", points=" ".join(run), fill="none", stroke=one.colour, stroke_width=2, klass="line")
            )
            run = []
    marks += [
        tag("circle", tag("title", f"{one.name}, {_short(x)}: {y:.4g}"), cx=at_x(x), cy=at_y(y), r=2.5, fill=one.colour)
        for x, y in zip(one.x, one.y, strict=True)
        if y is not None
    ]
    return marks


def _band(one: Series, at_x: Callable[[float], float], at_y: Callable[[float], float]) -> list[str]:
    if not one.low or not one.high:
        return []
    edge = [(x, a, b) for x, a, b in zip(one.x, one.low, one.high, strict=True) if a is not None and b is not None]
    if len(edge) < 2:
        return []
    over = [f"{at_x(x):.1f},{at_y(b):.1f}" for x, _, b in edge]
    back = [f"{at_x(x):.1f},{at_y(a):.1f}" for x, a, _ in reversed(edge)]
    return [tag("polygon", points=" ".join((*over, *back)), fill=one.colour, fill_opacity="0.18")]


def _y_axis(low: float, high: float, at_y: Callable[[float], float], *, percent: bool = False) -> list[str]:
    marks: list[str] = []
    for value in _ticks(low, high):
        marks.append(tag("line", klass="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=at_y(value), y2=at_y(value)))
        shown = f"{value:.0%}" if percent else _short(value)
        marks.append(_text(shown, LEFT - 5, at_y(value) + 4, anchor="end"))
    return marks


def _x_axis(low: float, high: float, at_x: Callable[[float], float]) -> list[str]:
    return [
        _text(_short(value), at_x(value), HEIGHT - BOTTOM + 14, anchor="middle") for value in _ticks(low, high, about=6)
    ]


def _text(text: str, x: float, y: float, *, anchor: str = "start", klass: str | None = None) -> Markup:
    return tag("text", text, x=float(x), y=float(y), text_anchor=anchor, klass=klass)


def _ticks(low: float, high: float, about: int = 4) -> list[float]:
    raw = (high - low) / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * nice for nice in (1.0, 2.0, 2.5, 5.0, 10.0) if size * nice >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [step * n for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _padded(low: float, high: float, *, fixed: bool) -> tuple[float, float]:
    """A little air above, and below unless the lower end is fixed."""
    span = high - low or abs(high) or 1.0
    return (low if fixed else low - 0.06 * span), high + 0.06 * span


def _attribute(key: str) -> Markup:
    return Markup("class") if key == "klass" else escape(key.replace("_", "-") if key != "viewBox" else key)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _short(value: float) -> str:
    return "0" if abs(value) < 1e-12 else f"{value:.4g}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
