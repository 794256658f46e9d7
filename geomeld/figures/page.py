"""Page: one HTML file that opens offline, with its pictures inside."""

import base64
import html
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imsave

STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --dim: #5b6b7b; --paper: #ffffff; --line: #dfe5ea; --soft: #f4f7f9;
  --accent: #1f5f8b; --good: #1b7f4b; --bad: #b3261e; --warn: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9aa8b5; --paper: #10161c; --line: #2b3640;
  --soft: #18212a; --accent: #7cc0ee; --good: #5cc98d; --bad: #ff8a80; --warn: #e3b341; } }
* { box-sizing: border-box } body { margin: 0 auto; padding: 2rem 1.2rem 5rem; max-width: 1180px; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif }
h1 { font-size: 2rem; margin: 0 0 .3rem } h2 { margin: 3rem 0 .6rem; padding-top: 1rem; border-top: 1px solid var(--line) }
h3 { margin: 1.6rem 0 .4rem } p { max-width: 75ch } .lead, .note, figcaption { color: var(--dim) } figure { margin: 1rem 0 }
figcaption { font-size: .85rem } img { max-width: 100%; height: auto; border-radius: 6px; background: #fff }
nav a { margin-right: 1rem; white-space: nowrap } a { color: var(--accent) } .scroll { overflow-x: auto }
table { border-collapse: collapse; margin: .6rem 0; font-size: .9rem } th, td { text-align: left; padding: .3rem .7rem;
  border-bottom: 1px solid var(--line); vertical-align: top } th { color: var(--dim); font-weight: 600 }
td.number { text-align: right; font-variant-numeric: tabular-nums } .cards { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)) } .card { background: var(--soft); border: 1px solid var(--line);
  border-radius: 10px; padding: .8rem } .card img { width: 100%; image-rendering: pixelated } blockquote { margin: .6rem 0;
  padding: .2rem 1rem; border-left: 3px solid var(--accent); font-size: 1.1rem } code { background: var(--soft);
  padding: .1em .35em; border-radius: 4px; font-size: .9em } pre { background: var(--soft); padding: .8rem; overflow-x: auto;
  border-radius: 8px } .supported { color: var(--good) } .contradicted { color: var(--bad) } .unsupported, .unverifiable {
  color: var(--warn) } details { margin: .5rem 0 } summary { cursor: pointer; color: var(--accent) }
.big { font-size: 1.6rem; font-weight: 650; display: block } mark { background: none; border-bottom: 2px solid var(--good);
  color: inherit }
"""


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
        self.add('<div class="cards">' + "".join(f'<div class="card">{c}</div>' for c in cards) + "</div>")

    def html(self) -> str:
        """The whole page."""
        links = "".join(f'<a href="#{anchor}">{escape(title)}</a>' for anchor, title, _ in self._sections)
        body = "".join(
            f'<h2 id="{anchor}">{escape(title)}</h2>{"".join(parts)}' for anchor, title, parts in self._sections
        )
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self._title)}</title><style>{STYLE}</style></head><body>"
            f'<h1>{escape(self._title)}</h1><p class="lead">{escape(self._lead)}</p><nav>{links}</nav>{body}</body></html>\n'
        )

    def write(self, path: Path) -> Path:
        """Write the page under its final name only when it is complete."""
        part = path.with_name(path.name + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as file:
            file.write(self.html())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        return path


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
