"""Answer: what is kept of a model's reply, and the words of a chat."""

from collections.abc import Mapping, Sequence
from typing import Any


def record_of(answer: Any) -> dict[str, Any]:
    """What is kept of an answer. Raises ValueError where it is none."""
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise ValueError("the answer holds no choices")
    usage = getattr(answer, "usage", None)
    counted = {k: getattr(usage, k, None) for k in ("prompt_tokens", "completion_tokens")}
    return {
        "choices": [{"text": _text_of(c), "finish": getattr(c, "finish_reason", None)} for c in choices],
        "tokens": {k: int(v) for k, v in counted.items() if isinstance(v, int)},
        "model": getattr(answer, "model", None),
        "fingerprint": getattr(answer, "system_fingerprint", None),
    }


def _text_of(choice: Any) -> str:
    text = getattr(getattr(choice, "message", None), "content", None)
    return text if isinstance(text, str) else ""


def words_of(chat: Sequence[Mapping[str, Any]]) -> str:
    """The text of a chat, without pictures."""
    parts: list[str] = []
    for message in chat:
        content = message["content"]
        parts += [content] if isinstance(content, str) else [c["text"] for c in content if c["type"] == "text"]
    return "\n".join(parts)
