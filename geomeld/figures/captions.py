"""Captions beside their claims and the evidence for them, as HTML."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from geomeld.figures.page import escape, table

_GRAVITY = ("supported", "unverifiable", "unsupported", "contradicted")


def caption_html(record: Mapping[str, Any]) -> str:
    """The caption of a record (core `Caption` as JSON) with each claim marked by its verdict, and a table of claims,
    rules and measured values underneath."""
    marked = marked_caption(record)
    edits = "".join(
        f"<li><code>{escape(e['rule'])}</code> {escape(e['before'])} &rarr; {escape(e['after'])}</li>"
        for e in record.get("edits", [])
    )
    changed = f"<details><summary>{len(record['edits'])} edits</summary><ul>{edits}</ul></details>" if edits else ""
    return f"<blockquote>{marked}</blockquote>{_evidence(record)}{changed}"


def caption_text(record: Mapping[str, Any]) -> str:
    """The caption of a record with its claims and the evidence for each, for a terminal."""
    claims = {c["claim_id"]: c for c in record["claims"]}
    lines = [f"{record['text']} ({record['status']})"]
    for verdict in record["verdicts"]:
        claim = claims.get(verdict["claim_id"])
        words = repr(claim["text"]) if claim else "(whole caption)"
        evidence = ", ".join(f"{k} = {v}" for k, v in verdict["evidence"].items())
        lines.append(f"  {words:28} {verdict['rule']:5} {verdict['status']:12} {evidence}")
    lines += [f"  edited by {e['rule']}: {e['before']!r} -> {e['after']!r}" for e in record["edits"]]
    return "\n".join(lines)


def marked_caption(record: Mapping[str, Any]) -> str:
    """The text of a record with each claim in the colour of its worst verdict, as HTML."""
    return _marked(record["text"], record.get("claims", []), _worst(record.get("verdicts", [])))


def _worst(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    worst: dict[str, str] = {}
    for verdict in verdicts:
        known = worst.get(verdict["claim_id"], "supported")
        worst[verdict["claim_id"]] = max(known, verdict["status"], key=_GRAVITY.index)
    return worst


def _marked(text: str, claims: Sequence[Mapping[str, Any]], worst: Mapping[str, str]) -> str:
    parts, position = [], 0
    for claim in sorted(claims, key=lambda c: c["start"]):
        if claim["start"] < position:
            continue
        parts.append(escape(text[position : claim["start"]]))
        status = worst.get(claim["claim_id"], "unverifiable")
        words = escape(text[claim["start"] : claim["end"]])
        parts.append(f'<mark class="{status}" title="{escape(claim["concept"])}: {status}">{words}</mark>')
        position = claim["end"]
    return "".join(parts) + escape(text[position:])


def _evidence(record: Mapping[str, Any]) -> str:
    claims = {c["claim_id"]: c for c in record.get("claims", [])}
    rows = [
        (
            claims[v["claim_id"]]["text"],
            claims[v["claim_id"]]["concept"],
            v["rule"],
            v["status"],
            _values(v["evidence"]),
        )
        for v in record.get("verdicts", [])
        if v["claim_id"] in claims
    ]
    return table(("words", "claim", "rule", "verdict", "measured"), rows)


def _values(evidence: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} = {_short(v)}" for k, v in evidence.items())


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value)
