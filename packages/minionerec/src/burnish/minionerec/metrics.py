"""Hit rate and NDCG of ranked recommendations with one right answer per row.

The semantics are those of MiniOneRec's `calc.py`, so that numbers compare with published ones: semantic IDs
are compared as strings, hence items that share one count as found; the first match decides; a prediction
that names no item and a repeated one keep the rank they occupy; the history is not filtered out.
"""

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Float

CUTOFFS = (1, 3, 5, 10, 20, 50)


def target_ranks(predictions: Sequence[Sequence[str]], targets: Sequence[str]) -> Float[np.ndarray, " b"]:
    """Return where each target first stands among its row's predictions, best first, counted from 0.

    A target that was not predicted has rank infinity, which no cutoff reaches and whose gain is 0.
    """
    if len(predictions) != len(targets):
        raise ValueError(f"`predictions` has {len(predictions)} rows, `targets` has {len(targets)}.")
    ranks = [
        list(row).index(target) if target in row else np.inf
        for row, target in zip(predictions, targets, strict=True)
    ]
    return np.asarray(ranks, dtype=np.float64)


def hit_rate(ranks: Float[np.ndarray, " b"], cutoff: int) -> float:
    """Return the share of rows whose target is among the first `cutoff` predictions: HR@K."""
    _check(ranks, cutoff)
    return float(np.mean(ranks < cutoff))


def ndcg(ranks: Float[np.ndarray, " b"], cutoff: int) -> float:
    """Return the mean of 1 / log2(rank + 2) over rows, 0 from rank `cutoff` on: NDCG@K.

    With one relevant item per row the ideal gain is 1, so no further normalization is due.
    """
    _check(ranks, cutoff)
    gains = 1.0 / np.log2(ranks + 2.0)
    return float(np.mean(np.where(ranks < cutoff, gains, 0.0)))


def ranking_metrics(
    predictions: Sequence[Sequence[str]],
    targets: Sequence[str],
    *,
    catalog_ids: Collection[str],
    cutoffs: Sequence[int] = CUTOFFS,
) -> dict[str, float]:
    """Return `hit_rate@K` and `ndcg@K` per cutoff, and `unknown_predictions` counted over all rows.

    Cutoffs above the number of predictions of the first row are left out, as upstream does: its figure
    would be that of a shorter list. `catalog_ids` are the semantic IDs that exist.
    """
    ranks = target_ranks(predictions, targets)
    known = frozenset(catalog_ids)
    metrics = {"unknown_predictions": float(sum(name not in known for row in predictions for name in row))}
    for cutoff in cutoffs:
        if predictions and cutoff <= len(predictions[0]):
            metrics[f"hit_rate@{cutoff}"] = hit_rate(ranks, cutoff)
            metrics[f"ndcg@{cutoff}"] = ndcg(ranks, cutoff)
    return metrics


def _check(ranks: Float[np.ndarray, " b"], cutoff: int) -> None:
    if cutoff < 1:
        raise ValueError(f"`cutoff` is {cutoff}; it counts predictions, so it is at least 1.")
    if ranks.size == 0:
        raise ValueError("`ranks` is empty; a mean over no row is not defined.")
