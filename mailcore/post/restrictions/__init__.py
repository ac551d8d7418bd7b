"""Who may send what to whom: Postfix's restriction lists (postconf(5), access(5)).

`lists` are the parameters made ready, `evaluation` goes through them for one question, the other files hold
the restrictions themselves, by what they look at. `mailcore.post.accept` asks, at each command of SMTP.
"""

from mailcore.post.restrictions.evaluation import PERMIT, Evaluation, Misconfigured, Question, Step
from mailcore.post.restrictions.lists import Lists, current

__all__ = ["PERMIT", "Evaluation", "Lists", "Misconfigured", "Question", "Step", "current"]
