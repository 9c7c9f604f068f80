"""A pika consumer of a group's queues.

Usage: foreign-member.py URL QUEUE...

Prints one JSON object a line: {"joined": true}, {"handled": "value"}. Acks each message once it is handled. Leaves when its input ends, between two
messages.
"""

import json
import sys
import threading

import pika


def report(**what):
    print(json.dumps(what), flush=True)


def main(url, *queues):
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=1)

    def handle(channel, method, _properties, body):
        report(handled=body.decode())
        channel.basic_ack(method.delivery_tag)

    for queue in queues:
        channel.basic_consume(queue, handle)
    report(joined=True)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        connection.process_data_events(time_limit=0.05)
    # Cancelling gives back what was sent ahead.
    channel.cancel()
    connection.close()


main(*sys.argv[1:])
