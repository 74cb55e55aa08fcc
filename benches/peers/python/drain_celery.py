"""Celery with a ConsumerStep: a callback in its worker that gets each message parsed, and acks it.

Without what the callback does not need: the pool has no process, and the worker neither hears nor tells others.
"""

import os
import warnings

import kombu
from celery import Celery, bootsteps

import meter

# This worker runs nothing that it is sent.
warnings.filterwarnings("ignore", message=r"\s*You're running the worker with superuser")

app = Celery("drain", broker=meter.url.replace("amqp://", "pyamqp://", 1))
app.conf.worker_enable_remote_control = False
# What is printed is the answer; a worker would make it a line of its log.
app.conf.worker_redirect_stdouts = False
# A worker always has a queue for tasks; this one goes with it.
app.conf.task_queues = [kombu.Queue("bootstep.peers.celery", durable=False, auto_delete=True)]

handled = 0
before = None


class Drain(bootsteps.ConsumerStep):
    requires = ("celery.worker.consumer:Tasks",)

    def get_consumers(self, channel):
        global before
        before = meter.now()
        return [self.consumer_of(channel, queue) for queue in meter.queues]

    def consumer_of(self, channel, name):
        queue = kombu.Queue(name, no_declare=True)
        return kombu.Consumer(
            channel, [queue], callbacks=[self.handle], accept=["json"], auto_declare=False, prefetch_count=meter.prefetch
        )

    def handle(self, order, message):
        global handled
        assert order["id"] >= 0
        message.ack()
        handled += 1
        if handled == meter.messages:
            # A barrier: an answered call says that the acks before it have arrived.
            message.channel.basic_qos(0, meter.prefetch, False)
            meter.tell(before)
            # Nothing else of the worker's end is the question.
            os._exit(0)


app.steps["consumer"].add(Drain)
app.Worker(pool="solo", loglevel="ERROR", without_gossip=True, without_mingle=True, without_heartbeat=True, quiet=True).start()
