"""Who is selected, from verdicts: one function, so that the rule can be read in one place.

A person's vote decides. Without one: of those that ended well, whoever passes most tests; of those,
whoever a judging model preferred most often, if that is one alone. A tie stays a tie, unless the
match was asked to take the cheaper one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .values import Ended, Selection, Verdict


def vote_of(verdicts: Sequence[Verdict]) -> Verdict | None:
    """The person's vote that counts: the last one."""
    votes = [one for one in verdicts if one.kind == "person"]
    return votes[-1] if votes else None


def selected(
    ended: Sequence[Ended],
    verdicts: Sequence[Verdict],
    tie: str = "none",
    costs: Mapping[str, float | None] | None = None,
) -> Selection:
    """The seat that is selected, if any, and why."""
    vote = vote_of(verdicts)
    if vote is not None:
        chosen = vote.choice if vote.choice not in ("tie", "none", None) else None
        said = "a person's vote" if chosen is not None else f"a person's vote: {vote.choice}"
        return Selection(chosen, said)
    left = [one.seat for one in ended if one.cause is None]
    if not left:
        return Selection(None, "none ended well")
    rules: list[str] = []
    scores = {one.seat: one.score or 0.0 for one in verdicts if one.kind == "tests"}
    if scores:
        best = max((scores.get(seat, 0.0) for seat in left), default=0.0)
        if best == 0:
            return Selection(None, "no tests passed")
        left = [seat for seat in left if scores.get(seat, 0.0) == best]
        rules.append("most tests passed")
    pairs = [one for one in verdicts if one.kind == "model" and not one.abstained]
    if len(left) > 1 and pairs:
        wins = dict.fromkeys(left, 0.0)
        for one in pairs:
            if one.seat in wins and one.other in wins:
                for seat in (one.seat, one.other):
                    wins[seat] += 0.5 if one.choice == "tie" else float(one.choice == seat)
        most = max(wins.values())
        left = [seat for seat in left if wins[seat] == most]
        rules.append("preferred by judging models most often")
    if len(left) > 1 and tie == "cheaper" and costs and all(costs.get(s) is not None for s in left):
        least = min(costs[seat] or 0.0 for seat in left)
        left = [seat for seat in left if costs[seat] == least]
        rules.append("the cheaper one")
    if len(left) == 1 and (rules or len(ended) > 1):
        return Selection(left[0], ", then ".join(rules) or "the only one that ended well")
    return Selection(None, "a tie" if rules else "nobody has judged", left)
