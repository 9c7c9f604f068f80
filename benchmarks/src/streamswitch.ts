import { type AdapterDefinition, Transport } from '@streamswitch/core'
import { type Case, concurrently, freshName, IN_FLIGHT, PAYLOAD, timed } from './harness.js'

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
      const seconds = await timed(() => concurrently(messages, IN_FLIGHT, () => producer.send(PAYLOAD)))
      await producer.close()
      await transport.admin.deleteTopic(transport.topicSpec(topic))
      return seconds
    },
  }
}

/** A loop over a backlog: from `run` to the last message acked. */
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
      const handled = new Promise<void>((resolve) => {
        let count = 0
        loop.handle(() => {
          count += 1
          if (count === messages) resolve()
        })
      })
      const seconds = await timed(async () => {
        void loop.run()
        await handled
        // Closing flushes the last acks, which belong to the work.
        await loop.close()
      })
      await transport.admin.deleteTopic(transport.topicSpec(topic))
      return seconds
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
