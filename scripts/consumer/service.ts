// What services write, as strictly typed as TypeScript can.
import { ConsumerRunner, type Message, openTransport, StreamError, type Transport } from '@streamswitch/core'
import { type AdapterDefinition, Producer } from '@streamswitch/core/driver'
import kafka, { KafkaConsumerLoop, KafkaProducer } from '@streamswitch/kafka'
import memory from '@streamswitch/memory'

interface Order {
  readonly id: string
  readonly total?: number
}

export const adapters: readonly AdapterDefinition[] = [kafka, memory]

export async function serve(transport: Transport): Promise<void> {
  const orders = transport.producer<Order>('orders', { codec: 'json', lingerMs: 5, memory: {} })
  const loop = transport.consumer<Order>('orders', { group: 'billing', retry: { attempts: 3 }, from: 'earliest' })
  loop.handle(async (message: Message<Order>) => {
    const total: number | undefined = message.value.total
    await orders.send({ id: message.value.id, ...(total === undefined ? {} : { total }) }, { key: message.value.id })
  })
  await new ConsumerRunner([loop]).run()
}

export async function own(): Promise<string | undefined> {
  try {
    await using transport = await openTransport('memory://', { requires: ['replay'] })
    const producer = new KafkaProducer<Order>('orders', { kafka: { compression: 'gzip' } })
    const loop = new KafkaConsumerLoop<Order>('orders', { group: 'billing', transport })
    // @ts-expect-error -- an option that there isn't
    transport.producer('orders', { lingerSeconds: 1 })
    return producer instanceof Producer ? loop.group : undefined
  } catch (error) {
    return error instanceof StreamError ? error.code : undefined
  }
}
