"""A plot as SVG, both axes by powers of ten, without anything installed."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 150, 20, 45
COLOURS = ("#0b6e99", "#b3541e", "#4d7c0f", "#7c3aed")


class Axis:
    def __init__(self, values, begin, end):
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)
        self.begin, self.end = begin, end

    def at(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 1)

    def ticks(self):
        return [10.0 ** power for power in range(self.low, self.high + 1)]


def text(x, y, words, anchor="middle", colour="#333"):
    return (f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>')


def grid(across, up, name):
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for tick in across.ticks():
        x = across.at(tick)
        yield f'<path d="M{x} {TOP}V{bottom}" stroke="#ddd"/>'
        yield text(x, bottom + 18, f"{tick:g}")
    for tick in up.ticks():
        y = up.at(tick)
        yield f'<path d="M{LEFT} {y}H{right}" stroke="#ddd"/>'
        yield text(LEFT - 8, y + 4, f"{tick:g}", "end")
    yield text((LEFT + right) / 2, HEIGHT - 8, name)


def log_log(name, curves):
    """`curves`: by name, points (x, y), all above 0. `name`: of the x axis."""
    points = [point for curve in curves.values() for point in curve]
    across = Axis([x for x, _ in points], LEFT, WIDTH - RIGHT)
    up = Axis([y for _, y in points], HEIGHT - BOTTOM, TOP)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
             'font-family="sans-serif" font-size="13">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>', *grid(across, up, name)]
    for (label, curve), colour in zip(curves.items(), COLOURS):
        places = [(across.at(x), up.at(y)) for x, y in curve]
        path = " ".join(f"{x},{y}" for x, y in places)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in places]
        lines.append(text(places[-1][0] + 10, places[-1][1] + 4, label, "start", colour))
    return "\n".join([*lines, "</svg>"]) + "\n"
