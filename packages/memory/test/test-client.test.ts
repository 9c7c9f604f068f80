import { DEAD_LETTER_HEADERS, type Transport } from '@streamswitch/core'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { testTransport } from '../src/testing.js'

interface Order {
  readonly customer: string
  readonly total: number
}

/** A service as an application has it: it knows the interface alone. */
function startBilling(transport: Transport, charge: (order: Order) => unknown = () => {}): void {
  const receipts = transport.producer('receipts')
  const loop = transport.consumer<Order>('orders', { group: 'billing', partitions: 4, retry: { attempts: 3 } })
  loop.handle(async ({ value, key }) => {
    await charge(value)
    await receipts.send({ paid: value.total }, { key: key ?? value.customer })
  })
  void loop.run()
}

describe('testTransport', () => {
  afterEach(() => {
    vi.useRealTimers()
  })

  it('tests a service in ten lines', async () => {
    await using transport = testTransport()
    startBilling(transport)
    await transport.producer<Order>('orders', { partitions: 4 }).send({ customer: 'c1', total: 12 }, { key: 'c1' })
    await transport.drain()
    expect(transport.messages('receipts')).toMatchObject([{ key: 'c1', value: { paid: 12 } }])
  })

  it('drains what handlers send onwards, in every group, on every partition', async () => {
    await using transport = testTransport()
    startBilling(transport)
    const seen: unknown[] = []
    for (const group of ['mail', 'books']) {
      const loop = transport.consumer('receipts', { group })
      loop.handle(async ({ value }) => {
        await new Promise((resolve) => setTimeout(resolve, 5))
        seen.push(value)
      })
      void loop.run()
    }
    const orders = transport.producer<Order>('orders', { partitions: 4 })
    // Not awaited: drain waits for sends as well.
    for (let total = 0; total < 40; total += 1) void orders.send({ customer: 'c', total }, { key: `c${total}` })
    await transport.drain()
    expect(seen).toHaveLength(80)
    expect(new Set(transport.messages('orders').map(({ partition }) => partition)).size).toBe(4)
  })

  it('waits for retries and dead letters, by the real clock', async () => {
    await using transport = testTransport()
    const totals: number[] = []
    startBilling(transport, ({ total }) => {
      totals.push(total)
      throw new Error(`no account for ${total}`)
    })
    await transport.producer<Order>('orders', { partitions: 4 }).send({ customer: 'c1', total: 7 })
    await transport.drain()
    expect(totals).toEqual([7, 7, 7])
    expect(transport.deadLetterMessages('orders', 'billing')).toMatchObject([
      { value: { total: 7 }, headers: { [DEAD_LETTER_HEADERS.error]: 'no account for 7' } },
    ])
    expect(transport.handlerErrors.map(({ attempt, group }) => `${group} ${attempt}`)).toEqual([
      'billing 1',
      'billing 2',
      'billing 3',
    ])
  })

  it('rethrows a handler error on request, once, without waiting for the retries', async () => {
    await using transport = testTransport({ rethrow: true })
    startBilling(transport, () => {
      throw new Error('out of money')
    })
    await transport.producer<Order>('orders', { partitions: 4 }).send({ customer: 'c1', total: 7 })
    await expect(transport.drain()).rejects.toThrow('out of money')
    expect(transport.deadLetterMessages('orders', 'billing')).toEqual([])
    await transport.drain({ rethrow: false })
    expect(transport.deadLetterMessages('orders', 'billing')).toHaveLength(1)
  })

  it('moves with fake timers: an hour of backoff, in no time', async () => {
    vi.useFakeTimers()
    await using transport = testTransport({ advanceClock: (ms) => vi.advanceTimersByTimeAsync(ms) })
    const started = Date.now()
    const loop = transport.consumer('orders', {
      group: 'billing',
      retry: { attempts: 3, minDelayMs: 1_200_000, maxDelayMs: 3_600_000, factor: 2 },
    })
    const attempts: number[] = []
    loop.handle(({ attempt }) => {
      attempts.push(attempt)
      if (attempt < 3) throw new Error('not yet')
    })
    void loop.run()
    const { id } = await transport.producer('orders').send({ total: 1 })
    await transport.drain({ timeoutMs: 20_000 })
    expect(attempts).toEqual([1, 2, 3])
    expect(Date.now() - started).toBeGreaterThanOrEqual(1_800_000)
    expect(transport.messages('orders')).toMatchObject([{ id, timestamp: started }])
  })

  it('times handlers out by the fake clock, and closes under it', async () => {
    vi.useFakeTimers()
    const transport = testTransport({ advanceClock: (ms) => vi.advanceTimersByTimeAsync(ms) })
    const loop = transport.consumer('orders', { group: 'g', handlerTimeoutMs: 60_000, retry: { attempts: 1 } })
    const reasons: unknown[] = []
    loop.handle(
      ({ signal }) =>
        new Promise((_, reject) =>
          signal.addEventListener('abort', () => {
            reasons.push((signal.reason as { code: string }).code)
            reject(signal.reason)
          }),
        ),
    )
    void loop.run()
    await transport.producer('orders').send({})
    await vi.advanceTimersByTimeAsync(59_000)
    expect(reasons).toEqual([])
    await vi.advanceTimersByTimeAsync(5_000)
    expect(reasons).toEqual(['TIMEOUT'])
    await transport.drain()
    expect(transport.deadLetterMessages('orders', 'g')).toHaveLength(1)
    await transport.close()
  })

  it('says what is left when it is late', async () => {
    await using transport = testTransport()
    const loop = transport.consumer('orders', { group: 'gone' })
    await loop.init()
    await loop.close()
    await transport.producer('orders').sendBatch([1, 2])
    await expect(transport.drain({ timeoutMs: 30 })).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringContaining('orders/gone: 2 messages, and no loop runs'),
    })
  })

  it('has a broker of its own', async () => {
    await using one = testTransport()
    await using other = testTransport()
    await one.producer('orders').send(1)
    await one.drain()
    expect([one.messages('orders').length, other.messages('orders').length]).toEqual([1, 0])
  })

  it('redelivers what a member that leaves has not acked', async () => {
    await using transport = testTransport()
    const first = transport.consumer('orders', { group: 'g', ack: 'manual' })
    const taken = new Promise<void>((resolve) => {
      first.handle(() => resolve())
    })
    void first.run()
    await transport.producer('orders').send(1)
    await taken
    await first.close({ timeoutMs: 0 })
    const second = transport.consumer('orders', { group: 'g' })
    const ids: string[] = []
    second.handle(({ id }) => ids.push(id))
    void second.run()
    await transport.drain()
    expect(ids).toEqual(transport.messages('orders').map(({ id }) => id))
  })
})

describe('what the test transport passes on to its loops', () => {
  it('sends on what a handler returns', async () => {
    await using transport = testTransport()
    const loop = transport.consumer('parcels', { group: 'labels' })
    loop.handle(() => ({ label: 7 }), { to: transport.producer('labels') })
    void loop.run()
    await transport.producer('parcels').send({ weight: 3 })
    await transport.drain()
    expect(transport.messages('labels')).toHaveLength(1)
  })

  it.each(['batch', 'generator'])('rethrows what a %s handler throws', async (kind) => {
    await using transport = testTransport({ rethrow: true })
    const loop = transport.consumer('parcels', { group: 'labels', retry: { attempts: 1 } })
    const fail = (): Iterable<string> => {
      throw new Error('no printer')
    }
    if (kind === 'batch') loop.handleBatch(fail)
    else
      loop.handle(async function* () {
        yield* fail()
      })
    void loop.run()
    await transport.producer('parcels').send({ weight: 3 })
    await expect(transport.drain()).rejects.toThrow('no printer')
  })

  it('refuses names that it does not know, and those of its calls', async () => {
    const refusal = (problem: string) =>
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(problem) })
    expect(() => testTransport({ rethrows: true } as never)).toThrow(refusal("did you mean 'rethrow'?"))
    await using transport = testTransport()
    await expect(transport.drain({ timeout: 5 } as never)).rejects.toEqual(refusal("did you mean 'timeoutMs'?"))
    await expect(transport.close({ timeout: 5 } as never)).rejects.toEqual(refusal("did you mean 'timeoutMs'?"))
  })
})
