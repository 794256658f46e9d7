"""The graph: Orchestrator -> Captioner -> Evaluator -> Verification, with a way back for tiles without a caption."""

import os
from functools import partial
from typing import Any

from geomeld.caption.agents.captioner import caption
from geomeld.caption.agents.evaluator import evaluate
from geomeld.caption.agents.orchestrator import orchestrate
from geomeld.caption.agents.reviser import revise, to_revise
from geomeld.caption.agents.verification import finalize, unfinished, verification
from geomeld.caption.config import CaptionConfig
from geomeld.caption.evaluators import Evaluator, by_signals
from geomeld.caption.state import ChunkState
from geomeld.caption.writers.author import Author
from geomeld.core.config import to_json
from geomeld.core.errors import MissingExtra


def caption_graph(
    evaluator: Evaluator = by_signals.rank, author: Author | None = None, reviser: Author | None = None
) -> Any:
    """The compiled LangGraph graph over a ChunkState; `author` drafts instead of the configured writer, and rewrites
    what is beyond repair unless a `reviser` does.

    Raises MissingExtra without langgraph."""
    # A stray environment variable must not ship prompts to a tracing service.
    os.environ["LANGSMITH_TRACING"] = os.environ["LANGCHAIN_TRACING_V2"] = "false"
    try:
        from langgraph.graph import END, START, StateGraph
    except ImportError:
        raise MissingExtra("Captions need langgraph; install it with: pip install 'geomeld[caption]'") from None
    graph = StateGraph(ChunkState)
    graph.add_node("orchestrator", orchestrate)
    graph.add_node("captioner", partial(caption, author=author))
    graph.add_node("evaluator", partial(evaluate, rank=evaluator))
    graph.add_node("verification", verification)
    graph.add_node("finalize", finalize)
    graph.add_edge(START, "orchestrator")
    graph.add_edge("orchestrator", "captioner")
    graph.add_edge("captioner", "evaluator")
    graph.add_edge("evaluator", "verification")
    ways = {"again": "captioner", "done": "finalize"}
    reviser = author if reviser is None else reviser
    if reviser is not None:
        graph.add_node("reviser", partial(revise, author=reviser))
        graph.add_edge("reviser", "verification")
        ways["revise"] = "reviser"
    graph.add_conditional_edges("verification", partial(_next, may_revise=reviser is not None), ways)
    graph.add_edge("finalize", END)
    return graph.compile()


def _next(state: ChunkState, may_revise: bool) -> str:
    """Where a chunk goes after Verification."""
    if may_revise and to_revise(state):
        return "revise"
    return "again" if unfinished(state) else "done"


def caption_chunk(graph: Any, signals: list[dict[str, Any]], config: CaptionConfig) -> ChunkState:
    """Run the graph over the signals (JSON) of a chunk of tiles."""
    state: ChunkState = {
        "config": to_json(config),
        "signals": signals,
        "records": [None] * len(signals),
        "errors": [None] * len(signals),
        "notes": [[] for _ in signals],
        "revised": [None] * len(signals),
        "round": 0,
    }
    return graph.invoke(state, {"recursion_limit": 25})
