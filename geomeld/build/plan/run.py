"""Runs of planning: with files of items, or with a source alone; a plan of nothing takes no other's place."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from geomeld.build.config import BuildConfig
from geomeld.build.plan.bulk import anchor_of, plan_in_bulk
from geomeld.build.plan.each import forget, plan_each
from geomeld.build.plan.items import Items
from geomeld.build.plan.row import write_plan
from geomeld.core.errors import SourceError
from geomeld.dataset.files import PARTIAL
from geomeld.sources import Source
from geomeld.sources.catalogue import open_catalogue
from geomeld.sources.profiles import PROFILES


def plan_with_items(
    anchors: pa.Table,
    specs: Sequence[str],
    out: Path,
    config: BuildConfig,
    source: Source | None,
    workers: int,
    keep: Path,
) -> list[str]:
    """Plan from files of items, with a source for their gaps; returns what there is to say about the items."""
    items = Items(specs)
    titles = _titles(source)
    new = _beside(out)
    remarks = plan_in_bulk(anchors, items, new, config, source=source, titles=titles, workers=workers, keep=keep)
    forget(keep)
    _put(new, out)
    if config.clear_share > 0:
        remarks.append("no scene was looked at: clouds over the tile itself show when it is built")
    return remarks


def plan_with_source(
    anchors: pa.Table, source: Source, out: Path, config: BuildConfig, workers: int, keep: Path
) -> list[str]:
    """Plan through a source alone, anchor by anchor."""
    jobs = [anchor_of(row) for row in anchors.to_pylist()]
    new = _beside(out)
    write_plan(new, plan_each(jobs, source, config, workers=workers, keep=keep))
    forget(keep)
    _put(new, out)
    return []


def _beside(out: Path) -> Path:
    return out.with_name(f".{out.name}.new{PARTIAL}")


def _put(new: Path, out: Path) -> None:
    """Put a plan in its place if it plans anything; raises SourceError with the commonest reasons where it does not."""
    from geomeld.build.plan.summary import summary_of

    summary = summary_of(new)
    if summary.planned:
        new.replace(out)
        return
    new.unlink()
    said = "; ".join(f"{n} x {reason}" for reason, n in summary.reasons.most_common(3))
    raise SourceError(f"None of the {summary.anchors} anchors could be planned, nothing written: {said}.")


def _titles(source: Source | None) -> dict[str, str]:
    """What a catalogue calls the products, so that a plan from its items says the same as one from itself."""
    href = getattr(source, "href", None)
    if href is None:
        return {}
    collections = open_catalogue(href).collections
    found = {name: profile.collection_of(collections) for name, profile in PROFILES.items()}
    return {name: str(collections[c].title) for name, c in found.items() if c and collections[c].title}
