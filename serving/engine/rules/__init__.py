"""Known bad combinations of model, build, machine, arguments and environment. Pure.

Each is a rule with a sentence for who breaks it. What contradicts itself in sizes (memory, ranks,
lengths) is in `serving.engine.checks`; here is what somebody had to run into first.
"""

from serving.engine.rules import parallel, place, weights
from serving.engine.rules.case import Case, Finding, Rule, judge

RULES: tuple[Rule, ...] = (*weights.RULES, *parallel.RULES, *place.RULES)

__all__ = ["RULES", "Case", "Finding", "Rule", "judge"]
