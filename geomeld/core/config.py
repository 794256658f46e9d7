"""Configuration: frozen dataclasses to and from JSON, strictly (an unknown or ill-typed field is an error)."""

import dataclasses
import datetime as dt
import types
import typing
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import numpy as np

from geomeld.core.errors import ConfigError

C = TypeVar("C")
_PLAIN = frozenset((str, int, float, bool, type(None)))


def to_json(value: Any) -> Any:
    """A configuration or any frozen dataclass as plain JSON values (dicts, lists, strings, numbers, None)."""
    if type(value) in _PLAIN:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, typing.Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(v) for v in (sorted(value) if isinstance(value, set | frozenset) else value)]
    return value


def from_json(cls: type[C], data: Any, where: str = "") -> C:
    """Build `cls` from JSON values; every field is checked by name and type.

    Raises ConfigError that names the field, the value and the fields or type there are.
    """
    return _convert(cls, data, where or getattr(cls, "__name__", str(cls)))


def _convert(kind: Any, data: Any, where: str) -> Any:
    if kind is Any or (type(data) is kind and kind in _PLAIN):
        return data
    origin, args = get_origin(kind), get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(args, data, where)
    if origin is typing.Literal:
        if data not in args:
            raise ConfigError(f"{where} is {data!r}; it must be one of {', '.join(map(repr, args))}.")
        return data
    if dataclasses.is_dataclass(kind):
        return _convert_dataclass(kind, data, where)
    if origin in (list, tuple, set, frozenset) or origin is typing.get_origin(typing.Sequence[int]):
        return _convert_sequence(origin, args, data, where)
    if origin is not None and issubclass(origin, typing.Mapping):
        if not isinstance(data, dict):
            raise ConfigError(f"{where} must be an object, not {data!r}.")
        key, item = args
        return {_convert(key, k, f"{where} key"): _convert(item, v, f"{where}.{k}") for k, v in data.items()}
    return _convert_scalar(kind, data, where)


def _convert_union(args: tuple[Any, ...], data: Any, where: str) -> Any:
    errors = []
    for arm in args:
        try:
            return _convert(arm, data, where)
        except ConfigError as error:
            errors.append(str(error))
    raise ConfigError(" / ".join(errors))


def _convert_dataclass(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise ConfigError(f"{where} must be an object, not {data!r}.")
    hints, required = _fields_of(kind)
    unknown = sorted(data.keys() - hints.keys())
    if unknown:
        raise ConfigError(f"{where} has no field {', '.join(unknown)}; its fields are {', '.join(hints)}.")
    absent = sorted(required - data.keys())
    if absent:
        raise ConfigError(f"{where} lacks the field {', '.join(absent)}.")
    return kind(**{name: _convert(hints[name], value, f"{where}.{name}") for name, value in data.items()})


@cache
def _fields_of(kind: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """(type by field, fields without a default) of a dataclass: looking types up costs more than checking values."""
    hints = typing.get_type_hints(kind)
    fields = [f for f in dataclasses.fields(kind) if f.init]
    free = (dataclasses.MISSING, dataclasses.MISSING)
    return {f.name: hints[f.name] for f in fields}, frozenset(
        f.name for f in fields if (f.default, f.default_factory) == free
    )


def _convert_sequence(origin: Any, args: tuple[Any, ...], data: Any, where: str) -> Any:
    if not isinstance(data, list | tuple):
        raise ConfigError(f"{where} must be a list, not {data!r}.")
    if origin is tuple and args and args[-1] is not Ellipsis:
        if len(data) != len(args):
            raise ConfigError(f"{where} must have {len(args)} items, not {len(data)}.")
        return tuple(_convert(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(args, data, strict=True)))
    item = args[0] if args else Any
    items = [_convert(item, v, f"{where}[{i}]") for i, v in enumerate(data)]
    return items if origin is list else (tuple(items) if origin not in (set, frozenset) else origin(items))


def _convert_scalar(kind: Any, data: Any, where: str) -> Any:
    try:
        if kind is None or kind is type(None):
            if data is not None:
                raise ValueError
            return None
        if kind is bool or kind is str:
            if not isinstance(data, kind):
                raise ValueError
            return data
        if kind is int:
            if isinstance(data, bool) or not isinstance(data, int):
                raise ValueError
            return data
        if kind is float:
            if isinstance(data, bool) or not isinstance(data, int | float):
                raise ValueError
            return float(data)
        if kind is dt.datetime or kind is dt.date:
            return kind.fromisoformat(data)
        if isinstance(kind, type) and issubclass(kind, Enum | Path):
            return kind(data)
    except (TypeError, ValueError):
        raise ConfigError(f"{where} is {data!r}, which is no {getattr(kind, '__name__', kind)}.") from None
    raise ConfigError(f"{where} has a type that configurations do not hold: {kind}.")
