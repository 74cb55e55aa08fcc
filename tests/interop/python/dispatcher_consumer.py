"""The consumer that amqp-dispatcher's configuration names."""

from interop import note


class Consumer:
    def consume(self, amqp, message):
        body = bytes(message.body).decode("utf-8", "replace")
        note(by="python", body=body, key=message.delivery_info["routing_key"])
        if body.startswith("fail"):
            raise ValueError("as it was told to")
        if body.startswith("drop"):
            amqp.reject(requeue=False)

    def shutdown(self, exception=None):
        note(by="python", shutdown=type(exception).__name__)


def start_up():
    note(by="python", started=True)
