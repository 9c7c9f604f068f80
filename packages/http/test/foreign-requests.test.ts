import { randomBytes } from 'node:crypto'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import type { Message } from '@streamswitch/core'
import { describe, expect, it } from 'vitest'
import type { Outgoing } from '../src/message.js'
import { BATCH_TYPE, encodeBatch } from '../src/wire/batch-frames.js'
import { receivedText } from '../src/wire/received-text.js'
import { Bed, consume } from './support/bed.js'
import { curl } from './support/curl.js'

const MAX_PAYLOAD_BYTES = 100_000
const MAX_REQUEST_BYTES = 300_000
const TEXT = Buffer.from(`{"city":"Zürich","list":"${'x'.repeat(1_000)}"}`)

/** A loop that keeps its messages, and what posts a body to it. */
async function open(bed: Bed) {
  const transport = await bed.open({ maxPayloadBytes: MAX_PAYLOAD_BYTES, maxRequestBytes: MAX_REQUEST_BYTES })
  const messages: Message[] = []
  await consume(transport, 'orders', 'billing', (message) => void messages.push(message), { codec: 'bytes' })
  const url = `${transport.base}/orders/billing`
  const post = (body: Buffer, encoding: string, headers: readonly string[] = []) =>
    curl(
      ['-H', `content-encoding: ${encoding}`, ...headers.flatMap((one) => ['-H', one]), '--data-binary', '@-', url],
      body,
    )
  return { messages, url, post }
}

function batch(payloads: readonly Buffer[]): Buffer {
  const fields = { key: undefined, headers: undefined, timestamp: 1, partition: undefined, sequence: undefined }
  const parcels = payloads.map(
    (payload, index): Outgoing => ({
      record: { ...fields, id: `b-${index}`, payload, size: payload.length, resends: 0 },
      attempt: 1,
      unanswered: 0,
      except: undefined,
    }),
  )
  return encodeBatch(parcels)
}

describe('a POST with a content coding', () => {
  it('is decoded: gzip, deflate with and without its head, br, several on top of each other, identity', async () => {
    await using bed = new Bed()
    const { messages, post } = await open(bed)
    const random = randomBytes(MAX_PAYLOAD_BYTES)
    const cases: [string, Buffer, Buffer][] = [
      ['gzip', gzipSync(TEXT), TEXT],
      ['X-GZip', gzipSync(TEXT), TEXT],
      ['deflate', deflateSync(TEXT), TEXT],
      ['deflate', deflateRawSync(TEXT), TEXT],
      ['br', brotliCompressSync(TEXT), TEXT],
      ['identity', TEXT, TEXT],
      ['deflate, identity, gzip', gzipSync(deflateSync(TEXT)), TEXT],
      ['gzip', gzipSync(Buffer.alloc(0)), Buffer.alloc(0)],
      ['gzip', Buffer.alloc(0), Buffer.alloc(0)],
      // Larger than maxPayloadBytes as long as it is encoded.
      ['gzip,gzip', gzipSync(gzipSync(random)), random],
    ]
    for (const [encoding, body] of cases) expect((await post(body, encoding)).status, encoding).toBe(204)
    expect(messages.map(({ bytes }) => bytes)).toEqual(cases.map(([, , decoded]) => decoded))
    for (const { headers } of messages) expect(headers).not.toHaveProperty('content-encoding')
  })

  it('is bounded by what it decodes to, and refused where it is not what it says', async () => {
    await using bed = new Bed()
    const { messages, post } = await open(bed)
    const bomb = Buffer.alloc(5_000_000)
    const cases: [string, Buffer, number][] = [
      ['gzip', gzipSync(Buffer.alloc(MAX_PAYLOAD_BYTES)), 204],
      ['gzip', gzipSync(Buffer.alloc(MAX_PAYLOAD_BYTES + 1)), 413],
      ['br', brotliCompressSync(bomb), 413],
      ['deflate', deflateSync(bomb), 413],
      ['gzip, gzip', gzipSync(gzipSync(bomb)), 413],
      ['gzip', gzipSync(TEXT).subarray(0, -5), 400],
      ['br', TEXT, 400],
      ['deflate', TEXT, 400],
      ['deflate', gzipSync(TEXT), 400],
    ]
    for (const [encoding, body, status] of cases) expect((await post(body, encoding)).status, encoding).toBe(status)
    expect(messages).toHaveLength(1)
  })

  it.each(['zstd', 'compress', 'gzip, aes128gcm', 'utf-8', 'gzip, gzip, gzip, gzip', 'gzip;q=1'])(
    'is answered 415 with what is decoded here: %s',
    async (encoding) => {
      await using bed = new Bed()
      const { messages, post } = await open(bed)
      const answer = await post(TEXT, encoding)
      expect(answer.status).toBe(415)
      expect(answer.headers).toMatchObject({ 'accept-encoding': 'gzip, deflate, br' })
      expect(JSON.parse(answer.body)).toMatchObject({ status: 415, code: 'UNSUPPORTED', retryable: false })
      expect(messages).toEqual([])
    },
  )

  it('may be a batch: as a whole within maxRequestBytes', async () => {
    await using bed = new Bed()
    const { messages, post } = await open(bed)
    const type = [`content-type: ${BATCH_TYPE}`]
    const payloads = [TEXT, Buffer.alloc(MAX_PAYLOAD_BYTES), Buffer.from('end')]
    const answer = await post(gzipSync(batch(payloads)), 'gzip', type)
    expect(answer).toMatchObject({ status: 200, headers: { 'content-type': 'application/x-ndjson' } })
    expect(messages.map(({ bytes }) => bytes?.length).toSorted()).toEqual(
      payloads.map(({ length }) => length).toSorted(),
    )
    const large = batch(Array.from({ length: 4 }, () => Buffer.alloc(MAX_PAYLOAD_BYTES - 1)))
    expect((await post(gzipSync(large), 'gzip', type)).status).toBe(413)
  })
})

describe('text beyond ASCII from curl', () => {
  it('is read as UTF-8 in headers, ids and keys; escapes stay, and what is no UTF-8 is Latin-1', async () => {
    await using bed = new Bed()
    const { messages, url } = await open(bed)
    const headers = [
      'x-city: Zürich',
      'x-owl: 🦉 ü',
      'x-escaped: Z%C3%BCrich',
      "x-extended: UTF-8''Z%C3%BCrich",
      'idempotency-key: bestellung-ä',
      'streamswitch-key: schlüssel',
    ]
    expect((await curl([...headers.flatMap((one) => ['-H', one]), '-d', '{}', url])).status).toBe(204)
    expect(messages[0]).toMatchObject({ id: 'bestellung-ä', key: 'schlüssel' })
    expect(messages[0]?.headers).toMatchObject({
      'x-city': 'Zürich',
      'x-owl': '🦉 ü',
      'x-escaped': 'Z%C3%BCrich',
      'x-extended': "UTF-8''Z%C3%BCrich",
    })
  })

  it('is Latin-1 where it is no UTF-8', () => {
    expect(['Z\xfcrich', 'Z\xc3\xbcrich', '\xc3', 'plain'].map(receivedText)).toEqual([
      'Zürich',
      'Zürich',
      'Ã',
      'plain',
    ])
  })
})
