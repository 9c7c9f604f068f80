import { describe, expect, it } from 'vitest'
import { DedupeTransaction } from '../src/dedupe/dedupe-transaction.js'
import { StreamError } from '../src/errors.js'
import { deliveriesOf, Script, scriptedTransport, until } from './support/scripted-adapter.js'

/** A loop with one message, whose transaction fails before the handler is called as long as it is told to. */
async function start(fail: (calls: number) => unknown) {
  const script = new Script()
  let calls = 0
  const once = new DedupeTransaction(async (_mark, work) => {
    calls += 1
    const error = fail(calls)
    if (error !== undefined) throw error
    await work('transaction')
  })
  const loop = scriptedTransport(script).consumer<string>('orders', {
    group: 'billing',
    retry: { attempts: 2, minDelayMs: 0, maxDelayMs: 0 },
    deadLetter: { topic: 'failed' },
    dedupe: { transaction: once },
  })
  const attempts: number[] = []
  const errors: StreamError[] = []
  loop.on('error', (error) => errors.push(error))
  loop.handle((message) => void attempts.push(message.attempt))
  const ended = loop.run()
  ended.catch(() => {})
  await until(() => script.consumers.length > 0)
  const assignment = { topic: 'orders', partition: 0, epoch: 1 }
  script.consumer.sink.assigned([assignment])
  void script.consumer.sink.deliver(assignment, deliveriesOf(assignment, ['a1']))
  return { script, loop, attempts, errors, ended, calls: () => calls }
}

describe('a dedupe transaction that fails before the handler is called', () => {
  it('uses up no attempt: the message waits, and each failure is told', async () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    const { script, loop, attempts, errors } = await start((calls) => (calls <= 4 ? refused : undefined))
    await until(() => script.consumer.acked.length === 1)
    expect(attempts).toEqual([1])
    expect(errors.map(({ code, cause }) => [code, cause])).toEqual(Array(4).fill(['UNKNOWN', refused]))
    expect(loop.stats()).toMatchObject({ retried: 0, deadLettered: 0, handled: 1 })
    await loop.close()
  })

  it('waits in silence for another one that inserts the same mark', async () => {
    const conflict = new StreamError('serialization failure', { code: 'CONFLICT' })
    const { script, loop, attempts, errors } = await start((calls) => (calls === 1 ? conflict : undefined))
    await until(() => script.consumer.acked.length === 1)
    expect([attempts, errors]).toEqual([[1], []])
    await loop.close()
  })

  it('ends the loop where asking again cannot help', async () => {
    const { ended, attempts } = await start(() => new StreamError('no table', { code: 'NOT_FOUND' }))
    await expect(ended).rejects.toMatchObject({ code: 'NOT_FOUND' })
    expect(attempts).toEqual([])
  })
})
