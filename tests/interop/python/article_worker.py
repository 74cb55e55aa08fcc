"""A celery worker that runs the task for what a queue brings; with `consume` in its plan, a ConsumerStep feeds it as in the article.

The article's own code is not a package; this does what it describes: hand the body to a task, then ack; reject what is no JSON; a dead
letter queue beside the queue.
"""

import kombu
from celery import Celery, bootsteps

from interop import PLAN, URL, note

app = Celery("article_worker", broker=URL)


@app.task(name="article.handle", bind=True)
def handle(task, *args, **kwargs):
    note(by="python", id=task.request.id, args=args, kwargs=kwargs, origin=task.request.origin)


class DeclareDeadLetters(bootsteps.StartStopStep):
    requires = {"celery.worker.components:Pool"}

    def start(self, worker):
        name = PLAN["consume"]
        with worker.app.pool.acquire() as connection:
            exchange = kombu.Exchange(name + ".dead", type="direct")
            kombu.Queue(name + ".dead", exchange, routing_key=name + ".dead").declare(channel=connection.default_channel)


class Consume(bootsteps.ConsumerStep):
    requires = ("celery.worker.consumer:Connection", "celery.worker.consumer:Tasks")

    def get_consumers(self, channel):
        name = PLAN["consume"]
        arguments = {"x-dead-letter-exchange": name + ".dead", "x-dead-letter-routing-key": name + ".dead"}
        queue = kombu.Queue(name, kombu.Exchange(PLAN["exchange"], type="direct"), name, queue_arguments=arguments)
        return [
            kombu.Consumer(
                channel,
                queues=[queue],
                callbacks=[self.handle],
                on_decode_error=lambda message, error: message.reject(),
                accept=["json"],
            )
        ]

    def handle(self, body, message):
        handle.delay(body)
        message.ack()


if "consume" in PLAN:
    app.steps["worker"].add(DeclareDeadLetters)
    app.steps["consumer"].add(Consume)
