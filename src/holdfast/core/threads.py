"""Threads that wait without spinning: what torch's OpenMP is told when torch is loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

POLICY = "OMP_WAIT_POLICY"


class Quietly(MetaPathFinder):
    """Has the next import of torch read a policy, and leaves the environment as it was.

    Threads that wait by spinning slow a busy machine down many times over. The runtime reads this
    once, when torch is loaded, which may be long after holdfast was.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Torch as the other finders find it, loaded under the policy; nothing else."""
        if name != "torch":
            return None
        others = (f.find_spec(name, path, target) for f in sys.meta_path if f is not self)
        spec = next((spec for spec in others if spec is not None), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                os.environ[POLICY] = "PASSIVE"
                try:
                    load(module)
                finally:
                    os.environ.pop(POLICY, None)
                    if self in sys.meta_path:
                        sys.meta_path.remove(self)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def wait_quietly() -> None:
    """Let torch's threads sleep while they wait, unless torch is loaded or the user chose otherwise."""
    if "torch" not in sys.modules and POLICY not in os.environ:
        sys.meta_path.insert(0, Quietly())
