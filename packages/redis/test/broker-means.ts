import type { BrokerMeans } from '@streamswitch/testkit'
import { redisCli } from './redis-cli.js'

/** What redis-cli can do to a server. */
export function redisMeans(url: () => string): BrokerMeans {
  const onEachStream = async (
    topic: string,
    partitions: number,
    command: (stream: string) => string[],
  ): Promise<void> => {
    for (let number = 0; number < partitions; number += 1) await redisCli(url(), command(`${topic}:${number}`))
  }
  return {
    // Less than an empty server takes.
    exhaust: async () => void (await redisCli(url(), ['CONFIG', 'SET', 'maxmemory', '100kb'])),
    relieve: async () => void (await redisCli(url(), ['CONFIG', 'SET', 'maxmemory', '0'])),
    deleteGroup: ({ topic, group, partitions }) =>
      onEachStream(topic, partitions, (stream) => ['XGROUP', 'DESTROY', stream, group]),
    trim: ({ topic, partitions }) => onEachStream(topic, partitions, (stream) => ['XTRIM', stream, 'MAXLEN', '1']),
    exhaustedMs: 10_000,
    changedMs: 10_000,
  }
}
