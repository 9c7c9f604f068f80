import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import type { PublishBatch } from '../src/contract/record.js'
import { StreamError } from '../src/errors.js'
import type { Producer } from '../src/producer/producer.js'
import { Script, scriptedTransport, until } from './support/scripted-adapter.js'

const unavailable = () => new StreamError('broken', { code: 'UNAVAILABLE' })

function start(options: object = {}, script = new Script()) {
  const transport = scriptedTransport(script)
  return {
    script,
    transport,
    producer: transport.producer<string>('orders', { codec: 'text', ...options }) as Producer<string>,
  }
}

const texts = (batch: PublishBatch): string[] => batch.records.map((record) => String(record.payload))

describe('sending', () => {
  it('sends what one turn of the event loop gathered as one batch, in order', async () => {
    const { script, producer, transport } = start()
    const sends = ['a', 'b', 'c'].map((value) => producer.send(value))
    const call = await script.nextCall()
    expect(texts(call.batch)).toEqual(['a', 'b', 'c'])
    call.batch.accept(0, 2, 40n)
    call.batch.acceptAll(2)
    call.finish()
    expect((await Promise.all(sends))[0]).toMatchObject({ topic: 'orders', partition: 2, offset: '40' })
    await transport.close()
  })

  it('leaves nothing at a signal that outlives the send', async () => {
    const { script, producer, transport } = start()
    const { signal } = new AbortController()
    const sends = ['a', 'b'].map((value) => producer.send(value, { signal }))
    const call = await script.nextCall()
    expect(getEventListeners(signal, 'abort')).toHaveLength(2)
    call.batch.acceptAll()
    call.finish()
    await Promise.all(sends)
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    await transport.close()
  })

  it('cuts batches by count and by bytes, and lets a single larger record travel alone', async () => {
    const { script, producer } = start({ maxBatchRecords: 2, maxBatchBytes: 10 })
    for (const value of ['aaaa', 'bbbb', 'cccc', 'dddddddddddddddd', 'e']) void producer.send(value)
    const batches: string[][] = []
    for (let count = 0; count < 4; count += 1) {
      const call = await script.nextCall()
      batches.push(texts(call.batch))
      call.batch.acceptAll()
      call.finish()
    }
    expect(batches).toEqual([['aaaa', 'bbbb'], ['cccc'], ['dddddddddddddddd'], ['e']])
  })

  it('resends from the first unconfirmed record, with its id, before anything newer', async () => {
    const { script, producer } = start({ maxBatchRecords: 3 })
    const outcomes = ['1', '2', '3', '4', '5'].map((value) => producer.send(value))
    const first = await script.nextCall()
    first.batch.accept(0)
    first.batch.fail(1, unavailable())
    const ids = first.batch.records.map((record) => record.id)
    first.finish()
    const second = await script.nextCall()
    expect(texts(second.batch)).toEqual(['2', '3', '4'])
    expect(second.batch.records.map((record) => record.id).slice(0, 2)).toEqual(ids.slice(1))
    expect(second.batch.records.map((record) => record.resends)).toEqual([1, 1, 0])
    second.batch.acceptAll()
    second.finish()
    const third = await script.nextCall()
    third.batch.acceptAll()
    third.finish()
    await Promise.all(outcomes)
    expect(producer.stats()).toMatchObject({ accepted: 5, resent: 2, failed: 0 })
  })

  it('with several batches in flight, waits for all of them before it resends', async () => {
    const script = new Script()
    script.maxInFlightBatches = 3
    const { producer } = start({ maxBatchRecords: 1 }, script)
    for (const value of ['1', '2', '3', '4']) void producer.send(value)
    const calls = [await script.nextCall(), await script.nextCall(), await script.nextCall()]
    calls[0]?.batch.failAll(unavailable())
    calls[0]?.finish()
    calls[2]?.batch.failAll(unavailable())
    calls[2]?.finish()
    await until(() => producer.stats().resent === 0)
    expect(script.pendingCalls).toBe(0)
    calls[1]?.batch.acceptAll()
    calls[1]?.finish()
    expect(texts((await script.nextCall()).batch)).toEqual(['1'])
    expect(texts((await script.nextCall()).batch)).toEqual(['3'])
    expect(texts((await script.nextCall()).batch)).toEqual(['4'])
  })

  it('rejects a record that was refused for good and goes on with the others', async () => {
    const { script, producer } = start()
    const sends = ['good', 'bad', 'fine'].map((value) => producer.send(value))
    const call = await script.nextCall()
    call.batch.accept(0)
    call.batch.fail(1, new StreamError('no', { code: 'PERMISSION_DENIED' }))
    call.batch.accept(2)
    call.finish()
    const results = await Promise.allSettled(sends)
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(results[1]).toMatchObject({ reason: { code: 'PERMISSION_DENIED' } })
  })

  it('keeps lanes apart: one that waits for its backoff does not hold up another', async () => {
    const { script, producer } = start()
    void producer.send('zero', { partition: 0 })
    const stuck = await script.nextCall()
    const other = producer.send('one', { partition: 1 })
    const call = await script.nextCall()
    expect(texts(call.batch)).toEqual(['one'])
    call.batch.acceptAll()
    call.finish()
    await other
    expect(stuck.batch.lane).toBe(0)
  })

  it('after a lost connection, a fresh driver gets everything unconfirmed, in order', async () => {
    const script = new Script()
    script.maxInFlightBatches = 2
    const { producer } = start({ maxBatchRecords: 2 }, script)
    const sends = ['1', '2', '3', '4', '5'].map((value) => producer.send(value))
    const first = await script.nextCall()
    const second = await script.nextCall()
    first.batch.accept(0)
    first.driver.sink.lost(unavailable())
    const again = await script.nextCall()
    expect(again.driver).not.toBe(first.driver)
    expect(first.driver.closed).toBe(true)
    expect(texts(again.batch)).toEqual(['2', '3'])
    // What the old driver still reports counts: the broker has it.
    second.batch.acceptAll()
    again.batch.acceptAll()
    again.finish()
    const rest = await script.nextCall()
    rest.batch.acceptAll()
    rest.finish()
    await Promise.all(sends)
    expect(producer.stats()).toMatchObject({ accepted: 5, reconnects: 1 })
  })

  it('condemns a driver that never answers, within publishTimeoutMs', async () => {
    const { script, producer } = start({ publishTimeoutMs: 50 })
    const send = producer.send('1')
    const silent = await script.nextCall()
    const next = await script.nextCall()
    expect(next.driver).not.toBe(silent.driver)
    next.batch.acceptAll()
    next.finish()
    await send
  })
})

describe('every send settles once', () => {
  it('TIMEOUT when nothing confirms it in time, saying that it may have been stored', async () => {
    const { script, producer } = start({ sendTimeoutMs: 60 })
    const send = producer.send('1')
    await script.nextCall()
    await expect(send).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringContaining('may have been stored'),
    })
  })

  it('TIMEOUT of one send by its own timeoutMs, while others wait on', async () => {
    const { script, producer } = start()
    const short = producer.send('1', { timeoutMs: 20 })
    const long = producer.send('2')
    const call = await script.nextCall()
    await expect(short).rejects.toMatchObject({ code: 'TIMEOUT' })
    call.batch.acceptAll()
    call.finish()
    await expect(long).resolves.toMatchObject({ topic: 'orders' })
  })

  it('RESOURCE_EXHAUSTED when the buffer stays full; room lets waiting sends in, in order', async () => {
    const { script, producer } = start({ maxBufferedMessages: 2, sendTimeoutMs: 80, maxBatchRecords: 1 })
    const sends = ['1', '2', '3', '4'].map((value) => producer.send(value))
    const results = Promise.allSettled(sends)
    const first = await script.nextCall()
    expect(producer.stats()).toMatchObject({ buffered: 2, waiting: 2 })
    first.batch.acceptAll()
    first.finish()
    await script.nextCall()
    expect(producer.stats().waiting).toBe(1)
    const settled = await results
    expect(settled.map((result) => (result.status === 'rejected' ? result.reason.code : 'ok'))).toEqual([
      'ok',
      'TIMEOUT',
      'TIMEOUT',
      'RESOURCE_EXHAUSTED',
    ])
  })

  it('CLOSED for what close() could not confirm, and for sends after it', async () => {
    const { script, producer } = start({ maxBatchRecords: 1 })
    const [inFlight, queued] = [producer.send('1'), producer.send('2')]
    const results = Promise.allSettled([inFlight, queued])
    await script.nextCall()
    await Promise.all([producer.close({ timeoutMs: 10 }), producer.close({ timeoutMs: 10_000 })])
    expect(await results).toMatchObject([
      { reason: { code: 'CLOSED', message: expect.stringContaining('may have been stored') } },
      { reason: { code: 'CLOSED', message: expect.stringContaining('was not sent') } },
    ])
    await expect(producer.send('3')).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(producer.init()).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it('ABORTED by its signal; TOO_LARGE and INVALID_ARGUMENT without a publish', async () => {
    const { script, producer } = start()
    await producer.init()
    const controller = new AbortController()
    const aborted = producer.send('1', { signal: controller.signal })
    controller.abort()
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' })
    await expect(producer.send('x'.repeat(1001))).rejects.toMatchObject({ code: 'TOO_LARGE' })
    await expect(producer.send('1', { partition: 4 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(producer.send('1', { headers: { 'streamswitch-id': 'x' } })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
    await expect(producer.send(5 as never)).rejects.toMatchObject({ code: 'SERIALIZATION' })
    expect(script.pendingCalls).toBe(0)
  })

  it('with the first connection failing for good, every send rejects with its reason and the next one tries anew', async () => {
    const script = new Script()
    script.onOpen = async () => {
      throw new StreamError('wrong password', { code: 'UNAUTHENTICATED' })
    }
    const { producer } = start({}, script)
    await expect(producer.send('1')).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
    script.onOpen = async () => {}
    const send = producer.send('2')
    const call = await script.nextCall()
    call.batch.acceptAll()
    call.finish()
    await send
  })

  it('a first connection that runs out of time says why the tries before failed', async () => {
    const script = new Script()
    let tries = 0
    script.onOpen = () => {
      tries += 1
      return tries === 1 ? Promise.reject(unavailable()) : new Promise(() => {})
    }
    const { producer } = start({ connectTimeoutMs: 150 }, script)
    await expect(producer.init()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('the last attempt failed: broken'),
    })
    expect(tries).toBe(2)
  })

  it('sendBatch lists each failure by index, and settles once', async () => {
    const { script, producer } = start()
    const outcome = producer.sendBatch(['a', 5 as never, 'c', 'x'.repeat(1001)])
    const call = await script.nextCall()
    call.batch.acceptAll()
    call.finish()
    await expect(outcome).rejects.toMatchObject({
      name: 'BatchError',
      total: 4,
      failures: [
        { index: 1, error: { code: 'SERIALIZATION' } },
        { index: 3, error: { code: 'TOO_LARGE' } },
      ],
    })
    await expect(producer.sendBatch([])).resolves.toEqual([])
  })
})
