import { randomUUID } from 'node:crypto'
import { type AdapterDefinition, openTransport, registerAdapter, Transport } from '@streamswitch/core'
import { describe, expect, it } from 'vitest'
import memory from '../src/index.js'

registerAdapter(memory)

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const freshUrl = (): string => `memory://${randomUUID()}`

/** The same transport as an adapter of a third party that knows nothing of replies. */
const withoutReplies: AdapterDefinition = {
  ...memory,
  name: 'plain',
  connect: (options, context) => {
    const { native, admin, producer, consumer, close } = memory.connect(options, context)
    return { native, admin, producer, consumer, close }
  },
}

async function answer(transport: Transport): Promise<void> {
  const loop = transport.consumer<number>('sums', { group: 'calculator', deadLetter: false, errorPolicy: 'restart' })
  loop.handle(async (message) => {
    await message.respond(message.value + 1)
    return message.value + 2
  })
  void loop.run()
  await loop.init()
}

async function partsOf(transport: Transport, value: number): Promise<unknown[]> {
  const parts: unknown[] = []
  for await (const part of transport.producer<number>('sums').request(value, { timeoutMs: 10_000 })) parts.push(part)
  return parts
}

describe('replies', () => {
  it('travel by ordinary topics where the adapter has no way of its own, and leave none behind', async () => {
    const url = freshUrl()
    const transport = new Transport(withoutReplies, url, { environment: {}, logger: silent })
    await answer(transport)
    expect(await Promise.all([1, 10, 100].map((value) => partsOf(transport, value)))).toEqual([
      [2, 3],
      [11, 12],
      [101, 102],
    ])
    await transport.close()
    const look = new Transport(memory, url, { environment: {} })
    expect((await look.admin.topics()).map(({ topic }) => topic)).toEqual(['sums'])
    await look.close()
  })

  it('travel where STREAMSWITCH_FEEDBACK_URL says, on a transport that is closed with the main one', async () => {
    const environment = { STREAMSWITCH_URL: freshUrl(), STREAMSWITCH_FEEDBACK_URL: freshUrl() }
    const transport = await openTransport(undefined, { environment, logger: silent })
    expect(transport.feedback).not.toBe(transport)
    await answer(transport)
    expect(await partsOf(transport, 1)).toEqual([2, 3])
    await transport.close()
    expect(() => transport.feedback.producer('x')).toThrow(expect.objectContaining({ code: 'CLOSED' }))
  })

  it('that are awaited on another transport are a CONFLICT at the one who should answer', async () => {
    const url = freshUrl()
    const failures: string[] = []
    const logger = { ...silent, error: (line: string) => failures.push(line) }
    const elsewhere = new Transport(withoutReplies, freshUrl(), { environment: {} })
    await using asking = new Transport(memory, url, { environment: {}, feedback: elsewhere })
    await using answering = new Transport(memory, url, { environment: {}, logger })
    await answer(answering)
    const reply = asking.producer<number>('sums').request(1)
    const outcome = reply.read().catch((error: unknown) => error)
    await expect.poll(() => failures.join()).toContain('STREAMSWITCH_FEEDBACK_URL')
    expect(failures.join()).toContain('requests its reply on plain, but this process answers on memory')
    reply.close()
    expect(await outcome).toMatchObject({ code: 'ABORTED' })
    await elsewhere.close()
  })
})
