"""What the packages need to run on a Python newer than they know; Python imports this by itself at its start.

attrdict, behind celery-message-consumer's settings, takes its abstract classes from `collections` (gone in 3.10), and amqp-dispatcher
asks `inspect.getargspec` (gone in 3.11).
"""

import collections
import collections.abc
import inspect

for name in ("Callable", "Iterable", "Mapping", "MutableMapping", "Sequence"):
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))

if not hasattr(inspect, "getargspec"):
    ArgSpec = collections.namedtuple("ArgSpec", "args varargs keywords defaults")
    inspect.getargspec = lambda function: ArgSpec(*inspect.getfullargspec(function)[:4])
