"""Generative recommendation with semantic IDs: the item catalog, interactions and ranking metrics."""

from typing import TYPE_CHECKING

from burnish.platform.lazy import lazy_names

if TYPE_CHECKING:
    from burnish.minionerec.catalog import Catalog, Item, read_catalog
    from burnish.minionerec.interactions import Interaction, read_interactions
    from burnish.minionerec.metrics import hit_rate, ndcg, ranking_metrics, target_ranks

__all__ = [
    "Catalog",
    "Interaction",
    "Item",
    "hit_rate",
    "ndcg",
    "ranking_metrics",
    "read_catalog",
    "read_interactions",
    "target_ranks",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "Catalog": "catalog",
            "Interaction": "interactions",
            "Item": "catalog",
            "hit_rate": "metrics",
            "ndcg": "metrics",
            "ranking_metrics": "metrics",
            "read_catalog": "catalog",
            "read_interactions": "interactions",
            "target_ranks": "metrics",
        },
    )
