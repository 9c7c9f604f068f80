import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { backoffDelayMs } from '../src/backoff.js'
import { bytesCodec, jsonCodec, textCodec } from '../src/codec.js'
import { Deque } from '../src/deque.js'
import { isPortableName } from '../src/names.js'

describe('codecs', () => {
  it('JSON, text and bytes come back as they went', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string({ unit: 'grapheme' }), fc.uint8Array(), (json, text, bytes) => {
        expect(jsonCodec.decode(jsonCodec.encode(json))).toEqual(JSON.parse(JSON.stringify(json)))
        expect(textCodec.decode(textCodec.encode(text))).toBe(text)
        expect(new Uint8Array(bytesCodec.decode(bytesCodec.encode(bytes)))).toEqual(bytes)
      }),
    )
  })

  it('refuses what has no form, and bytes that are none', () => {
    for (const value of [() => {}, Symbol('x')]) expect(() => jsonCodec.encode(value)).toThrow(TypeError)
    expect(() => jsonCodec.encode(1n)).toThrow(TypeError)
    expect(() => bytesCodec.encode('text' as never)).toThrow(TypeError)
    expect(() => textCodec.encode(5 as never)).toThrow(TypeError)
    expect(() => textCodec.decode(Buffer.from([0xff, 0xfe]))).toThrow(TypeError)
    expect(() => jsonCodec.decode(Buffer.from('{'))).toThrow(SyntaxError)
    expect(() => jsonCodec.decode(Buffer.alloc(0))).toThrow(SyntaxError)
  })

  it('reads JSON with one byte order mark, which the text and bytes codecs keep', () => {
    const marked = (text: string): Buffer => Buffer.from(`\ufeff${text}`)
    expect(jsonCodec.decode(marked('{"city":"Zürich"}'))).toEqual({ city: 'Zürich' })
    expect(textCodec.decode(marked('x'))).toBe('\ufeffx')
    expect(bytesCodec.decode(marked('x'))).toEqual(marked('x'))
    for (const bytes of [marked(''), marked('\ufeff1'), Buffer.from('\ufeff1', 'utf16le'), Buffer.from([0xef, 0xbb])])
      expect(() => jsonCodec.decode(bytes)).toThrow()
  })

  it('a prototype key in JSON is a plain property', () => {
    const value = jsonCodec.decode(Buffer.from('{"__proto__": {"admin": true}}')) as object
    expect(({} as { admin?: boolean }).admin).toBeUndefined()
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
  })
})

describe('Deque', () => {
  it('behaves like a list', () => {
    const step = fc.oneof(
      fc.record({ push: fc.integer() }),
      fc.record({ unshift: fc.integer() }),
      fc.constant('shift' as const),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const deque = new Deque<number>()
        const list: number[] = []
        for (const one of steps) {
          if (one === 'shift') expect(deque.shift()).toBe(list.shift())
          else if ('push' in one) {
            deque.push(one.push)
            list.push(one.push)
          } else {
            deque.unshift(one.unshift)
            list.unshift(one.unshift)
          }
          expect(deque.length).toBe(list.length)
          expect(deque.peek()).toBe(list[0])
        }
        expect([...deque]).toEqual(list)
      }),
    )
  })
})

describe('names and waits', () => {
  it.each(['a', 'orders', '0.9_x-y', 'a'.repeat(100)])('%s is portable', (name) =>
    expect(isPortableName(name)).toBe(true),
  )
  it.each(['', 'A', '.a', '-a', 'a b', 'ä', 'a/b', 'a:b', 'a'.repeat(101), 5, undefined])('%s is not', (name) =>
    expect(isPortableName(name)).toBe(false),
  )

  it('backoff grows, is capped, and is spread over its upper half', () => {
    const backoff = { minDelayMs: 100, maxDelayMs: 1000, factor: 2 }
    expect([1, 2, 3, 4, 5, 50].map((attempt) => backoffDelayMs(backoff, attempt, () => 1))).toEqual([
      100, 200, 400, 800, 1000, 1000,
    ])
    expect(backoffDelayMs(backoff, 1, () => 0)).toBe(50)
  })
})
