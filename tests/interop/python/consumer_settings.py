"""Settings of celery-message-consumer, which reads this module by EVENT_CONSUMER_APP_CONFIG."""

from interop import PLAN

EVENT_CONSUMER_EXCHANGES = PLAN.get("exchanges", {})


def EVENT_CONSUMER_BACKOFF_FUNC(retries):
    """Seconds: short, so that a thousand messages fail five times within a minute."""
    return 0.005 * (retries + 1)
