"""A consumer of rstream as a single active member of a group.

Usage: foreign-member.py HOST PORT TOPIC PARTITIONS GROUP

Prints one JSON object a line: {"joined": true}, {"active": "stream"}, {"handled": "value"}. Stores the offset of each message once it is handled.
When its input ends it handles nothing more, and leaves once the broker has its offsets.
"""

import asyncio
import json
import sys

from rstream import (
    Consumer,
    ConsumerOffsetSpecification,
    OffsetNotFound,
    OffsetSpecification,
    OffsetType,
    SuperStreamConsumer,
    amqp_decoder,
)


def report(**what):
    print(json.dumps(what), flush=True)


async def main(host, port, topic, partitions, group):
    login = dict(host=host, port=int(port), username="guest", password="guest")
    single = int(partitions) == 1
    handled = {}
    leaving = False
    store = Consumer(**login)
    await store.start()

    async def offset_after(stream):
        try:
            return await store.query_offset(stream, group) + 1
        except OffsetNotFound:
            return 0

    async def on_update(active, context):
        if not active:
            return OffsetSpecification(OffsetType.NEXT, 0)
        report(active=context.stream)
        return OffsetSpecification(OffsetType.OFFSET, await offset_after(context.stream))

    async def handle(message, context):
        # A chunk may begin before the offset that was asked for.
        if leaving or context.offset <= handled.get(context.stream, (await offset_after(context.stream)) - 1):
            return
        body = message.body if isinstance(message.body, bytes) else b"".join(message.body)
        handled[context.stream] = context.offset
        report(handled=body.decode())
        await store.store_offset(context.stream, group, context.offset)

    properties = {"single-active-consumer": "true", "name": group}
    options = dict(
        decoder=amqp_decoder,
        subscriber_name=group,
        offset_specification=ConsumerOffsetSpecification(OffsetType.FIRST, None),
        properties=properties,
        consumer_update_listener=on_update,
    )
    if single:
        consumer = Consumer(**login)
        await consumer.start()
        await consumer.subscribe(topic, handle, **options)
    else:
        properties["super-stream"] = topic
        consumer = SuperStreamConsumer(super_stream=topic, **login)
        await consumer.start()
        await consumer.subscribe(handle, **options)
    report(joined=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    leaving = True
    # Storing has no answer: a question behind it has one.
    for stream in handled:
        await store.query_offset(stream, group)
    await consumer.close()
    await store.close()


asyncio.run(main(*sys.argv[1:]))
