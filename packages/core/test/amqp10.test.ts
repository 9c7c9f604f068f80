import { describe, expect, test } from 'vitest'
import { AmqpReader, type AmqpValue, amqpBodyOf, toHeaderText } from '../src/formats/amqp10.js'

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
  ['e00a02700000000700000008', [7, 8], '[7,8]'],
  ['e00702005305500102', [1, 2], '[1,2]'],
  ['e0020341', [true, true, true], '[true,true,true]'],
  ['c00a01830000018bcfe56800', [new Date(1_700_000_000_000)], '[1700000000000]'],
  ['c00501a00201ff', [Buffer.from([1, 255])], '["Af8="]'],
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

test.each([
  ['a text', '005377a102c3a9', 'é'],
  ['a symbol', '005377a30161', 'a'],
  ['bytes', '005377a00201ff', '\u0001\ufffd'],
  ['nothing', '00537740', 'null'],
  ['a number', '00537754fe', '-2'],
  ['a long', '00537780ffffffffffffffff', '18446744073709551615'],
  ['a truth value', '00537741', 'true'],
  ['a time', '005377830000018bcfe56800', '1700000000000'],
  ['a list', '005377c0050241a10161', '[true,"a"]'],
  ['a map', '005377c10502a1016143', '{"a":0}'],
  ['data in two sections', '005375a00161005375a00162', 'ab'],
  ['an empty sequence', '00537645', '[]'],
  ['two sequences', '005376c003024142005376c0020140', '[true,false,null]'],
  ['a symbolic descriptor', '00a310616d71703a646174613a62696e617279a00161', 'a'],
])('a body that is %s', (_what, hex, text) => {
  expect(amqpBodyOf(Buffer.from(hex, 'hex'))?.toString()).toBe(text)
})

test('what is no body: no sections, others, and an array that claims more than a message can hold', () => {
  for (const hex of ['616263', '0053734500537541', 'f0', '005377f000000005ffffffff40'])
    expect(amqpBodyOf(Buffer.from(hex, 'hex')), hex).toBeUndefined()
})
