"""Beside: our numbers in the tables where others print theirs, with what differs between the protocols."""

from collections.abc import Mapping, Sequence

from geomeld.evaluate.card import Card
from geomeld.evaluate.protocols import PROTOCOLS
from geomeld.evaluate.published import SOURCES, TABLE_2, TABLE_3, Column, Published, published
from geomeld.evaluate.results import TileSet
from geomeld.evaluate.summary import Summary, cell, percent
from geomeld.figures.evaluation_page import Table

READ_OUTS = {
    "fine-tuning": "fine-tuning",
    "linear probe": "linear probe",
    "lbfgs probe": "linear probe",
    "U-Net": "U-Net",
    "segmentation probe": "segmentation probe",
    "knn": "kNN",
    "retrieval": "retrieval",
}
"""What a protocol's name holds -> the column that it stands in."""
SHORT = {read_out: read_out for read_out in READ_OUTS.values()} | {"fine-tuning": "FT", "linear probe": "LP"}
NOT_AS_PUBLISHED = " *"

Names = Mapping[str, str]
Cards = Mapping[str, Card]
TileSets = Mapping[str, TileSet]


def column_of(summary: Summary) -> Column | None:
    """The column that a number belongs to; None where nobody prints one."""
    if "nearest" in summary.protocol:
        return None  # galleries of hard negatives are nobody's
    read_out = next((r for words, r in READ_OUTS.items() if words in summary.protocol), None)
    return None if read_out is None else Column(summary.task, read_out, summary.metric)


def family_of(protocol: str) -> str:
    """A protocol's name without its way of reading: rows of one family stand on one line."""
    for words in READ_OUTS:
        if words in protocol and not words.startswith(("knn", "lbfgs", "retrieval")):
            parts = [part.strip() for part in protocol.replace(words, "").split(",")]
            return ", ".join(part for part in parts if part) or words
    return protocol


def paper_tables(found: Sequence[Summary], cards: Cards, names: Names, tile_sets: TileSets) -> list[Table]:
    """Tables 2 and 3 of the paper with our rows below theirs; one that we have no number for is left out."""
    tables = []
    for source, columns in (("table 2", TABLE_2), ("table 3", TABLE_3)):
        ours = [s for s in found if column_of(s) in columns]
        if ours:
            tables.append(_paper_table(source, columns, ours, cards, names, tile_sets))
    return tables


def _paper_table(
    source: str, columns: Sequence[Column], ours: Sequence[Summary], cards: Cards, names: Names, tile_sets: TileSets
) -> Table:
    printed: dict[str, dict[Column, str]] = {
        model: {} for column in columns for model in (p.model for p in published(column, source))
    }
    for column in columns:
        for each in published(column, source):
            printed[each.model][column] = percent(each.value)
    rows = [[model, "printed", "", *(cells.get(c, "") for c in columns)] for model, cells in printed.items()]
    lines: dict[tuple[str, str, str, int], dict[Column, str]] = {}
    for s in ours:
        how = ", ".join(filter(None, [family_of(s.protocol), _part_of(s, cards, tile_sets)]))
        for again in range(len(ours)):  # two sets of one name do not hide one another
            line = lines.setdefault((names[s.checkpoint], how, s.scale, again), {})
            if (stands_in := column_of(s)) is None or stands_in not in line:
                break
        if stands_in is not None:
            line[stands_in] = cell(s) + star(s, cards)
    rows += [[who, how, scale, *(cells.get(c, "") for c in columns)] for (who, how, scale, _), cells in lines.items()]
    about = SOURCES[source]
    return Table(
        f"Beside {about.title}",
        "Percent, ours with 95 % intervals; the paper prints single runs without any. No two protocols are the same: "
        "what differs stands below.",
        ("", "protocol", "statistics", *(f"{_heading(c)}, {c.metric}" for c in columns)),
        rows,
        [
            f"Printed: {about.where}. {about.protocol}.",
            f"What differs, of all printed rows: {about.differs}.",
            *_remarks([p for column in columns for p in published(column, source)]),
            *(f"Ours by {text}" for text in map(about_protocol, dict.fromkeys(s.protocol for s in ours)) if text),
            *notes_on(ours, cards, tile_sets),
        ],
    )


def _remarks(printed: Sequence[Published]) -> list[str]:
    """What must be said of some numbers of a table, a line for each thing that is said, with what it is said of."""
    by_words: dict[str, list[Published]] = {}
    for p in printed:
        for words in p.remarks:
            by_words.setdefault(words, []).append(p)
    lines = []
    for words, numbers in by_words.items():
        models, columns = dict.fromkeys(p.model for p in numbers), dict.fromkeys(p.column for p in numbers)
        all_of_them = {p.model for p in printed if p.column in columns} == set(models)
        who = [] if all_of_them else [" and ".join(models)]
        lines.append(f"{', '.join([*who, ' and '.join(map(_heading, columns))])}: {words}.")
    return lines


def _heading(column: Column) -> str:
    return f"{column.task.split(',')[0]} {SHORT[column.read_out]}"


def about_protocol(name: str) -> str:
    """What a protocol is, by its name; of one in another number of epochs, what it would be in full; empty for one that
    is not in the table of protocols."""
    if name in PROTOCOLS:
        return f"{name}: {PROTOCOLS[name].about}."
    whole = max((known for known in PROTOCOLS if name.startswith(f"{known}, ")), key=len, default="")
    cut = name.removeprefix(f"{whole}, ")
    return f"{name}: a trial of {cut} in all; in full, {PROTOCOLS[whole].about}." if whole else ""


def _part_of(summary: Summary, cards: Cards, tile_sets: TileSets) -> str:
    """Which part of a benchmark, or whose tiles, where it is not all of a benchmark."""
    if (card := cards.get(summary.data)) is not None:
        return "" if card.partition == "default" else f"partition {card.partition}"
    if (tiles := tile_sets.get(summary.data)) is None:
        return f"tiles of {summary.data}"
    return f"tiles of {tiles.name}" + (f", held out: {tiles.held_out}" if tiles.held_out else "")


def other_models(found: Sequence[Summary], cards: Cards, names: Names) -> list[Table]:
    """A table per task and way of reading that others print, ours among theirs, best first; ours that are not of the
    published set stand last."""
    tables = []
    columns = dict.fromkeys(column_of(s) for s in found)
    for column in columns:
        if column is None or not [p for p in published(column) if not p.source.startswith("table")]:
            continue
        ours = [s for s in found if column_of(s) == column]
        printed = [p for p in published(column) if p.source != "table 3"]
        ranked = [(p.value, [p.model, percent(p.value), SOURCES[p.source].title, p.differs]) for p in printed]
        last = []
        for s in ours:
            ours_differs = f"{s.scale} statistics; {about_protocol(s.protocol).partition(': ')[2]}".rstrip(".; ")
            row = [names[s.checkpoint], cell(s) + star(s, cards), f"here: {s.protocol}", ours_differs]
            if star(s, cards):
                last.append(row)
            else:
                ranked.append((s.value, row))
        ranked.sort(key=lambda line: -line[0])
        where = dict.fromkeys(SOURCES[p.source] for p in printed)
        tables.append(
            Table(
                f"{column.task}, {column.read_out}: beside other models",
                f"{column.metric} in percent, ours with intervals. No protocol is quite ours: see the last column.",
                ("", column.metric, "where", "what differs"),
                [*(row for _, row in ranked), *last],
                [*(f"{source.title}: {source.where}. {source.protocol}." for source in where), *notes_on(ours, cards)],
            )
        )
    return tables


def star(summary: Summary, cards: Cards) -> str:
    """A mark behind numbers that are not of the published set; tiles of a dataset never are."""
    card = cards.get(summary.data)
    return "" if card is not None and card.as_published else NOT_AS_PUBLISHED


def notes_on(ours: Sequence[Summary], cards: Cards, tile_sets: TileSets | None = None) -> list[str]:
    """What must be said of ours: sets that are not as published, tiles of datasets, and galleries."""
    used = {s.data: cards[s.data] for s in ours if s.data in cards}
    notes = [f"* {_unlike(card)}" for card in used.values() if not card.as_published]
    notes += [
        f"* Tiles of {(tile_sets or {}).get(data, data)}: not the paper's test tiles, and not comparable."
        for data in dict.fromkeys(s.data for s in ours if s.data not in cards)
    ]
    galleries = sorted({s.n for s in ours if column_of(s) in (None, *TABLE_3) and s.protocol.startswith("retrieval")})
    if galleries:
        notes.append(f"Our galleries hold {', '.join(f'{n:,}' for n in galleries)} tiles; equal captions all count.")
    return notes


def _unlike(card: Card) -> str:
    """What a set is of that is not the published one."""
    partition = "" if card.partition == "default" else f", partition {card.partition}"
    said = f"{card.name}{partition}, {_counts(card.splits)} images of train/valid/test"
    if card.simulated:
        return f"{said}: simulated, images and labels; not comparable with numbers on real ones."
    if card.published is None:
        return f"{said}: whether these are all of the published set is not known here; not comparable."
    return f"{said}: not the published set ({_counts(card.published)}), and not comparable."


def _counts(splits: Sequence[int]) -> str:
    return "/".join(f"{n:,}" for n in splits)
