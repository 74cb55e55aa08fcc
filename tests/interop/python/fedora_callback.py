"""The callback of `fedora-messaging consume`."""

from fedora_messaging.exceptions import Drop

from interop import note


def handle(message):
    note(
        by="python",
        id=message.id,
        topic=message.topic,
        body=message.body,
        severity=int(message.severity),
        priority=message.priority,
        schema=type(message).__name__,
        headers=message._headers,
    )
    if message.body.get("wish") == "drop":
        raise Drop("as it was told to")
