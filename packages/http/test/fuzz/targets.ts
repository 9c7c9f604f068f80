import type { IncomingHttpHeaders } from 'node:http'
import { isStreamError } from '@streamswitch/core'
import { type FuzzTarget, transportSettings, Violation } from '@streamswitch/testkit/fuzz'
import fc, { type Arbitrary } from 'fast-check'
import type { Dispatcher } from 'undici'
import { Exchange } from '../../src/client/exchange.js'
import { refusalOfProblem, refusalOfResponse } from '../../src/client/refusal.js'
import { readRetryAfter } from '../../src/errors.js'
import http from '../../src/index.js'
import { fromRequest, type InboundRecord, toDeliveryFields } from '../../src/message.js'
import { normalTarget, withoutEmptySegments } from '../../src/server/request-target.js'
import { decodeBatch } from '../../src/wire/batch-frames.js'
import { decodeBody, encodingsOf } from '../../src/wire/content-encoding.js'
import { ForeignHeaders } from '../../src/wire/foreign-headers.js'
import { PartReader } from '../../src/wire/reply-parts.js'

const MAX_BYTES = 1024 * 1024
const BOUNDARY = 'multipart/mixed; boundary=reply-000000000000000000000000'
const AWAITED = { url: 'http://host/orders', topic: 'orders', hide: (said: string) => said }
const FOREIGN = new ForeignHeaders()
const isRefusal = (error: unknown): boolean =>
  isStreamError(error) && ['INVALID_ARGUMENT', 'TOO_LARGE', 'UNSUPPORTED'].includes(error.code)

function checked(record: InboundRecord): unknown {
  for (const value of Object.values(record.headers))
    if (typeof value !== 'string') throw new Violation(`a header is a ${typeof value}`)
  if (!Number.isFinite(record.timestamp)) throw new Violation(`the timestamp is ${record.timestamp}`)
  return toDeliveryFields(record, 'billing', 'p', undefined)
}

/** A head as Node.js gives it: lower-case names, values of Latin-1, one of each name. */
function headersOf(text: string): IncomingHttpHeaders {
  const headers: Record<string, string> = {}
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    if (colon > 0 && /^[\w!#$%&'*+.^`|~-]+$/.test(name) && name !== '__proto__')
      headers[name] = line.slice(colon + 1).trim()
  }
  return headers
}

/** Head and body of a message, as the corpus has them. The first line's last number is the status. */
function messageOf(bytes: Buffer): {
  readonly start: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
} {
  const end = bytes.indexOf('\r\n\r\n')
  const head = bytes.toString('latin1', 0, end < 0 ? bytes.length : end)
  const line = head.indexOf('\n')
  return {
    start: line < 0 ? head : head.slice(0, line),
    headers: headersOf(line < 0 ? '' : head.slice(line + 1)),
    body: end < 0 ? Buffer.alloc(0) : bytes.subarray(end + 4),
  }
}

async function readRequest(bytes: Buffer): Promise<unknown> {
  const { start, headers, body } = messageOf(bytes)
  const path = normalTarget(start)
  const encodings = encodingsOf(headers['content-encoding'])
  if (encodings === undefined) return [path, withoutEmptySegments(path)]
  return [
    path,
    withoutEmptySegments(path),
    checked(fromRequest(headers, await decodeBody(body, encodings, MAX_BYTES), FOREIGN)),
  ]
}

/** A response in pieces to an exchange that awaits a reply, or outcomes. Resolves once it is over. */
function readResponse(bytes: Buffer): Promise<unknown> {
  const { start, headers, body } = messageOf(bytes)
  const status = 200 + ((Number(/(\d{1,4})\D*$/.exec(start)?.[1] ?? 200) + 300) % 300)
  const wantsReply = (bytes[0] ?? 0) % 2 === 1
  const read: unknown[] = []
  return new Promise((resolve) => {
    const over = (outcome: unknown): void => resolve([read, outcome, readRetryAfter(headers)])
    const exchange = new Exchange({
      line: (line) => void read.push(line, isProblem(line) ? refusalOfProblem(line, AWAITED) : undefined),
      part: wantsReply ? (part) => void read.push(part) : undefined,
      maxReplyBytes: MAX_BYTES,
      ignoresSuccess: false,
      end: (code, all, content) => over(refusalOfResponse(code, all, content, { ...AWAITED, reply: wantsReply })),
      error: over,
    })
    const controller = { abort() {}, pause() {}, resume() {} } as unknown as Dispatcher.DispatchController
    exchange.onRequestStart(controller)
    exchange.onResponseStart(controller, status, headers)
    const middle = body.length >> 1
    for (const piece of [body.subarray(0, middle), body.subarray(middle)])
      if (piece.length > 0) exchange.onResponseData(controller, piece)
    exchange.onResponseEnd()
  })
}

function isProblem(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function readParts(bytes: Buffer): unknown {
  const parts: unknown[] = []
  const reader = new PartReader(BOUNDARY, { maxPartBytes: MAX_BYTES, take: (part) => void parts.push(part) })
  for (let at = 0; at < bytes.length; at += Math.ceil(bytes.length / 4))
    reader.push(bytes.subarray(at, at + Math.ceil(bytes.length / 4)))
  return parts
}

const anything = fc.jsonValue()
const head = fc.record(
  {
    id: fc.oneof(fc.string(), anything),
    key: fc.oneof(fc.string(), anything),
    timestamp: fc.oneof(fc.nat(), anything),
    headers: fc.oneof(fc.dictionary(fc.oneof(fc.string(), fc.constant('__proto__')), fc.string()), anything),
    attempt: fc.oneof(fc.nat(), fc.dictionary(fc.string(), fc.nat()), anything),
    unanswered: fc.oneof(fc.nat(), anything),
    resend: fc.oneof(fc.nat(), anything),
    except: fc.oneof(fc.array(fc.string()), anything),
    tombstone: fc.oneof(fc.constant(true), anything),
  },
  { requiredKeys: [] },
)
const sized = (bytes: Uint8Array): Buffer => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}
const frames: Arbitrary<Uint8Array> = fc
  .array(fc.tuple(head, fc.uint8Array({ maxLength: 20 })), { minLength: 1, maxLength: 4 })
  .map((all) =>
    Buffer.concat(all.flatMap(([one, payload]) => [sized(Buffer.from(JSON.stringify(one))), sized(payload)])),
  )

const NAMES = [
  'id',
  'key',
  'timestamp',
  'tombstone',
  'headers',
  'encoded-headers',
  'attempt',
  'unanswered',
  'resend',
  'except',
  'reply',
  'reply-part',
  'reply-end',
  'error',
  'error-code',
  'request-id',
].map((name) => `\r\nstreamswitch-${name}: `)
const HTTP_TOKENS = [
  '\r\n\r\n',
  '\r\n',
  '\r\ncontent-encoding: gzip, deflate, br',
  '\r\ncontent-encoding: ',
  '\r\ncontent-type: application/json',
  '\r\ncontent-type: application/x-ndjson',
  '\r\ncontent-type: multipart/mixed; boundary=b',
  '\r\nretry-after: 1',
  '\r\nretry-after: Wed, 21 Oct 2099 07:28:00 GMT',
  '\r\nlocation: //a\\b',
  '%zz',
  '%ff',
  '%00',
  '=',
  '&',
  ',',
  '"groups":{"billing":{"status":200}}',
  '"retryable":',
  '"retryAfterMs":1e999',
  '--b',
  '--',
]

export const TARGETS: readonly FuzzTarget[] = [
  {
    name: 'batch-frames',
    decode: (bytes) => Array.from(decodeBatch(bytes), checked),
    declares: isRefusal,
    dictionary: [
      '{"id":"a"}',
      '"headers":{',
      '"__proto__":',
      '"attempt":{',
      '"except":[',
      '"tombstone":true',
      '1e999',
      '\\u0000',
      '\ud800',
    ],
    inputs: frames,
  },
  { name: 'requests', decode: readRequest, declares: isRefusal, dictionary: [...NAMES, ...HTTP_TOKENS] },
  { name: 'responses', decode: readResponse, declares: isRefusal, dictionary: [...NAMES, ...HTTP_TOKENS] },
  {
    name: 'reply-parts',
    decode: readParts,
    declares: isRefusal,
    dictionary: [
      ...NAMES,
      '\r\n--reply-000000000000000000000000',
      '--\r\n',
      '\r\ncontent-length: ',
      '\r\n\r\n',
      '1e9',
      '9007199254740991',
    ],
  },
  transportSettings(http, [
    'HTTP_LISTEN',
    'HTTP_ROUTES',
    'HTTP_ENDPOINTS',
    'HTTP_LISTEN_PATH',
    'HTTP_PASSWORD',
    'STREAMSWITCH_TOPIC_NAMES',
  ]),
]
