import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type RawEntry, readEntries } from '../src/message.js'

test('a foreign entry, whatever its fields are, becomes a delivery of texts', () => {
  const known = fc.constantFrom(
    'payload',
    'key',
    'id',
    'timestamp',
    'h.__proto__',
    'h.constructor',
    'h.',
    'streamswitch-tombstone',
    '__proto__',
  )
  const field = fc.oneof(
    known.map((name) => Buffer.from(name)),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  )
  const value = fc.uint8Array().map((bytes) => Buffer.from(bytes))
  const assignment = { topic: 'orders', partition: 0, epoch: 1 }
  fc.assert(
    fc.property(fc.array(fc.tuple(field, value)), fc.option(value, { nil: undefined }), (pairs, attempts) => {
      const entry: RawEntry =
        attempts === undefined ? [Buffer.from('5-1'), pairs.flat()] : [Buffer.from('5-1'), pairs.flat(), attempts]
      const { deliveries } = readEntries([entry], assignment, undefined)
      const [delivery] = deliveries
      for (const one of Object.values(delivery?.headers ?? {})) expect(typeof one).toBe('string')
      expect(typeof delivery?.id).toBe('string')
      expect(Number.isNaN(delivery?.timestamp)).toBe(false)
      expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
    }),
  )
})

test('entries with binary ids are told apart, and each is recognised when it comes again', () => {
  const idOf = (hex: string, entryId: string): string | undefined => {
    const fields = [Buffer.from('payload'), Buffer.from('x'), Buffer.from('id'), Buffer.from(hex, 'hex')]
    return readEntries([[Buffer.from(entryId), fields]], { topic: 'orders', partition: 0, epoch: 1 }, undefined)
      .deliveries[0]?.id
  }
  expect(idOf('ff', '1-1')).toMatch(/^sha256-[0-9a-f]{64}$/)
  expect(idOf('ff', '1-1')).not.toBe(idOf('fe', '1-1'))
  expect(idOf('ff', '1-1')).toBe(idOf('ff', '2-1'))
})
