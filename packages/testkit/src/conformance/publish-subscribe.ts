import { expect } from 'vitest'
import { rejection } from './expect-error.js'
import { BODIES, HEADER_NAMES, HEADER_VALUES, IDS, KEYS } from './odd-values.js'
import type { Suite } from './suite.js'

/** A payload larger than this is not made by a test. */
const LARGEST_SENT = 16 * 1024 * 1024

/** Item 1: what is received is what was sent, to the byte. */
export function publishSubscribe(suite: Suite): void {
  suite.describe('publish and subscribe', () => {
    contents(suite)
    names(suite)
    sizes(suite)
  })
}

function contents(suite: Suite): void {
  suite.test('bodies arrive byte for byte', {}, async (bench) => {
    const member = await bench.member({ settings: { codec: 'bytes' } })
    const producer = bench.producer({ codec: 'bytes' })
    for (const [name, body] of Object.entries(BODIES)) void bench.ledger.send(producer, body, { id: name, key: name })
    await bench.handledAll(Object.keys(BODIES))
    await bench.ledger.allConfirmed()
    for (const [name, body] of Object.entries(BODIES)) {
      const received = member.handlings.find((one) => one.id === name)
      expect(received?.bytes?.equals(body), `bytes of '${name}'`).toBe(true)
      expect(Buffer.from(received?.value as Uint8Array).equals(body), `value of '${name}'`).toBe(true)
    }
    expect(member.handlings).toHaveLength(Object.keys(BODIES).length)
  })

  suite.test('a tombstone, empty bytes and JSON null are three different things', {}, async (bench) => {
    const member = await bench.member({ settings: { codec: 'bytes' } })
    const producer = bench.producer({ codec: 'bytes' })
    void bench.ledger.send(producer, undefined, { id: 'tombstone', key: 'k' })
    void bench.ledger.send(producer, Buffer.alloc(0), { id: 'empty', key: 'k' })
    void bench.ledger.send(producer, Buffer.from('null'), { id: 'null', key: 'k' })
    void bench.ledger.send(producer, undefined, { id: 'tombstone without key' })
    await bench.handledAll(bench.ledger.ids())
    await bench.ledger.allConfirmed()
    const bytesOf = (id: string): string | undefined => member.handlings.find((one) => one.id === id)?.bytes?.toString()
    expect(bytesOf('tombstone'), 'a tombstone has no bytes').toBeUndefined()
    expect(member.handlings.find((one) => one.id === 'tombstone')?.value).toBeUndefined()
    expect(bytesOf('empty'), 'empty bytes are a value').toBe('')
    expect(bytesOf('null')).toBe('null')
    expect(bytesOf('tombstone without key')).toBeUndefined()
  })

  suite.test('JSON values of every kind come back as they were', {}, async (bench) => {
    const values: unknown[] = [
      null,
      '',
      0,
      -1.5,
      false,
      true,
      [],
      {},
      [null, [1]],
      { nested: { text: '\u0000 "quoted" \\ 🦉 é \u2028' } },
      'x'.repeat(50_000),
    ]
    await bench.member()
    const producer = bench.producer()
    for (const [index, value] of values.entries()) void bench.ledger.send(producer, value, { id: `value-${index}` })
    void bench.ledger.send(producer, undefined, { id: 'tombstone' })
    await bench.handledAll(bench.ledger.ids())
    await bench.ledger.allConfirmed()
    for (const [index, value] of values.entries()) {
      const received = bench.handled().find((one) => one.id === `value-${index}`)
      expect(received?.value, `value ${index}`).toStrictEqual(value)
      expect(received?.bytes?.toString(), 'the wire holds the encoded value and nothing else').toBe(
        JSON.stringify(value),
      )
    }
    expect(bench.handled().find((one) => one.id === 'tombstone')?.value).toBeUndefined()
  })
}

function names(suite: Suite): void {
  suite.test('odd keys arrive as they were sent', {}, async (bench) => {
    await bench.member()
    const producer = bench.producer()
    for (const [index, key] of KEYS.entries()) void bench.ledger.send(producer, index, { id: `key-${index}`, key })
    void bench.ledger.send(producer, 'none', { id: 'no-key' })
    await bench.handledAll(bench.ledger.ids())
    await bench.ledger.allConfirmed()
    for (const [index, key] of KEYS.entries())
      expect(bench.handled().find((one) => one.id === `key-${index}`)?.key).toBe(key)
    expect(bench.handled().find((one) => one.id === 'no-key')?.key, 'no key is not the empty key').toBeUndefined()
  })

  suite.test('odd header values arrive as they were sent', {}, async (bench) => {
    await bench.member()
    const producer = bench.producer()
    for (const [index, text] of HEADER_VALUES.entries())
      void bench.ledger.send(producer, index, { id: `header-${index}`, headers: { odd: text, plain: 'yes' } })
    await bench.handledAll(bench.ledger.ids())
    await bench.ledger.allConfirmed()
    for (const [index, text] of HEADER_VALUES.entries()) {
      expect(bench.handled().find((one) => one.id === `header-${index}`)?.headers, `header value ${index}`).toEqual({
        odd: text,
        plain: 'yes',
      })
    }
  })

  suite.test('odd header names arrive as they were sent, and no header is added', {}, async (bench) => {
    await bench.member()
    const producer = bench.producer()
    for (const [index, name] of HEADER_NAMES.entries())
      void bench.ledger.send(producer, index, { id: `name-${index}`, headers: { [name]: `value of ${index}` } })
    void bench.ledger.send(producer, 'none', { id: 'none' })
    void bench.ledger.send(producer, 'many', {
      id: 'many',
      headers: Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`h${index}`, String(index)])),
    })
    await bench.handledAll(bench.ledger.ids())
    await bench.ledger.allConfirmed()
    const headersOf = (id: string): [string, string][] =>
      Object.entries(bench.handled().find((one) => one.id === id)?.headers ?? {})
    for (const [index, name] of HEADER_NAMES.entries())
      expect(headersOf(`name-${index}`), `header '${name}'`).toEqual([[name, `value of ${index}`]])
    expect(headersOf('none')).toEqual([])
    expect(headersOf('many')).toHaveLength(40)
  })

  suite.test("the sender's id and timestamp are kept, and the receipt says where the message is", {}, async (bench) => {
    await bench.member()
    const producer = bench.producer()
    const timestamps = [1, 1_600_000_000_000, 4_000_000_000_000]
    const receipts = IDS.map((id, index) =>
      bench.ledger.send(producer, index, { id, timestamp: timestamps[index % 3] ?? 1 }),
    )
    const before = Date.now()
    const plain = producer.send('plain')
    await bench.handledCount(IDS.length + 1)
    for (const [index, receipt] of receipts.entries()) {
      const received = bench.handled().find((one) => one.id === IDS[index])
      const { id, topic, partition, offset } = await receipt
      expect({ id, topic }).toEqual({ id: IDS[index], topic: bench.topic })
      expect(received?.timestamp).toBe(timestamps[index % 3])
      if (partition !== undefined) expect(received?.partition).toBe(partition)
      if (offset !== undefined) expect(received?.offset).toBe(offset)
    }
    const made = bench.handled().find((one) => one.id === 'plain' || one.value === 'plain')
    expect(made?.id, 'an id is made where none was given').toBe((await plain).id)
    expect(made?.timestamp).toBeGreaterThanOrEqual(before)
    expect(made?.timestamp).toBeLessThanOrEqual(Date.now())
    expect(made).toMatchObject({ attempt: 1, topic: bench.topic })
  })
}

function sizes(suite: Suite): void {
  const { maxPayloadBytes } = suite.settings.limits
  const largest = Math.min(maxPayloadBytes, LARGEST_SENT)

  suite.test(`a payload of ${largest} bytes passes`, {}, async (bench) => {
    await bench.member({ settings: { codec: 'bytes' } })
    const body = Buffer.alloc(largest, 'large ')
    void bench.ledger.send(bench.producer({ codec: 'bytes' }), body)
    await bench.handledCount(1)
    await bench.ledger.allConfirmed()
    expect(bench.handled()[0]?.bytes?.equals(body)).toBe(true)
  })

  suite.test(
    `a payload of ${maxPayloadBytes + 1} bytes is refused with TOO_LARGE, and disturbs nothing`,
    {},
    async (bench) => {
      expect(Number.isSafeInteger(maxPayloadBytes), 'limits.maxPayloadBytes must be an integer').toBe(true)
      await bench.member({ settings: { codec: 'bytes' } })
      const producer = bench.producer({ codec: 'bytes' })
      void bench.ledger.send(producer, Buffer.from('before'), { key: 'k' })
      const error = await rejection(
        producer.send(Buffer.alloc(maxPayloadBytes + 1), { key: 'k', id: 'too-large' }),
        'TOO_LARGE',
      )
      expect(error.retryable).toBe(false)
      expect(error.message).toContain(String(maxPayloadBytes))
      void bench.ledger.send(producer, Buffer.from('after'), { key: 'k' })
      await bench.handledAll(bench.ledger.ids())
      await bench.ledger.allConfirmed()
      expect(bench.handled().map((one) => one.bytes?.toString())).toEqual(['before', 'after'])
      expect(producer.stats()).toMatchObject({ sent: 3, accepted: 2, failed: 1, resent: 0, buffered: 0, reconnects: 0 })
    },
  )
}
