"""How hard hypothesis tries: quickly by default; by IPSECFD_HYPOTHESIS `thorough` for a long run,
or `steady` for the same examples every time: a change is judged then, not the luck of the day."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "quick", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=2_000)
settings.register_profile("steady", settings.get_profile("quick"), derandomize=True)
settings.load_profile(os.environ.get("IPSECFD_HYPOTHESIS", "quick"))
