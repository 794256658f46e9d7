"""Unpickle: metadata that strangers pickled, read without running anything of theirs."""

import io
import pickle
from typing import Any

from geomeld.core.errors import AnchorError

ALLOWED = {
    ("collections", "OrderedDict"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
}
"""The only names that a pickle may bring to life, besides plain values: what NumPy numbers need."""

LARGEST = 4 * 2**20
"""Bytes of a record; those of SkyScript have a few thousand."""


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no metadata needs; nothing of it was run")
        return super().find_class(module, name)


def plain(data: bytes, where: str) -> Any:
    """The plain values (dicts, lists, strings, numbers) in a pickle.

    Raises AnchorError where it holds anything else; forbidden names are refused before anything runs.
    """
    if len(data) > LARGEST:
        raise AnchorError(f"{where} has {len(data):,} bytes; a record of metadata has at most {LARGEST:,}.")
    try:
        return _Plain(io.BytesIO(data)).load()
    except Exception as error:  # a damaged pickle can raise anything
        raise AnchorError(f"{where} is refused: {error}.") from None
