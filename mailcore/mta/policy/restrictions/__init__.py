"""Who may send what to whom: Postfix's restriction lists (postconf(5), access(5)).

`lists` are the parameters made ready, `evaluation` goes through them for one question, the other files hold
the restrictions themselves, by what they look at. `mailcore.mta.policy.accept` asks, at each command of SMTP.
"""

from mailcore.mta.policy.restrictions.evaluation import PERMIT, Evaluation, Misconfigured, RestrictionInput, Step
from mailcore.mta.policy.restrictions.restriction_lists import RestrictionLists, current_lists

__all__ = ["PERMIT", "Evaluation", "Misconfigured", "RestrictionInput", "RestrictionLists", "Step", "current_lists"]
