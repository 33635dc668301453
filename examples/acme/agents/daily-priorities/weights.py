"""What weighs how much. Every reason names its rule, so a ranking that feels wrong leads to one of these numbers."""

TIER = {"A": 20, "B": 10, "C": 3}
"""Points for what an account brings in a year, by tier; only where something else speaks for it."""
URGENT = 40
"""An urgent ticket that nobody has answered."""
URGENT_A_DAY, URGENT_MOST = 2, 30
"""More of these for each day that it waits, and the most of that."""
TICKET, TICKETS_MOST = 6, 18
"""Each other unanswered ticket, and the most of that."""
STALLED = 35
"""An agreement that stands still, as calls say."""
OVERDUE = 15
"""The next step of an open deal is past."""
QUIET_AFTER_DAYS = 14
"""From here on an account counts as untouched."""
QUIET_A_DAY, QUIET_MOST = 1, 25
"""For each day more without any touch, and the most of that."""
NEVER_TOUCHED = 18
"""Nobody ever was in contact."""

LONGEST_LIST = 10
"""Rows that a person gets."""
ESCALATE_AFTER_DAYS = 10
"""An urgent ticket of a large account that waits for so long goes to the manager."""
LARGE = ("A",)
"""Tiers whose accounts are large."""
