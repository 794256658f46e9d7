"""Page: one HTML file that opens offline, with its pictures inside."""

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imsave

from geomeld.dataset.files import write_atomically

STYLE = resources.files("geomeld.figures").joinpath("page.css").read_text(encoding="utf-8")


class Page:
    """Collects sections and writes them as one file; every text that comes from data is escaped."""

    def __init__(self, title: str, lead: str = "") -> None:
        self._title = title
        self._lead = lead
        self._sections: list[tuple[str, str, list[str]]] = []

    def section(self, title: str, text: str = "") -> None:
        """Start a section; `text` is trusted HTML or plain prose."""
        anchor = "".join(c if c.isalnum() else "-" for c in title.lower())
        self._sections.append((anchor, title, [f"<p>{text}</p>"] if text else []))

    def add(self, fragment: str) -> None:
        """Append trusted HTML to the current section."""
        self._sections[-1][2].append(fragment)

    def text(self, text: str) -> None:
        """Append a paragraph, escaped."""
        self.add(f"<p>{escape(text)}</p>")

    def figure(self, figure: Figure, caption: str = "") -> None:
        """Append a matplotlib figure with an escaped caption."""
        self.add(f"<figure>{image(figure, caption)}<figcaption>{escape(caption)}</figcaption></figure>")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Append a table; cells are escaped, numbers are set right and rounded to four figures."""
        self.add(table(header, rows))

    def cards(self, cards: Iterable[str]) -> None:
        """Append a grid of cards of trusted HTML."""
        self.add(grid(cards))

    def html(self) -> str:
        """The whole page."""
        links = " ".join(f'<a href="#{anchor}">{escape(title)}</a>' for anchor, title, _ in self._sections)
        body = "".join(
            f'<h2 id="{anchor}">{escape(title)}</h2>{"".join(parts)}' for anchor, title, parts in self._sections
        )
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self._title)}</title><style>{STYLE}</style></head><body>"
            f'<h1>{escape(self._title)}</h1><p class="lead">{escape(self._lead)}</p>'
            f"<nav>{links}</nav>{body}</body></html>\n"
        )

    def write(self, path: Path) -> Path:
        """Write the page under its final name only when it is complete."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, self.html().encode())
        return path


def grid(cards: Iterable[str]) -> str:
    """Cards of trusted HTML as HTML."""
    return '<div class="cards">' + "".join(f'<div class="card">{card}</div>' for card in cards) + "</div>"


def escape(text: object) -> str:
    """Text from data as HTML text."""
    return html.escape(str(text), quote=True)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as HTML."""
    head = "".join(f"<th>{escape(h)}</th>" for h in header)
    body = "".join("<tr>" + "".join(_cell(c) for c in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return f"<td>{escape(value)}</td>"
    return f'<td class="number">{value:.4g}</td>' if isinstance(value, float) else f'<td class="number">{value}</td>'


def image(picture: Figure | np.ndarray, alt: str = "") -> str:
    """A figure, or an (rows, columns, 3) picture in 0..1, as an <img> with its bytes inside."""
    buffer = io.BytesIO()
    if isinstance(picture, Figure):
        picture.savefig(buffer, format="png")
    else:
        imsave(buffer, np.clip(picture, 0, 1), format="png")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{data}">'


def definitions(items: Mapping[str, Any]) -> str:
    """Names and values as a two-column table."""
    return table(("", ""), items.items())
