"""A service of celery-amqp-events: `celery -A events_service worker` handles events, `python events_service.py` publishes them."""

import sys

from amqp_events.celery import events_app

from interop import PLAN, URL, note

app = events_app(PLAN["service"], broker_url=URL)


def handler_of(event):
    def handle(task, *args, **kwargs):
        note(by="python", event=event, args=args, kwargs=kwargs, id=task.request.id, retries=task.request.retries)
        if "fail" in args or "fail" in kwargs.values():
            raise ValueError("as it was told to")

    handle.__name__ = handle.__qualname__ = event.replace(".", "_")
    return handle


for name in PLAN.get("handles", []):
    app.handler(name, bind=True)(handler_of(name))


def publish(name, args, kwargs):
    @app.event(name)
    def event(*args, **kwargs):
        """Anything is valid."""

    note(by="publisher", id=event(*args, **kwargs))


if __name__ == "__main__":
    for name, args, kwargs in PLAN["publish"]:
        publish(name, args, kwargs)
    sys.exit(0)
