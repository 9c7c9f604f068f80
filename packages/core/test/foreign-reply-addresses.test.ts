import { describe, expect, it } from 'vitest'
import type { ConsumerLoop } from '../src/consumer/consumer-loop.js'
import { Delivery } from '../src/consumer/delivery.js'
import type { Handler } from '../src/message.js'
import { Script, scriptedTransport, until } from './support/scripted-adapter.js'

/** Delivers one message with a reply address to a loop, and resolves once it is acked. */
async function handle(replyTo: string, handler: Handler): Promise<void> {
  const script = new Script()
  const loop = scriptedTransport(script).consumer('orders', { group: 'billing', codec: 'text' }) as ConsumerLoop
  loop.handle(handler)
  const finished = loop.run()
  await until(() => script.consumers.length > 0)
  const assignment = { topic: 'orders', partition: 0, epoch: 1 }
  script.consumer.sink.assigned([assignment])
  const fields = { id: 'm', key: undefined, payload: Buffer.from('x'), headers: {}, timestamp: 5, position: 1 }
  void script.consumer.sink.deliver(assignment, [new Delivery(assignment, { ...fields, replyTo, native: undefined })])
  await until(() => script.consumer.acked.length === 1)
  expect(loop.stats()).toMatchObject({ deadLettered: 0 })
  expect(script.pendingCalls, 'nothing is sent').toBe(0)
  await loop.close()
  await finished
}

describe('a message with a reply address of another system', () => {
  it.each(['erp.answers', 'erp.answers#7', 'streamswitch-replies', 'amqps://host/queue', 'streamswitch:x:y'])(
    'is handled like any other: %s',
    async (address) => {
      const seen: unknown[] = []
      await handle(address, (message) => {
        seen.push(message.replyTo)
        return 'nobody reads this'
      })
      expect(seen).toEqual([address])
    },
  )

  it('refuses what its handler gives to respond() with UNSUPPORTED, and names the address on one line', async () => {
    let refusal: unknown
    await handle('erp.\u202eanswers', async (message) => {
      refusal = await message.respond('x').catch((error: unknown) => error)
    })
    expect(refusal).toMatchObject({
      code: 'UNSUPPORTED',
      retryable: false,
      message: expect.stringContaining("'erp.\\u202eanswers'") as unknown,
    })
  })

  it('drops what a generator yields, and what it returns as a stream', async () => {
    const steps: string[] = []
    await handle('erp.answers', async function* () {
      yield 'one'
      steps.push('one')
      yield 'two'
      steps.push('two')
    })
    expect(steps).toEqual(['one', 'two'])
  })

  it('is tried again after a failure, as any other', async () => {
    let starts = 0
    await handle('erp.answers', () => {
      starts += 1
      if (starts === 1) throw new Error('once')
    })
    expect(starts).toBe(2)
  })
})
