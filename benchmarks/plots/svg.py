"""Shapes and text as SVG: colours that read on white as on black, and better ones where the reader's is known."""

from collections.abc import Iterable
from xml.sax.saxutils import escape

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #57606a }
.title { font-size: 15px; font-weight: 600 } .note, .name { font-size: 12px }
.ours { fill: #0a7ea4 } .theirs { fill: #8c959f } .floor { fill: #8c959f; fill-opacity: .5 }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round }
.limit { stroke: #0a7ea4 } .knee { stroke: #d1772e; stroke-dasharray: 6 4 } .knee-name { fill: #d1772e }
.grid { stroke: #8c959f; stroke-opacity: .3; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
  text { fill: #9da7b3 } .ours { fill: #39b5dd } .limit { stroke: #39b5dd }
  .knee { stroke: #f0a35e } .knee-name { fill: #f0a35e }
}
"""


class Drawing:
    """A picture without a background of its own."""

    def __init__(self, width, height):
        self._size = (width, height)
        self._shapes = []

    def text(self, x: float, y: float, words: str, kind: str, anchor: str = "start") -> None:
        """Write ``words`` with their base line at ``y``."""
        self._shapes.append(
            f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def box(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """Draw a bar."""
        self._shapes.append(f'<rect x="{x}" y="{y}" width="{width:.1f}" height="{height}" rx="2" class="{kind}"/>')

    def line(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        """Draw a line through ``points``."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._shapes.append(f'<polyline points="{path}" class="{kind}"/>')

    def finished(self, words: str) -> str:
        """Return the file; ``words`` are for who cannot see it."""
        width, height = self._size
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        )
        inside = "\n".join(self._shapes)
        return f'{head} role="img" aria-label="{escape(words)}">\n<style>{STYLE}</style>\n{inside}\n</svg>\n'
