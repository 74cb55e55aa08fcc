"""pika alone: a callback on a blocking connection that parses and acks each message."""

import json

import pika

import meter

handled = 0


def handle(channel, method, _properties, body):
    global handled
    order = json.loads(body)
    assert order["id"] >= 0
    channel.basic_ack(method.delivery_tag)
    handled += 1
    if handled == meter.messages:
        channel.stop_consuming()


def main():
    connection = pika.BlockingConnection(pika.URLParameters(meter.url))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=meter.prefetch)
    before = meter.now()
    for queue in meter.queues:
        channel.basic_consume(queue, handle)
    channel.start_consuming()
    # A barrier: an answered call says that the acks before it have arrived.
    channel.basic_qos(prefetch_count=meter.prefetch)
    meter.tell(before)
    connection.close()


main()
