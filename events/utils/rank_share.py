"""How the examples of a batch are shared between the ranks."""


def rank_share(start: int, stop: int, rank: int, ranks: int) -> tuple[int, int]:
    """Where the share of a rank in the examples from `start` to `stop` starts and stops.

    Shares follow each other, and their lengths differ by one at the most: empty ones, if there are
    fewer examples than ranks.
    """
    count = stop - start
    return start + count * rank // ranks, start + count * (rank + 1) // ranks
