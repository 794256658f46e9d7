"""Unpickle: metadata that strangers pickled, read without running anything of theirs."""

import io
import pickle
from collections.abc import Mapping
from typing import Any

from geomeld.core.errors import GeoMeldError

ALLOWED = {
    ("collections", "OrderedDict"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
}
"""The only names that a pickle may bring to life, besides plain values: what NumPy numbers need."""

LARGEST = 4 * 2**20
"""Bytes of a record; those of SkyScript have a few thousand."""

Names = Mapping[tuple[str, str], Any]
"""What stands for a (module, name) that a pickle asks for."""


class Inert:
    """Stands for a class of somebody else's: keeps what the pickle says of an instance and does nothing."""

    arguments: tuple[Any, ...] = ()
    """What the instance was made from."""
    state: Any = None
    """What it held; a mapping of its fields for most classes."""

    def __new__(cls, *arguments: Any) -> "Inert":
        made = super().__new__(cls)
        made.arguments = arguments
        return made

    def __init__(self, *arguments: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def field(self, name: str) -> Any:
        """One of its fields; None where it has none of that name."""
        return self.state.get(name) if isinstance(self.state, dict) else None


def plain(data: bytes, where: str, error: type[GeoMeldError], names: Names | None = None) -> Any:
    """The plain values (dicts, lists, strings, numbers) in a pickle, and what `names` puts in place of further names.

    Raises `error` where it holds anything else; forbidden names are refused before anything runs.
    """
    if len(data) > LARGEST:
        raise error(f"{where} has {len(data):,} bytes; a record of metadata has at most {LARGEST:,}.")
    try:
        return _Plain(data, names or {}).load()
    except Exception as refused:  # a damaged pickle can raise anything
        raise error(f"{where} is refused: {refused}.") from None


class _Plain(pickle.Unpickler):
    def __init__(self, data: bytes, names: Names) -> None:
        super().__init__(io.BytesIO(data))
        self._names = names

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._names:
            return self._names[module, name]
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no metadata needs; nothing of it was run")
        return super().find_class(module, name)
