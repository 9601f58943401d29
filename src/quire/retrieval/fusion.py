"""Make one ranking out of several: pure functions on ranked lists.

A ranked list is a list of (doc, score), in any order, higher is better; `[(7, 0.9), (3, 0.4)]`. Ids are unique within a
list. What comes back is a ranked list too, best first, always; equal scores stand in the order in which their ids first
appear in the lists. Knows nothing of how the lists were made. A list's weight says how much its opinion counts.

    rrf        ranks only                  Σ weight / (k + rank)           when the lists' scores mean different things
    weighted   scores, min-max or z-score  Σ weight · normalised score     when gaps between hits mean something
    dbsf       scores, mean ± 3σ           Σ weight · normalised score     the same, with outliers cut off

Of an id that it does not hold, a list says what it says of its worst hit (min-max, z-score), or nothing (rrf, dbsf).
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Literal, TypeAlias, TypeVar

from quire.errors import InvalidRequestError, shown, suggest

Id = TypeVar("Id", bound=Hashable)
Ranking: TypeAlias = Sequence[tuple[Id, float]]
Normalise: TypeAlias = Callable[[Sequence[float]], list[float]]


def rrf(
    rankings: Sequence[Ranking[Id]], *, k: float = 60, weights: Sequence[float] | None = None
) -> list[tuple[Id, float]]:
    """Reciprocal rank fusion (Cormack et al. 2009), ranks from 1. A larger `k` lets first places stand out less."""
    if not (math.isfinite(k) and k >= 0):
        raise InvalidRequestError(f"k is {shown(k)}; allowed: a finite number, 0 or more", param="k")
    sums: dict[Id, float] = {}
    for ranking, weight in _weighed(rankings, weights):
        for rank, (doc, _) in enumerate(best_first(ranking), start=1):
            sums[doc] = sums.get(doc, 0.0) + weight / (k + rank)
    return best_first(list(sums.items()))


def weighted(
    rankings: Sequence[Ranking[Id]],
    weights: Sequence[float] | None = None,
    *,
    normalise: Literal["min_max", "z_score"] = "min_max",
) -> list[tuple[Id, float]]:
    """Sum of normalised scores. A list whose scores are all the same says 1 (min-max) or 0 (z-score) of each hit."""
    if normalise not in _NORMALISERS:
        raise InvalidRequestError(
            f"normalise is {shown(normalise)}; allowed: {', '.join(_NORMALISERS)}.{suggest(normalise, _NORMALISERS)}",
            param="normalise",
        )
    return _sum_scores(rankings, weights, _NORMALISERS[normalise], absent_is_worst=True)


def dbsf(rankings: Sequence[Ranking[Id]], *, weights: Sequence[float] | None = None) -> list[tuple[Id, float]]:
    """Distribution-based score fusion: mean - 3σ becomes 0, mean + 3σ becomes 1, what lies outside is cut."""
    return _sum_scores(rankings, weights, _three_sigma, absent_is_worst=False)


def best_first(ranking: Ranking[Id]) -> list[tuple[Id, float]]:
    """The same hits by falling score; equal ones keep their order."""
    return sorted(ranking, key=lambda hit: -hit[1])


def _sum_scores(
    rankings: Sequence[Ranking[Id]], weights: Sequence[float] | None, normalise: Normalise, *, absent_is_worst: bool
) -> list[tuple[Id, float]]:
    weighed = _weighed(rankings, weights)
    sums: dict[Id, float] = {doc: 0.0 for ranking, _ in weighed for doc, _ in ranking}
    for ranking, weight in weighed:
        scores = dict(zip((doc for doc, _ in ranking), normalise([score for _, score in ranking]), strict=True))
        absent = min(scores.values(), default=0.0) if absent_is_worst else 0.0
        for doc in sums:
            sums[doc] += weight * scores.get(doc, absent)
    return best_first(list(sums.items()))


def _min_max(scores: Sequence[float]) -> list[float]:
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]


def _z_score(scores: Sequence[float]) -> list[float]:
    mean, deviation = _moments(scores)
    return [(score - mean) / deviation if deviation > 0 else 0.0 for score in scores]


def _three_sigma(scores: Sequence[float]) -> list[float]:
    mean, deviation = _moments(scores)
    if deviation == 0:
        return [0.5] * len(scores)
    return [min(1.0, max(0.0, 0.5 + (score - mean) / (6 * deviation))) for score in scores]


def _moments(scores: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation; the latter is 0 where rounding alone makes the scores differ."""
    if not scores:
        return 0.0, 0.0
    mean = math.fsum(scores) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
    return mean, deviation if deviation > 1e-12 * abs(mean) else 0.0


_NORMALISERS: dict[str, Normalise] = {"min_max": _min_max, "z_score": _z_score}


def _weighed(rankings: Sequence[Ranking[Id]], weights: Sequence[float] | None) -> list[tuple[Ranking[Id], float]]:
    """Each list with its weight, after all of them were checked."""
    if weights is None:
        weights = [1.0] * len(rankings)
    if len(weights) != len(rankings):
        raise InvalidRequestError(
            f"there are {len(rankings)} lists and {len(weights)} weights; give one weight per list", param="weights"
        )
    if any(not math.isfinite(weight) or weight < 0 for weight in weights):
        raise InvalidRequestError(f"weights is {shown(weights)}; allowed: finite numbers, 0 or more", param="weights")
    for number, ranking in enumerate(rankings):
        _check(ranking, number)
    return list(zip(rankings, weights, strict=True))


def _check(ranking: Ranking[Id], number: int) -> None:
    seen: set[Id] = set()
    for doc, score in ranking:
        if not math.isfinite(score):
            raise InvalidRequestError(f"list {number} gives {shown(doc)} the score {score}; allowed: finite numbers")
        if doc in seen:
            raise InvalidRequestError(f"list {number} holds {shown(doc)} twice; an id may stand in a list once")
        seen.add(doc)
