"""A consumer of another project as a member of a group.

Usage: foreign-member.py CLIENT SERVERS TOPIC GROUP STRATEGY

Prints one JSON object a line: {"assigned": [0, 2]}, {"handled": "value"}, {"refused": "error"}, {"left": true}. Commits each message once it is
handled, and hands its partitions over only between two messages. Leaves the group in good order when its input ends.
"""

import asyncio
import json
import sys
import threading


def report(**what):
    print(json.dumps(what), flush=True)


async def run_aiokafka(servers, topic, group, strategy):
    from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
    from aiokafka.coordinator.assignors.range import RangePartitionAssignor
    from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

    chosen = {"default": None, "range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor}[strategy]
    options = {} if chosen is None else {"partition_assignment_strategy": (chosen,)}
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=10_000,
        heartbeat_interval_ms=500,
        **options,
    )
    busy = asyncio.Lock()

    class Listener(ConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked):
            async with busy:
                pass

        async def on_partitions_assigned(self, assigned):
            report(assigned=sorted(one.partition for one in assigned))

    consumer.subscribe([topic], listener=Listener())
    await consumer.start()
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    try:
        while not ended.done():
            async with busy:
                for messages in (await consumer.getmany(timeout_ms=50, max_records=1)).values():
                    for message in messages:
                        report(handled=message.value.decode())
                        await consumer.commit()
            await asyncio.sleep(0)
    finally:
        await consumer.stop()
    report(left=True)


def run_confluent(servers, topic, group, strategy):
    from confluent_kafka import Consumer, KafkaException

    protocol = {"group.protocol": "consumer"} if strategy == "consumer" else {
        "partition.assignment.strategy": strategy,
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 500,
    }
    consumer = Consumer({
        "bootstrap.servers": servers,
        "group.id": group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        **protocol,
    })

    # With cooperative protocols, each call names only what changes.
    owned = set()

    def assigned(_, partitions):
        owned.update(one.partition for one in partitions)
        report(assigned=sorted(owned))

    def revoked(_, partitions):
        owned.difference_update(one.partition for one in partitions)

    consumer.subscribe([topic], on_assign=assigned, on_revoke=revoked)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        message = consumer.poll(0.05)
        if message is None:
            continue
        if message.error():
            report(refused=str(message.error()))
            continue
        report(handled=message.value().decode())
        try:
            consumer.commit(message=message, asynchronous=False)
        except KafkaException as error:
            report(refused=str(error))
    consumer.close()
    report(left=True)


client, *arguments = sys.argv[1:]
if client == "aiokafka":
    asyncio.run(run_aiokafka(*arguments))
else:
    run_confluent(*arguments)
