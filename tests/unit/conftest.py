"""Properties are tested with the same examples on every run, however busy the machine is."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def pytest_configure(config):
    """``pytest --hypothesis-profile=default`` looks for new examples."""
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("same")
