"""Mechanical mutants: the implementation and the truths with one slip each.

Where `verification.mistakes` plants what people get wrong, a machine goes through every
expression here and changes it in each way that it knows.  What then makes no judge
complain is either no mistake, which `survivors.toml` says with a reason, or a gap.
"""

from verification.mechanical.campaign import Campaign, Result, campaign
from verification.mechanical.scopes import SCOPES

__all__ = ["SCOPES", "Campaign", "Result", "campaign"]
