"""A stand-in for torchvision, which is not installed because it pins another torch.

Composer imports it for parts that are not used here.
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import torchmetrics  # noqa: F401  # before the stand-in, which it would take for torchvision


class StandIn:
    """Finds torchvision and its modules; every name in them is an empty class."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        mine = name.split(".", maxsplit=1)[0] == "torchvision"
        return ModuleSpec(name, self, is_package=True) if mine else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Return None: Python creates the module."""

    def exec_module(self, module: ModuleType) -> None:
        def attribute(name: str) -> type:
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})

        vars(module)["__getattr__"] = attribute


def stand_in() -> None:
    """Let imports of torchvision find the stand-in."""
    sys.meta_path.append(StandIn())  # type: ignore[arg-type]
