"""Generative sequential recommendation: Semantic IDs, constrained decoding, the classic funnel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genrec.funnel import Question, RecommendedItem, Recommender

__all__ = ["Question", "RecommendedItem", "Recommender", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # Any: PEP 562 leaves the type to each name
    """The face of the package, brought in when it is first asked for: `import genrec` is light."""
    if name not in __all__:
        raise AttributeError(f"module 'genrec' has no attribute {name!r}")
    from genrec import funnel

    return getattr(funnel, name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
