"""A celery worker with celery-message-consumer's step, as its readme shows it: `celery -A consumer_worker worker`."""

from celery import Celery
from event_consumer import message_handler
from event_consumer.errors import PermanentFailure
from event_consumer.handlers import AMQPRetryConsumerStep

from interop import PLAN, URL, note

app = Celery("consumer_worker", broker=URL)
app.steps["consumer"].add(AMQPRetryConsumerStep)


def handle(body):
    note(by="python", body=body)
    wish = body.get("wish") if isinstance(body, dict) else None
    if wish == "fail":
        raise ValueError("as it was told to")
    if wish == "archive":
        raise PermanentFailure("as it was told to")


for handler in PLAN["handlers"]:
    message_handler(handler["routing_keys"], **handler.get("options", {}))(handle)
