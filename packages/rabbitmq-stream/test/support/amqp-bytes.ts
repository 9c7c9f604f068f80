/** Encodes AMQP 1.0 as foreign clients do, in every form that the standard allows. Part 1, section 1.6. */

export const hex = (text: string): Buffer => Buffer.from(text, 'hex')

function sized(code8: number, content: Buffer): Buffer {
  if (content.length < 256) return Buffer.concat([Buffer.of(code8, content.length), content])
  const size = Buffer.alloc(4)
  size.writeUInt32BE(content.length)
  return Buffer.concat([Buffer.of(code8 + 0x10), size, content])
}

export const text = (value: string): Buffer => sized(0xa1, Buffer.from(value))
export const binary = (value: Buffer): Buffer => sized(0xa0, value)
export const symbol = (value: string): Buffer => sized(0xa3, Buffer.from(value))

function compound(code8: number, values: readonly Buffer[]): Buffer {
  const content = Buffer.concat(values)
  if (content.length < 250 && values.length < 256)
    return Buffer.concat([Buffer.of(code8, content.length + 1, values.length), content])
  const head = Buffer.alloc(9)
  head.writeUInt8(code8 + 0x10)
  head.writeUInt32BE(content.length + 4, 1)
  head.writeUInt32BE(values.length, 5)
  return Buffer.concat([head, content])
}

export const list = (values: readonly Buffer[]): Buffer => compound(0xc0, values)
export const map = (pairs: readonly (readonly [Buffer, Buffer])[]): Buffer => compound(0xc1, pairs.flat())

/** A section with its descriptor as a small number. */
export const section = (descriptor: number, value: Buffer): Buffer =>
  Buffer.concat([Buffer.of(0x00, 0x53, descriptor), value])
/** The same with its descriptor's name. */
export const namedSection = (name: string, value: Buffer): Buffer =>
  Buffer.concat([Buffer.of(0x00), symbol(name), value])
