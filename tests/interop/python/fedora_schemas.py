"""A message schema, found by its entry point in `interop_schemas-1.0.dist-info`, as an installed package's would be."""

from fedora_messaging import message


class Painted(message.Message):
    body_schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"fence": {"type": "string"}},
        "required": ["fence"],
    }

    @property
    def summary(self):
        return self.body["fence"] + " was painted"
