"""A recipe's objectives as options by name: --objectives.jepa.weight, not --objectives.1.weight."""

from typing import Any, get_args

from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from geomeld.pretrain.objectives import Objective

REGISTRY = ConstructorRegistry()
"""Use it around tyro.cli."""


@REGISTRY.struct_rule
def by_name(info: StructTypeInfo) -> StructConstructorSpec | None:
    """A tuple of a recipe's objectives as one group of options each; which ones there are is the recipe's choice."""
    given = info.default
    if not isinstance(given, tuple) or not given or not all(isinstance(o, get_args(Objective)) for o in given):
        return None

    def build(**objectives: Any) -> tuple[Any, ...]:
        return tuple(objectives.values())

    fields = [StructFieldSpec(name=type(o).__name__.lower(), type=type(o), default=o) for o in given]
    return StructConstructorSpec(instantiate=build, fields=tuple(fields))
