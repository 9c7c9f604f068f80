import type { Producer } from '@streamswitch/core'
import { expect } from 'vitest'
import { rejection } from './expect-error.js'
import type { Suite } from './suite.js'

interface BadSend {
  readonly what: string
  readonly send: (producer: Producer) => Promise<unknown>
  readonly code: 'INVALID_ARGUMENT' | 'SERIALIZATION' | 'TOO_LARGE'
  readonly says: string
}

const BAD_SENDS: readonly BadSend[] = [
  {
    what: 'a reserved header',
    send: (producer) => producer.send(1, { headers: { 'Streamswitch-Id': 'x' } }),
    code: 'INVALID_ARGUMENT',
    says: 'reserved',
  },
  {
    what: 'a header that is no text',
    send: (producer) => producer.send(1, { headers: { count: 1 as never } }),
    code: 'INVALID_ARGUMENT',
    says: 'headers.count',
  },
  {
    what: 'a header name with a line feed',
    send: (producer) => producer.send(1, { headers: { 'a\nb': 'x' } }),
    code: 'INVALID_ARGUMENT',
    says: 'header name',
  },
  {
    what: 'half a character in a header',
    send: (producer) => producer.send(1, { headers: { half: '\ud800' } }),
    code: 'INVALID_ARGUMENT',
    says: 'Unicode',
  },
  {
    what: 'headers beyond their limit',
    send: (producer) => producer.send(1, { headers: { long: 'x'.repeat(40_000) } }),
    code: 'TOO_LARGE',
    says: 'headers',
  },
  {
    what: 'a key that is no text',
    send: (producer) => producer.send(1, { key: 7 as never }),
    code: 'INVALID_ARGUMENT',
    says: 'key',
  },
  {
    what: 'a key that is too long',
    send: (producer) => producer.send(1, { key: 'k'.repeat(1025) }),
    code: 'INVALID_ARGUMENT',
    says: '1024',
  },
  { what: 'an empty id', send: (producer) => producer.send(1, { id: '' }), code: 'INVALID_ARGUMENT', says: 'id' },
  {
    what: 'a negative partition',
    send: (producer) => producer.send(1, { partition: -1 }),
    code: 'INVALID_ARGUMENT',
    says: 'partition',
  },
  {
    what: 'a partition that does not exist',
    send: (producer) => producer.send(1, { partition: 100_000 }),
    code: 'INVALID_ARGUMENT',
    says: '100000',
  },
  {
    what: 'a timestamp that is none',
    send: (producer) => producer.send(1, { timestamp: Number.NaN }),
    code: 'INVALID_ARGUMENT',
    says: 'timestamp',
  },
  {
    what: 'an unknown option',
    send: (producer) => producer.send(1, { kye: 'k' } as never),
    code: 'INVALID_ARGUMENT',
    says: "did you mean 'key'?",
  },
  { what: 'a value that has no JSON form', send: (producer) => producer.send(1n), code: 'SERIALIZATION', says: 'json' },
  { what: 'a function', send: (producer) => producer.send(() => {}), code: 'SERIALIZATION', says: 'json' },
]

/** Sends that can't be meant: rejected before anything goes out, each with its reason. */
export function badSends(suite: Suite): void {
  suite.test(
    `sends that can't be meant are rejected, each with its reason, and nothing goes out: ${BAD_SENDS.map((one) => one.what).join(', ')}`,
    {},
    async (bench) => {
      const member = await bench.member()
      const producer = bench.producer()
      for (const { what, send, code, says } of BAD_SENDS) {
        const error = await rejection(send(producer), code)
        expect(error.message, what).toContain(says)
        expect(error.retryable, what).toBe(false)
      }
      void bench.ledger.send(producer, 'good', { id: 'good' })
      await bench.handledAll(['good'])
      const received = member.handlings[0]?.message
      for (const options of [received, { ...received }])
        expect((await rejection(producer.send(1, options as never), 'INVALID_ARGUMENT')).message).toContain(
          'message.key',
        )
      await bench.ledger.allConfirmed()
      expect(member.handlings.map((one) => one.id)).toEqual(['good'])
      expect(producer.stats()).toMatchObject({ accepted: 1, buffered: 0 })
    },
  )
}
