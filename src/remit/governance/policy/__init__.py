"""Policy: what may be done, as Cedar text in git. The only part of Remit that knows the Cedar engine.

`engine` is the way in. `statements` and `reading` turn files into policies, `catalogue` brings them together with the
action types, `shapes`, `resources`, `vocabulary` and `actors` turn a question into what the engine is asked,
`evaluation` asks it, and `validation` says at `remit check` what is wrong and where.
"""

from remit.governance.policy.engine import Explanation, PolicyEngine, Spoken
from remit.governance.policy.question import PolicyQuestion
from remit.governance.policy.reading import Policy
from remit.governance.policy.validation import RACI_ROLES

__all__ = ["RACI_ROLES", "Explanation", "Policy", "PolicyEngine", "PolicyQuestion", "Spoken"]
