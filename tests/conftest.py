from hypothesis import HealthCheck, settings

# the same examples wherever they run, and no clock: a busy machine is slower, not wrong
settings.register_profile(
    "trackside",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("trackside")
