import { describe, expect, it } from 'vitest'
import type { ConsumerLoop } from '../src/consumer/consumer-loop.js'
import { Delivery } from '../src/consumer/delivery.js'
import type { AdapterDefinition } from '../src/contract/adapter.js'
import type { OutgoingRecord } from '../src/contract/record.js'
import { type ErrorCode, StreamError } from '../src/errors.js'
import { type Call, Script, scriptedTransport, until } from './support/scripted-adapter.js'

/** A loop whose handler refuses what begins with `bad`, with its dead letters in a topic that the test answers for. */
async function start(options: object = {}, adapter: Partial<AdapterDefinition> = {}) {
  const script = new Script()
  const loop = scriptedTransport(script, {}, adapter).consumer<string>('orders', {
    group: 'billing',
    codec: 'text',
    retry: { attempts: 1 },
    deadLetter: { topic: 'failed' },
    ...options,
  }) as ConsumerLoop<string>
  const errors: StreamError[] = []
  const handled: string[] = []
  const recovered: string[] = []
  loop.on('error', (error) => errors.push(error))
  loop.on('recovered', ({ reason }) => recovered.push(reason))
  loop.handle(({ id }) => {
    if (id.startsWith('bad')) throw new Error(`no ${id}`)
    handled.push(id)
  })
  const finished = loop.run()
  finished.catch(() => {})
  await until(() => script.consumers.length > 0)
  const driver = script.consumer
  const assignment = { topic: 'orders', partition: 0, epoch: 1 }
  driver.sink.assigned([assignment])
  let position = 0
  const deliver = (id: string, payload: Buffer, headers: Record<string, string> = {}): void => {
    position += 1
    const fields = { id, key: id, payload, headers, timestamp: 5, position, native: undefined }
    void driver.sink.deliver(assignment, [new Delivery(assignment, fields)])
  }
  /** Answers the next write: with an error of this code, or by taking it. Resolves with the record. */
  const answer = async (code?: ErrorCode): Promise<OutgoingRecord> => {
    const call: Call = await script.nextCall()
    const record = call.batch.records[0] as OutgoingRecord
    if (code === undefined) call.batch.acceptAll()
    else call.batch.fail(0, new StreamError(`refused: ${code}`, { code, retryable: false }))
    call.finish()
    return record
  }
  return { script, loop, driver, assignment, deliver, answer, errors, handled, recovered, finished }
}

describe('a dead letter that the transport refuses for good', () => {
  it('is written without its payload where that is too large, says so, and disturbs nobody', async () => {
    const { loop, driver, deliver, answer, errors } = await start()
    // The scripted transport takes 1,000 bytes.
    deliver('bad-1', Buffer.alloc(5_000, 'x'), { tenant: 'acme' })
    const record = await answer()
    expect(record).toMatchObject({ id: 'bad-1', key: 'bad-1', payload: undefined, timestamp: 5 })
    expect(record.headers).toMatchObject({
      tenant: 'acme',
      'streamswitch-error': 'no bad-1',
      'streamswitch-origin-topic': 'orders',
      'streamswitch-origin-offset': '1',
      'streamswitch-incomplete': 'payload 5000 bytes',
    })
    await until(() => driver.acked.length === 1)
    expect(errors).toEqual([])
    expect(loop.stats()).toMatchObject({ deadLettered: 1, unsettled: 0, stoppedPartitions: [] })
    await loop.close()
  })

  it('is written without its headers where those are too large', async () => {
    const { loop, driver, deliver, answer } = await start()
    deliver('bad-1', Buffer.from('body'), { large: 'x'.repeat(30_000) })
    await answer('TOO_LARGE')
    const record = await answer()
    expect(record.payload?.toString()).toBe('body')
    expect(record.headers?.['large']).toBeUndefined()
    expect(record.headers?.['streamswitch-incomplete']).toBe('headers 30005 bytes')
    await until(() => driver.acked.length === 1)
    await loop.close()
  })

  it('is written with neither where both are', async () => {
    const { loop, driver, deliver, answer } = await start()
    deliver('bad-1', Buffer.from('body'), { h: 'v' })
    for (const code of ['TOO_LARGE', 'INVALID_ARGUMENT', 'SERIALIZATION'] as const) await answer(code)
    const record = await answer()
    expect(record.payload).toBeUndefined()
    expect(record.headers?.['streamswitch-incomplete']).toBe('payload 4 bytes, headers 2 bytes')
    await until(() => driver.acked.length === 1)
    await loop.close()
  })

  it('says that headers were left out when the message arrived', async () => {
    const { loop, deliver, answer } = await start()
    deliver('bad-1', Buffer.from('body'), { kept: 'v', large: 'x'.repeat(40_000) })
    const record = await answer()
    expect(record.headers?.['kept']).toBe('v')
    expect(record.headers?.['streamswitch-incomplete']).toBe('1 headers beyond the limits')
    await loop.close()
  })
})

describe('a topic of dead letters that can not be written to', () => {
  it('stops its partition: one event, health, growing waits; other keys go on, and so does it once that has passed', async () => {
    const { loop, driver, deliver, answer, errors, handled, recovered } = await start()
    deliver('bad-1', Buffer.from('body'), { h: 'v' })
    deliver('good-1', Buffer.from('body'))
    for (let attempt = 0; attempt < 3; attempt += 1) await answer('PERMISSION_DENIED')
    await until(() => handled.length === 1)
    expect(driver.acked).toEqual(['good-1'])
    expect(errors).toHaveLength(1)
    expect(errors[0]).toMatchObject({
      code: 'PERMISSION_DENIED',
      message: expect.stringMatching(/partition 0 of 'orders' is stopped.*message bad-1 can't be written to failed/),
    })
    expect(loop.stats().stoppedPartitions).toMatchObject([{ topic: 'orders', partition: 0 }])
    expect(recovered).toEqual([])
    await answer()
    await until(() => driver.acked.length === 2)
    expect(loop.stats()).toMatchObject({ deadLettered: 1, stoppedPartitions: [] })
    expect(recovered).toEqual(['stopped'])
    expect(errors).toHaveLength(1)
    await loop.close()
  })

  it('holds no close up, and nothing is acked that was not written', async () => {
    const { script, loop, driver, deliver, answer } = await start()
    deliver('bad-1', Buffer.from('body'))
    await answer('NOT_FOUND')
    await until(() => loop.stats().stoppedPartitions.length === 1)
    // The next try is under way and is never answered.
    await script.nextCall()
    const closed = loop.close({ timeoutMs: 2_000_000 })
    await closed
    expect(driver.acked).toEqual([])
  })

  it("is left to errorPolicy where it is not the default: 'restart' skips the message", async () => {
    const { loop, driver, deliver, answer, errors } = await start({ errorPolicy: 'restart' })
    deliver('bad-1', Buffer.from('body'))
    await answer('NOT_FOUND')
    await until(() => driver.acked.length === 1)
    expect(loop.stats()).toMatchObject({ skipped: 1, deadLettered: 0, stoppedPartitions: [] })
    expect(errors).toHaveLength(1)
    await loop.close()
  })

  it("'stop-runner' ends the loop, and the message is not acked", async () => {
    const { driver, deliver, answer, finished } = await start({ errorPolicy: 'stop-runner' })
    deliver('bad-1', Buffer.from('body'))
    await answer('NOT_FOUND')
    await expect(finished).rejects.toMatchObject({ code: 'NOT_FOUND' })
    expect(driver.acked).toEqual([])
  })
})

describe('the dead letter of a message with more than its portable form', () => {
  const form = (format: string) => ({ format, beyondPortable: () => ['key bytes'] })

  /** A loop whose transport has the format `here`, and a message of some format that fails. */
  async function fail(format: string, headers: Record<string, string> = {}) {
    const { script, loop, driver, assignment, answer } = await start({}, { nativeForm: form('here') })
    const fields = { id: 'bad', key: 'k', payload: Buffer.from('body'), timestamp: 5, position: 1, native: 'record' }
    void driver.sink.deliver(assignment, [new Delivery(assignment, { ...fields, headers, form: form(format) })])
    return { script, loop, driver, answer }
  }

  it('is written from it on a transport of its format', async () => {
    const { loop, answer } = await fail('here')
    const record = await answer()
    expect(record).toMatchObject({
      original: { native: 'record', part: 'message' },
      headers: { 'streamswitch-error': 'no bad' },
    })
    expect(record.headers).not.toHaveProperty('streamswitch-not-carried')
    expect(record.headers).not.toHaveProperty('streamswitch-incomplete')
    await loop.close()
  })

  it('says elsewhere what is not carried, and is no substitute for that', async () => {
    const { loop, answer } = await fail('elsewhere')
    const record = await answer()
    expect(record.original).toBeUndefined()
    expect(record.headers).toMatchObject({ 'streamswitch-not-carried': 'key bytes' })
    expect(record.headers).not.toHaveProperty('streamswitch-incomplete')
    await loop.close()
  })

  it('is a substitute where the transport refuses to write it as it came, and then in the usual order', async () => {
    const { loop, driver, answer } = await fail('here', { tenant: 'acme' })
    const records = [
      await answer('TOO_LARGE'),
      await answer('TOO_LARGE'),
      await answer('INVALID_ARGUMENT'),
      await answer(),
    ]
    expect(
      records.map(({ original, payload, headers }) => [
        original?.part,
        payload?.toString(),
        headers?.['tenant'],
        headers?.['streamswitch-incomplete'],
      ]),
    ).toEqual([
      ['message', 'body', 'acme', undefined],
      [undefined, 'body', 'acme', 'key bytes'],
      [undefined, 'body', undefined, 'headers 10 bytes, key bytes'],
      [undefined, undefined, 'acme', 'payload 4 bytes, key bytes'],
    ])
    await until(() => driver.acked.length === 1)
    await loop.close()
  })

  it("is whole, whatever a foreign sender's header says", async () => {
    const { loop, answer } = await fail('here', { 'streamswitch-incomplete': 'everything' })
    expect((await answer()).headers).not.toHaveProperty('streamswitch-incomplete')
    await loop.close()
  })
})
