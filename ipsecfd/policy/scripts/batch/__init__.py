"""Batch files run as cmd.exe would, as far as it can be known from here (spec 8.1).

Only commands about IPsec are carried out, by whoever calls `run`; what other programs do is
ignored, and what depends on them is named by line where it decides about IPsec commands.
"""

from ipsecfd.policy.scripts.batch.command import Command, Execute, Files, Outcome
from ipsecfd.policy.scripts.batch.programs import Program
from ipsecfd.policy.scripts.batch.run import run

__all__ = ["Command", "Execute", "Files", "Outcome", "Program", "run"]
