import { setTimeout as delay } from 'node:timers/promises'
import { type AdapterDefinition, Transport } from '@streamswitch/core'
import { type Case, concurrently, freshName, IN_FLIGHT, PAYLOAD, stopwatch, timed } from './measuring/case.js'

export interface StreamswitchCase {
  readonly adapter: AdapterDefinition
  readonly url: string
  readonly messages: number
  readonly partitions?: number
  readonly producer?: Readonly<Record<string, unknown>>
  readonly consumer?: Readonly<Record<string, unknown>>
}

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: (line: string) => console.error(line) }

/** `send` awaited, a thousand at a time, no keys. */
export function produceCase(settings: StreamswitchCase, name = 'Streamswitch'): Case {
  return {
    name,
    messages: settings.messages,
    run: async (messages) => {
      await using transport = new Transport(settings.adapter, settings.url, { environment: {}, logger: SILENT })
      const topic = freshName()
      // Some transports drop what no group is there for: one is made, and left at once.
      if (transport.capabilities.retainsWithoutGroup === false) await joinOnce(transport, topic, settings)
      const producer = transport.producer(topic, {
        codec: 'bytes',
        partitions: settings.partitions,
        ...settings.producer,
      })
      await producer.init()
      const measured = await timed(() => concurrently(messages, IN_FLIGHT, () => producer.send(PAYLOAD)))
      await producer.close()
      await transport.admin.deleteTopic(transport.topicSpec(topic))
      return measured
    },
  }
}

/** A loop over a backlog: from the first handled message until the broker has taken the last ack. */
export function consumeCase(settings: StreamswitchCase): Case {
  return {
    name: 'Streamswitch',
    messages: settings.messages,
    run: async (messages) => {
      await using transport = new Transport(settings.adapter, settings.url, { environment: {}, logger: SILENT })
      const topic = freshName()
      if (transport.capabilities.retainsWithoutGroup === false) await joinOnce(transport, topic, settings)
      const producer = transport.producer(topic, { codec: 'bytes', partitions: settings.partitions })
      await concurrently(messages, IN_FLIGHT, () => producer.send(PAYLOAD))
      await producer.close()
      const loop = transport.consumer(topic, {
        group: 'bench',
        codec: 'bytes',
        concurrency: IN_FLIGHT,
        partitions: settings.partitions,
        ...settings.consumer,
      })
      let stop = stopwatch()
      const handled = new Promise<void>((resolve) => {
        let count = 0
        loop.handle(() => {
          if (count === 0) stop = stopwatch()
          count += 1
          if (count === messages) resolve()
        })
      })
      void loop.run()
      await handled
      // The last acks belong to the work, and closing doesn't wait for their time; leaving the group is no part of it.
      const closed = loop.close()
      while (loop.stats().acked < messages) await delay(1)
      const measured = stop()
      await closed
      await transport.admin.deleteTopic(transport.topicSpec(topic))
      return measured
    },
  }
}

async function joinOnce(transport: Transport, topic: string, settings: StreamswitchCase): Promise<void> {
  const loop = transport.consumer(topic, {
    group: 'bench',
    codec: 'bytes',
    partitions: settings.partitions,
    ...settings.consumer,
  })
  await loop.init()
  await loop.close()
}
