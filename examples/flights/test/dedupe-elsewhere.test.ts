import { randomUUID } from 'node:crypto'
import { type ConsumerLoop, openTransport } from '@streamswitch/core'
import { RedisDedupeStore } from '@streamswitch/redis'
import { describe, expect, it, vi } from 'vitest'
import { AMQP_URL, KAFKA_URL, RABBITMQ_STREAM_URL, REDIS_URL } from './full-run.js'

const TRANSPORTS = [
  ['memory', 'memory://'],
  ['kafka', KAFKA_URL],
  ['amqp', AMQP_URL],
  ['rabbitmq-stream', RABBITMQ_STREAM_URL],
] as const

const IDS = Array.from({ length: 20 }, (_, index) => `id-${index}`)

describe('messages of any transport are deduplicated by a store in Redis', () => {
  it.each(TRANSPORTS)('%s', { timeout: 60_000 }, async (_name, url) => {
    const marks = await openTransport(REDIS_URL)
    const transport = await openTransport(url)
    const topic = `elsewhere-${randomUUID()}`
    const handled: string[] = []
    const start = async (): Promise<ConsumerLoop> => {
      const loop = transport.consumer(topic, {
        group: 'once',
        partitions: 4,
        dedupe: { store: new RedisDedupeStore(marks), ttlMs: 60_000 },
      })
      loop.handle(({ id }) => void handled.push(id))
      await loop.init()
      void loop.run()
      return loop
    }
    try {
      // Each has a store of its own, as processes of their own would: what they share is the server.
      const loops = [await start(), await start()]
      const producer = transport.producer(topic, { partitions: 4 })
      const round = (number: number) => Promise.all(IDS.map((id) => producer.send(id, { id, key: `${id}-${number}` })))
      await round(1)
      await round(2)
      await round(3)
      const known = (): number => loops.reduce((sum, loop) => sum + loop.stats().deduplicated, 0)
      await vi.waitUntil(() => handled.length + known() >= 3 * IDS.length, { timeout: 30_000 })
      expect(handled.sort()).toEqual([...IDS].sort())
    } finally {
      await transport.admin.deleteTopic(transport.topicSpec(topic))
      await transport.close()
      await marks.close()
    }
  })
})
