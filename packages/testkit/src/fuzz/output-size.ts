const NODE_BYTES = 16

/**
 * Bytes that a value takes, roughly: characters, buffers that are no views of `input`, and 16 for each object, element and number. Counting ends once
 * `enough` is exceeded.
 */
export function outputSize(value: unknown, input: Buffer, enough: number): number {
  const seen = new Set<object>()
  const rest: unknown[] = [value]
  let bytes = 0
  while (rest.length > 0 && bytes <= enough) {
    const one = rest.pop()
    bytes += NODE_BYTES
    if (typeof one === 'string') bytes += one.length
    if (typeof one !== 'object' || one === null || seen.has(one)) continue
    seen.add(one)
    if (ArrayBuffer.isView(one)) bytes += one.buffer === input.buffer ? 0 : one.byteLength
    // Elements that are beyond the limit need not be looked at.
    else if (Array.isArray(one) && one.length * NODE_BYTES > enough) bytes += one.length * NODE_BYTES
    else for (const part of partsOf(one)) rest.push(part)
  }
  return bytes
}

function* partsOf(value: object): Generator<unknown> {
  if (value instanceof Map) {
    for (const [key, one] of value) {
      yield key
      yield one
    }
  } else if (value instanceof Set || Array.isArray(value)) yield* value as Iterable<unknown>
  else {
    for (const [name, one] of Object.entries(value)) {
      yield name
      yield one
    }
  }
}
