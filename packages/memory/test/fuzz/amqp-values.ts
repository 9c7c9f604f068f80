import fc, { type Arbitrary } from 'fast-check'

const bytes = (maxLength: number): Arbitrary<Buffer> => fc.uint8Array({ maxLength }).map((one) => Buffer.from(one))
const fixed = (code: number, length: number): Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((one) => Buffer.concat([Buffer.of(code), one]))

function sized(code8: number, content: Buffer, count?: number): Buffer {
  const isShort = content.length < 254 && (count ?? 0) < 256
  const width = isShort ? 1 : 4
  const head = Buffer.alloc(1 + width * (count === undefined ? 1 : 2))
  head[0] = isShort ? code8 : code8 + 0x10
  head.writeUIntBE(content.length + (count === undefined ? 0 : width), 1, width)
  if (count !== undefined) head.writeUIntBE(count, 1 + width, width)
  return Buffer.concat([head, content])
}

const CONSTRUCTORS: readonly (readonly [code: number, length: number])[] = [
  [0x40, 0],
  [0x41, 0],
  [0x43, 0],
  [0x44, 0],
  [0x45, 0],
  [0x50, 1],
  [0x55, 1],
  [0x56, 1],
  [0x60, 2],
  [0x70, 4],
  [0x73, 4],
  [0x72, 4],
  [0x80, 8],
  [0x81, 8],
  [0x82, 8],
  [0x83, 8],
  [0x94, 16],
  [0x98, 16],
]

const { value } = fc.letrec<{ value: Buffer; compound: Buffer; array: Buffer }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(...CONSTRUCTORS.map(([code, length]) => fixed(code, length))),
    fc.tuple(fc.constantFrom(0xa0, 0xa1, 0xa3), bytes(30)).map(([code, content]) => sized(code, content)),
    tie('compound'),
    tie('array'),
    tie('value').map((one) => Buffer.concat([Buffer.of(0x00, 0x53, 0x77), one])),
  ),
  compound: fc
    .tuple(
      fc.constantFrom(0xc0, 0xc1),
      fc.array(tie('value'), { maxLength: 6 }),
      fc.option(fc.nat(300), { nil: undefined, freq: 6 }),
    )
    .map(([code, values, count]) => sized(code, Buffer.concat(values), count ?? values.length)),
  array: fc
    .tuple(fc.constantFrom(...CONSTRUCTORS), fc.oneof(fc.nat(8), fc.constantFrom(65_536, 65_537, 0xffff_ffff)))
    .map(([[code, length], count]) =>
      sized(0xe0, Buffer.concat([Buffer.of(code), Buffer.alloc(Math.min(count, 20) * length, 0x41)]), count),
    ),
}))

/** Values of AMQP 1.0 (part 1, section 1.6), one after the other, valid or nearly so. */
export const amqpValues: Arbitrary<Uint8Array> = fc
  .array(value, { minLength: 1, maxLength: 5 })
  .map((values) => Buffer.concat(values))
