# SPDX-License-Identifier: Apache-2.0
"""The figures of the benchmark's page as SVG: points with their spread, joined by lines.

No library is used: a handful of lines, circles and texts. The horizontal axis has the measured
places at equal distances, as they are 1, 4, 16, 64; the vertical one is logarithmic where the
values differ by more than a factor of ten.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import html
import math
import statistics

_WIDTH, _HEIGHT = 760, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 230, 16, 46
_COLOURS = ('#0b62a4', '#c0392b', '#1e8449', '#8e44ad', '#b9770e', '#34495e', '#d35400', '#117a65')
_STEPS = (1, 2, 5)
_WIDE = 10.0
Series = Mapping[str, Sequence[tuple[float, Sequence[float]]]]


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """One figure: its name, its caption, and what its axes are."""

    name: str
    title: str
    across: str
    up: str


FIGURES = (
    Figure(
        'others',
        'One operation beside other volumes on the same host',
        'other volumes (disks)',
        'seconds',
    ),
    Figure('attach', 'Attach together', 'threads', 'volumes a second'),
    Figure('detach', 'Detach together', 'threads', 'volumes a second'),
)


@dataclasses.dataclass(frozen=True, slots=True)
class _Axes:
    """Where a value is in the drawing."""

    places: tuple[float, ...]
    low: float
    high: float
    is_logarithmic: bool

    def x(self, place: float) -> float:
        count = max(len(self.places) - 1, 1)
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * self.places.index(place) / count

    def y(self, value: float) -> float:
        share = (self._scaled(value) - self._scaled(self.low)) / (
            self._scaled(self.high) - self._scaled(self.low)
        )
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, self.low)) if self.is_logarithmic else value

    def ticks(self) -> list[float]:
        found = [
            step * 10.0**power
            for power in range(math.floor(math.log10(self.high)) - 3, 6)
            for step in _STEPS
        ]
        inside = [tick for tick in found if self.low <= tick <= self.high]
        if self.is_logarithmic:
            return inside
        step = next((tick for tick in found if self.high / tick <= 6), self.high)
        return [step * number for number in range(int(self.high / step) + 1)]


def _axes(series: Series) -> _Axes:
    places = sorted({place for points in series.values() for place, _ in points})
    values = [v for points in series.values() for _, each in points for v in each if v > 0]
    low, high = min(values), max(values)
    if high / low > _WIDE:
        return _Axes(tuple(places), low / 1.3, high * 1.3, is_logarithmic=True)
    return _Axes(tuple(places), 0.0, high * 1.1, is_logarithmic=False)


def svg(figure: Figure, series: Series) -> str:
    """The drawing of a figure; empty if nothing was measured for it."""
    shown = {name: points for name, points in series.items() if any(v for _, v in points)}
    if not shown:
        return ''
    axes = _axes(shown)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" font-size="12" role="img">',
        f'<title>{html.escape(figure.title)}</title>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        *_grid(figure, axes),
    ]
    for number, (name, points) in enumerate(sorted(shown.items())):
        out += _line(axes, points, _COLOURS[number % len(_COLOURS)])
        out += _label(name, number)
    return '\n'.join([*out, '</svg>']) + '\n'


def _grid(figure: Figure, axes: _Axes) -> list[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    out = []
    for tick in axes.ticks():
        y = axes.y(tick)
        out.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#dddddd"/>')
        out.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for place in axes.places:
        x = axes.x(place)
        out.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{place:g}</text>')
    middle, centre = (_LEFT + right) / 2, (_TOP + bottom) / 2
    out.append(f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#333333"/>')
    out.append(f'<text x="{middle}" y="{bottom + 36}" text-anchor="middle">{figure.across}</text>')
    turned = f'transform="rotate(-90 14 {centre})"'
    out.append(f'<text x="14" y="{centre}" text-anchor="middle" {turned}>{figure.up}</text>')
    return out


def _line(axes: _Axes, points: Sequence[tuple[float, Sequence[float]]], colour: str) -> list[str]:
    """The medians, joined, with a bar from the least to the most of each."""
    known = sorted((axes.x(place), values) for place, values in points if values)
    medians = [(x, axes.y(statistics.median(values))) for x, values in known]
    path = 'L'.join(f'{x:.1f} {y:.1f}' for x, y in medians)
    out = [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>']
    for (x, y), (_, values) in zip(medians, known, strict=True):
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        least, most = axes.y(min(values)), axes.y(max(values))
        out.append(f'<path d="M{x:.1f} {least:.1f}V{most:.1f}" stroke="{colour}"/>')
    return out


def _label(name: str, number: int) -> list[str]:
    x, y = _WIDTH - _RIGHT + 14, _TOP + 14 + 18 * number
    colour = _COLOURS[number % len(_COLOURS)]
    return [
        f'<path d="M{x} {y - 4}h16" stroke="{colour}" stroke-width="3"/>',
        f'<text x="{x + 22}" y="{y}">{html.escape(name)}</text>',
    ]
