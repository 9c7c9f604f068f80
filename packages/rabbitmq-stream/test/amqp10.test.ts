import { describe, expect, test } from 'vitest'
import { AmqpReader, type AmqpValue, toHeaderText } from '../src/amqp10.js'

const VALUES: readonly (readonly [string, AmqpValue, string | undefined])[] = [
  ['40', null, ''],
  ['41', true, 'true'],
  ['42', false, 'false'],
  ['5600', false, 'false'],
  ['43', 0, '0'],
  ['44', 0, '0'],
  ['50ff', 255, '255'],
  ['60ffff', 65_535, '65535'],
  ['70ffffffff', 4_294_967_295, '4294967295'],
  ['80ffffffffffffffff', 18_446_744_073_709_551_615n, '18446744073709551615'],
  ['51ff', -1, '-1'],
  ['61ff00', -256, '-256'],
  ['71ffffffff', -1, '-1'],
  ['810000018bcfe56800', 1_700_000_000_000, '1700000000000'],
  ['54fe', -2, '-2'],
  ['723fc00000', 1.5, '1.5'],
  ['823ff8000000000000', 1.5, '1.5'],
  ['830000018bcfe56800', new Date(1_700_000_000_000), '1700000000000'],
  ['730001f989', '🦉', '🦉'],
  [
    '98000102030405060708090a0b0c0d0e0f',
    '00010203-0405-0607-0809-0a0b0c0d0e0f',
    '00010203-0405-0607-0809-0a0b0c0d0e0f',
  ],
  ['a00201ff', Buffer.from([1, 255]), undefined],
  ['a100', '', ''],
  ['a102c3a9', 'é', 'é'],
  ['b10000000161', 'a', 'a'],
  ['a30161', 'a', 'a'],
  ['45', [], '[]'],
  ['c0050241a10161', [true, 'a'], '[true,"a"]'],
  ['c10502a1016143', new Map([['a', 0]]), '{"a":0}'],
  ['e00402500102', [1, 2], '[1,2]'],
]

describe('AMQP 1.0 values', () => {
  test.each(VALUES)('%s', (hex, value, text) => {
    const bytes = Buffer.from(hex, 'hex')
    const reader = new AmqpReader(bytes)
    const read = reader.value()
    expect(read).toEqual(value)
    expect(reader.at).toBe(bytes.length)
    expect(toHeaderText(read)).toBe(text)
    const skipping = new AmqpReader(bytes)
    skipping.skip()
    expect(skipping.at).toBe(bytes.length)
  })

  test.each(['', 'a1', 'a10561', '70ff', 'b1ffffffff', 'd0ffffffffffffffff', '01', '2f'])(
    '%j is refused, not misread',
    (hex) => {
      const bytes = Buffer.from(hex, 'hex')
      expect(() => new AmqpReader(bytes).value()).toThrow(RangeError)
    },
  )
})
