"""A redis-py consumer of a group.

Usage: foreign-member.py URL GROUP STREAM...

Prints one JSON object a line: {"joined": true}, {"handled": "value"}. Acks each entry once it is handled. Leaves when its input ends, between two
entries.
"""

import json
import sys
import threading

import redis


def report(**what):
    print(json.dumps(what), flush=True)


def main(url, group, *streams):
    client = redis.Redis.from_url(url)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    report(joined=True)
    while not ended.is_set():
        replies = client.xreadgroup(group, "redis-py", {stream: ">" for stream in streams}, count=1, block=50)
        for stream, entries in replies.items() if isinstance(replies, dict) else replies:
            for entry, fields in entries[0] if entries and isinstance(entries[0], list) else entries:
                report(handled=fields[b"payload"].decode())
                client.xack(stream, group, entry)
    client.close()


main(*sys.argv[1:])
