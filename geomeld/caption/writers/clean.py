"""Clean: a model's answer as one plain sentence, or the reason why it is none."""

import re
from collections.abc import Iterable

from geomeld.caption.claims import extract
from geomeld.caption.segments import tidy

FEWEST, MOST = 5, 60
"""Words of an answer that is worth verifying; the verifier shortens what is long."""
ECHO = 8
"""Words in a row that no caption shares with the prompt by chance."""

_PREAMBLE = re.compile(
    r"^(?:sure|certainly|of course|okay|ok|here(?:'s| is| are)|caption|sentence|answer|output|description|assistant)\b"
    r"[^:.\n]{0,60}[:!]\s*",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|an? )|i can(?:no|')t|as an ai|cannot assist|unable to|apologi[sz]e)",
    re.IGNORECASE,
)
_PAYLOAD = re.compile(r"must_mention|may_mention|do_not_mention|land_cover", re.IGNORECASE)
_MARKUP = re.compile(r"[{}\[\]<>|\\]|https?:", re.IGNORECASE)
_ENGLISH_WORDS = (
    "the a an of with and in on to by is are at from across through near along around over most some few its"
    " between where while as mostly several small large"
)
_FOREIGN_WORDS = (
    "de la el los las del con en una y se por un que es der die das und mit ein eine einer von im auf den dem ist sind"
    " le les des et du dans une est sur avec il lo gli di da nel della e o os do dos na no com um uma het een van met"
    " och ett med av som"
)
_ENGLISH, _FOREIGN = (frozenset(words.split()) for words in (_ENGLISH_WORDS, _FOREIGN_WORDS))


def cleaned(answer: str | None, finish_reason: str | None = None, prompt: str = "") -> tuple[str, str]:
    """(sentence, "") or ("", why not): empty, cut off, echo, refusal, foreign, loop, markup, too short, too long."""
    text = _plain(answer or "")
    if not re.search(r"[^\W\d_]", text):
        return "", "empty"
    if _REFUSAL.search(text):
        return "", "refusal"
    if _PAYLOAD.search(answer or "") or _shares(text, prompt):
        return "", "echo"
    if _MARKUP.search(text):
        return "", "markup"
    if any(ord(c) < 32 or not c.isprintable() or c == "\ufffd" for c in text):
        return "", "garbage"
    first = _first_sentence(text)
    if finish_reason == "length" and first == text and not text.endswith((".", "!")):
        return "", "cut off"
    words = re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", first.lower())
    reason = _unfit(first, words)
    return ("", reason) if reason else (tidy(first.rstrip(" .!?;:,") + "."), "")


def _plain(answer: str) -> str:
    """Without reasoning, code fences, Markdown, quotation marks and preambles."""
    text = re.sub(r"<think>.*?(?:</think>|$)", " ", answer, flags=re.DOTALL)
    text = re.sub(r"```\w*", " ", text)
    text = re.sub(r"^\s*(?:[#>*•-]+|\d+[.)])\s+", "", text.strip())
    text = re.sub(r"[*_`#]{1,3}(?=\S)|(?<=\S)[*_`#]{1,3}", "", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and (lines[0].endswith(":") or _PREAMBLE.match(lines[0] + ":")):
        lines = lines[1:]
    text = _PREAMBLE.sub("", " ".join(lines).strip())
    text = re.sub(r"^(?:sure|certainly|of course|okay)[,!.]\s+", "", text, flags=re.IGNORECASE)
    return re.sub(r"\s+", " ", text).strip(" \"'“”‘’«»")


def _first_sentence(text: str) -> str:
    found = re.match(r".+?[.!?](?=\s+[\"'“]?[A-Z]|$)", text)
    return (found[0] if found else text).strip(" \"'“”")


def _unfit(sentence: str, words: list[str]) -> str:
    letters = [c for c in sentence if c.isalpha()]
    if sum(c.isascii() for c in letters) < 0.9 * len(letters):
        return "foreign"
    english, foreign = _count(words, _ENGLISH), _count(words, _FOREIGN)
    if foreign > english or (english == 0 and not extract(sentence)):
        return "foreign"
    if not FEWEST <= len(words) <= MOST:
        return "too short" if len(words) < FEWEST else "too long"
    pairs = list(zip(words, words[1:], words[2:], strict=False))
    if len(words) >= 9 and len(set(pairs)) < 0.7 * len(pairs):
        return "loop"
    return ""


def _count(words: Iterable[str], among: frozenset[str]) -> int:
    return sum(w in among for w in words)


def _shares(text: str, prompt: str) -> bool:
    """Whether the answer repeats a stretch of the prompt."""
    if not prompt:
        return False
    words, known = text.lower().split(), f" {' '.join(prompt.lower().split())} "
    return any(" " + " ".join(words[i : i + ECHO]) + " " in known for i in range(len(words) - ECHO + 1))
