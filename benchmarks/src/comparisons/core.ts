import { jsonCodec, Transport } from '@streamswitch/core'
import memory from '@streamswitch/memory'
import {
  type Case,
  type Comparison,
  concurrently,
  freshName,
  IN_FLIGHT,
  type Measured,
  timed,
} from '../measuring/case.js'

const MESSAGES = 300_000

/** 256 bytes as JSON text. */
const VALUE = { id: 4711, customer: 'c-0815', amount: 12.5, currency: 'EUR', paid: true, note: 'x'.repeat(171) }
const BYTES = Buffer.alloc(256, 0x61)

/** Core's own cost: what every transport pays. */
export function coreComparisons(): Comparison[] {
  return [
    {
      title: 'Core, end to end through the memory transport',
      about: `256-byte payloads, ${IN_FLIGHT} sends in flight, sent and handled in one process. What JSON adds to raw bytes should be what the codec takes alone.`,
      reference: 'raw bytes',
      cases: [
        through('raw bytes', 'bytes', false),
        through('raw bytes, 1024 keys', 'bytes', true),
        through('JSON', 'json', false),
        { name: 'JSON codec alone, encode and decode', messages: MESSAGES, run: codecOnly },
      ],
    },
  ]
}

function through(name: string, codec: 'bytes' | 'json', keyed: boolean): Case {
  return {
    name,
    messages: MESSAGES,
    run: async (messages) => {
      await using transport = new Transport(memory, `memory://${freshName()}`)
      const loop = transport.consumer('orders', { group: 'bench', codec: codec as 'json', concurrency: IN_FLIGHT })
      const handled = new Promise<void>((resolve) => {
        let count = 0
        loop.handle(() => {
          count += 1
          if (count === messages) resolve()
        })
      })
      void loop.run()
      await loop.init()
      const producer = transport.producer('orders', { codec: codec as 'json' })
      const value = codec === 'bytes' ? BYTES : VALUE
      const send = (index: number) => producer.send(value, keyed ? { key: `k${index & 1023}` } : undefined)
      return await timed(() => Promise.all([concurrently(messages, IN_FLIGHT, send), handled]))
    },
  }
}

async function codecOnly(messages: number): Promise<Measured> {
  let check = 0
  const measured = await timed(async () => {
    for (let index = 0; index < messages; index += 1)
      check += (jsonCodec.decode(jsonCodec.encode(VALUE)) as typeof VALUE).id
  })
  if (check !== VALUE.id * messages) throw new Error('the codec lost something')
  return measured
}
