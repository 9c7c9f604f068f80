import { describe, expect, it } from 'vitest'
import { Delivery } from '../src/consumer/delivery.js'
import { keepsNativeHeader, type NativeForm } from '../src/contract/native-form.js'
import type { OutgoingRecord } from '../src/contract/record.js'
import type { Message } from '../src/message.js'
import { batchEntry } from '../src/producer/batch-entry.js'
import type { ProducerSettings } from '../src/producer/producer.js'
import type { Schema } from '../src/schema.js'
import type { Transport } from '../src/transport/transport.js'
import { Script, scriptedTransport, until } from './support/scripted-adapter.js'

/** A form in which everything that `native` lists is beyond the portable message. */
const formOf = (format: string): NativeForm => ({ format, beyondPortable: (native) => native as string[] })

function transportOf(script: Script, format: string | undefined): Transport {
  return scriptedTransport(script, {}, format === undefined ? {} : { nativeForm: formOf(format) })
}

const NATIVE = ['key bytes', "header 'a\nb' (null)"]

/** A message of a transport with the format `here`. */
function received(
  fields: Partial<ConstructorParameters<typeof Delivery>[1]> = {},
  value: unknown = { id: 7 },
): Message {
  const delivery = new Delivery(
    { topic: 'orders', partition: 2, epoch: 1 },
    {
      id: 'm-1',
      key: '\ufffdk',
      payload: Buffer.from('{ "id": 7 }'),
      headers: { tenant: 'acme', 'streamswitch-error': 'of an earlier failure' },
      timestamp: 1_600_000_000_000,
      position: 9,
      native: NATIVE,
      form: formOf('here'),
      extraBytes: 100,
      ...fields,
    },
  )
  delivery.value = value
  return delivery
}

/** What is written when a message is forwarded. */
async function forwarded(
  format: string | undefined,
  message: Message,
  options: Parameters<ReturnType<Transport['producer']>['forward']>[1] = {},
  settings: ProducerSettings = {},
): Promise<OutgoingRecord> {
  const script = new Script()
  const sent = transportOf(script, format).producer('invoices', settings).forward(message, options)
  const call = await script.nextCall()
  call.batch.acceptAll()
  call.finish()
  await sent
  return call.batch.records[0] as OutgoingRecord
}

const LOST = "key bytes, header 'a\\nb' (null)"

describe('producer.forward', () => {
  it('passes id, key, bytes, time and headers on, with the original on a transport of its format; reserved headers stay behind', async () => {
    const message = received()
    const record = await forwarded('here', message)
    expect(record).toMatchObject({
      id: 'm-1',
      key: '\ufffdk',
      timestamp: 1_600_000_000_000,
      headers: { tenant: 'acme' },
      original: { native: NATIVE, part: 'message' },
    })
    expect(record.payload).toBe(message.bytes)
    expect(record.headers).not.toHaveProperty('streamswitch-error')
    expect(record.size, 'what only native holds counts').toBeGreaterThan(100)
  })

  it.each(['elsewhere', undefined])(
    'names what a transport of another format can not carry, on one line: %s',
    async (format) => {
      const record = await forwarded(format, received())
      expect(record.original).toBeUndefined()
      expect(record.headers).toEqual({ tenant: 'acme', 'streamswitch-not-carried': LOST })
    },
  )

  it('adds no such header where nothing is lost, keeps what was lost before, and names headers beyond the limits', async () => {
    expect((await forwarded('elsewhere', received({ native: [] }))).headers).toEqual({ tenant: 'acme' })
    const before = received({ native: ['list'], headers: { 'streamswitch-not-carried': 'key bytes' } })
    expect((await forwarded('elsewhere', before)).headers).toEqual({ 'streamswitch-not-carried': 'key bytes, list' })
    expect((await forwarded('here', before)).headers).toEqual({ 'streamswitch-not-carried': 'key bytes' })
    const large = received({ native: [], headers: { large: 'x'.repeat(40_000) } })
    expect((await forwarded('elsewhere', large)).headers).toEqual({
      'streamswitch-not-carried': '1 headers beyond the limits',
    })
    expect((await forwarded('here', large)).headers).toBeUndefined()
    const many = received({ native: Array.from({ length: 1_000 }, (_, index) => `header '🦉${index}' (bytes)`) })
    const list = (await forwarded('elsewhere', many)).headers?.['streamswitch-not-carried'] ?? ''
    expect([list.length <= 1_000, list.isWellFormed()]).toEqual([true, true])
  })

  it('passes on a message without an adapter behind it, as the test transport makes them', async () => {
    const { id, key, bytes, headers, timestamp, value } = received()
    const plain = { id, key, bytes, headers, timestamp, value } as Message
    expect(await forwarded('here', plain)).toMatchObject({ id, key, payload: bytes, original: undefined })
  })

  it('takes options in place of what the message says: with another key the portable form is written', async () => {
    const record = await forwarded('here', received(), {
      key: 'other',
      id: 'm-2',
      timestamp: 5,
      headers: { tenant: 'b' },
    })
    expect(record).toMatchObject({
      key: 'other',
      id: 'm-2',
      timestamp: 5,
      headers: { tenant: 'b' },
      original: undefined,
    })
    expect(record.headers).toEqual({ tenant: 'b', 'streamswitch-not-carried': LOST })
  })

  it('refuses reserved headers and bad options', async () => {
    const producer = transportOf(new Script(), 'here').producer('invoices')
    for (const options of [{ headers: { 'streamswitch-x': '1' } }, { key: 7 }])
      await expect(producer.forward(received(), options as never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it('passes a tombstone on, and neither codec nor schema look at the bytes', async () => {
    const never: Schema = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: () => {
          throw new Error('not to be called')
        },
      },
    }
    const options = { codec: 'text', schema: never } as const
    const message = received({ payload: Buffer.from([0xff]) }, Symbol('a value that no codec takes'))
    expect((await forwarded('here', message, {}, options)).payload).toEqual(Buffer.from([0xff]))
    expect((await forwarded('here', received({ payload: undefined }, undefined), {}, options)).payload).toBeUndefined()
  })

  it('goes through send middleware, which may add headers', async () => {
    const seen: unknown[] = []
    const record = await forwarded(
      'here',
      received(),
      {},
      {
        middleware: [
          (outgoing, next) => {
            seen.push(outgoing.value)
            return next({
              ...outgoing,
              options: { ...outgoing.options, headers: { ...outgoing.options.headers, trace: 't' } },
            })
          },
        ],
      },
    )
    expect(seen).toEqual([{ id: 7 }])
    expect(record).toMatchObject({
      headers: { tenant: 'acme', trace: 't' },
      original: { native: NATIVE, part: 'message' },
    })
  })

  it('is a send of another value where a middleware replaces it: only the bytes of the key stay', async () => {
    const record = await forwarded(
      'here',
      received(),
      {},
      {
        middleware: [(outgoing, next) => next({ ...outgoing, value: { id: 8 } })],
      },
    )
    expect(record).toMatchObject({ id: 'm-1', original: { native: NATIVE, part: 'key' } })
    expect(record.payload?.toString()).toBe('{"id":8}')
  })
})

describe('what a handler makes of a message', () => {
  it.each([
    ['\ufffdk', 'key'],
    ['sha256-abc', 'key'],
    ['plain', undefined],
  ])('has the bytes of its key where text may stand for others: %s', async (key, part) => {
    const script = new Script()
    const transport = transportOf(script, 'here')
    const loop = transport.consumer('orders', { group: 'billing' })
    loop.handle(
      async function* () {
        yield 'one'
        yield batchEntry('two', { key: 'other' })
      },
      { to: transport.producer('invoices') as never },
    )
    const finished = loop.run()
    await until(() => script.consumers.length > 0)
    const assignment = { topic: 'orders', partition: 0, epoch: 1 }
    script.consumer.sink.assigned([assignment])
    const fields = { id: 'm', key, payload: Buffer.from('1'), headers: {}, timestamp: 5, position: 1 }
    const delivery = new Delivery(assignment, { ...fields, native: NATIVE, form: formOf('here') })
    void script.consumer.sink.deliver(assignment, [delivery])
    const records: OutgoingRecord[] = []
    while (records.length < 2) {
      const call = await script.nextCall()
      records.push(...call.batch.records)
      call.batch.acceptAll()
      call.finish()
    }
    expect(records.map((record) => [record.key, record.original?.part])).toEqual([
      [key, part],
      ['other', undefined],
    ])
    await until(() => script.consumer.acked.length === 1)
    await loop.close()
    await finished
  })
})

describe('a native header', () => {
  it.each([
    ['its text is what the record has', 'a', 'x', { a: 'x' }, true],
    ['the record has another text', 'a', 'x', { a: 'y' }, false],
    ['the record has none of this name', 'a', 'x', {}, true],
    ['the record has no headers', 'a', undefined, undefined, true],
    ['it is no text and the record has one', 'a', undefined, { a: 'x' }, false],
    ['it is reserved and the record has none', 'streamswitch-a', 'x', {}, false],
    ['it is reserved and the record has the same', 'streamswitch-a', 'x', { 'streamswitch-a': 'x' }, true],
    ['its name means something to JavaScript', 'toString', undefined, {}, true],
    ['its name means even more', '__proto__', undefined, {}, true],
  ])('stays or goes: %s', (_title, name, text, headers, stays) => {
    expect(keepsNativeHeader(name, text, headers as Record<string, string> | undefined)).toBe(stays)
  })
})
