"""This publishes what the plan says, one message after another; FEDORA_MESSAGING_CONF names the configuration."""

from fedora_messaging import api, message

from fedora_schemas import Painted
from interop import PLAN, note

for planned in PLAN["publish"]:
    kind = Painted if planned.get("painted") else message.Message
    sent = kind(topic=planned["topic"], body=planned["body"], severity=planned["severity"])
    api.publish(sent)
    note(by="publisher", id=sent.id, headers=sent._headers)
