import fc, { type Arbitrary } from 'fast-check'

const fixed = (tag: string, length: number): Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => Buffer.concat([Buffer.from(tag), bytes]))
const long = (tag: string, content: Buffer): Buffer => {
  const head = Buffer.alloc(5)
  head.write(tag, 0, 'latin1')
  head.writeUInt32BE(content.length, 1)
  return Buffer.concat([head, content])
}
const short = (bytes: Buffer): Buffer => Buffer.concat([Buffer.of(bytes.length), bytes])
const bytes = fc.uint8Array({ maxLength: 24 }).map((one) => Buffer.from(one))
const name = fc.oneof(
  bytes,
  fc
    .constantFrom(
      'streamswitch-key',
      'streamswitch-id',
      'streamswitch-timestamp',
      'streamswitch-headers',
      'streamswitch-reply-to',
      'x-death',
      'CC',
      '__proto__',
      'a',
    )
    .map((text) => Buffer.from(text)),
)

const { value, table } = fc.letrec<{ value: Buffer; table: Buffer }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.oneof(
      fixed('V', 0),
      fixed('t', 1),
      fixed('b', 1),
      fixed('B', 1),
      fixed('s', 2),
      fixed('u', 2),
      fixed('I', 4),
      fixed('i', 4),
      fixed('f', 4),
      fixed('D', 5),
      fixed('l', 8),
      fixed('d', 8),
      fixed('T', 8),
    ),
    bytes.map((content) => long('S', content)),
    bytes.map((content) => long('x', content)),
    fc.array(tie('value'), { maxLength: 4 }).map((values) => long('A', Buffer.concat(values))),
    tie('table').map((content) => long('F', content)),
  ),
  table: fc
    .array(fc.tuple(name, tie('value')), { maxLength: 5 })
    .map((pairs) => Buffer.concat(pairs.flatMap(([key, one]) => [short(key), one]))),
}))

const text = fc.oneof(bytes.map(short), value.map((one) => one.subarray(0, 200)).map(short))
const FLAGS = [
  'content-type',
  'content-encoding',
  'headers',
  'delivery-mode',
  'priority',
  'correlation-id',
  'reply-to',
  'expiration',
  'message-id',
  'timestamp',
  'type',
  'user-id',
  'app-id',
  'cluster-id',
].length

/** Flags and values of a content header (AMQP 0-9-1, section 4.2.6.1), valid or nearly so. */
export const contentHeaders: Arbitrary<Uint8Array> = fc
  .record({
    chosen: fc.array(fc.boolean(), { minLength: FLAGS, maxLength: FLAGS }),
    texts: fc.array(text, { minLength: 11, maxLength: 11 }),
    headers: table,
    numbers: fc.uint8Array({ minLength: 10, maxLength: 10 }),
  })
  .map(({ chosen, texts, headers, numbers }) => {
    const parts: Buffer[] = [Buffer.alloc(2)]
    let flags = 0
    let nextText = 0
    for (const [index, isThere] of chosen.entries()) {
      if (!isThere) continue
      flags |= 1 << (15 - index)
      if (index === 2) parts.push(long('F', headers).subarray(1))
      else if (index === 3 || index === 4) parts.push(Buffer.of(numbers[index] as number))
      else if (index === 9) parts.push(Buffer.from(numbers.subarray(0, 8)))
      else parts.push(texts[nextText++] as Buffer)
    }
    const whole = Buffer.concat(parts)
    whole.writeUInt16BE(flags & 0xffff, 0)
    return whole
  })
