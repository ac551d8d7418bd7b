"""Postfix's restriction lists: who may send what to whom (postconf(5), access(5)).

May import `mailcore.store` and below, and `mailcore.mta.dns` and `mailcore.mta.routing`.

`restriction_lists` compiles the parameters, `evaluation` evaluates them for one command; the other modules hold the
restrictions by subject. Called by `mailcore.mta.policy.accept` at each SMTP command.
"""

from mailcore.mta.policy.restrictions.evaluation import PERMIT, Evaluation, Misconfigured, RestrictionInput, Step
from mailcore.mta.policy.restrictions.restriction_lists import RestrictionLists, current_lists

__all__ = ["PERMIT", "Evaluation", "Misconfigured", "RestrictionInput", "RestrictionLists", "Step", "current_lists"]
