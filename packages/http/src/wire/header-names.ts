import { RESERVED_PREFIX, WIRE_HEADERS } from '@streamswitch/core/driver'

/** Headers that travel with a single message besides the user's own. */
export const HTTP_HEADERS = {
  /** Percent-encoded. `idempotency-key` carries the same text for intermediaries. */
  id: WIRE_HEADERS.id,
  /** Percent-encoded; empty is the empty key, none is no key. */
  key: WIRE_HEADERS.key,
  timestamp: WIRE_HEADERS.timestamp,
  tombstone: WIRE_HEADERS.tombstone,
  idempotencyKey: 'idempotency-key',
  /** Names of the user's headers that travel as themselves, separated by commas. */
  plain: 'streamswitch-headers',
  /** The user's other headers: `name=value&…`, both percent-encoded. */
  encoded: 'streamswitch-encoded-headers',
  /** Which start of a handler this would be, from 1; for several groups `billing=2,audit=1`. */
  attempt: 'streamswitch-attempt',
  /** How many of those sendings ended without an answer, so that nobody knows whether a handler was started. */
  unanswered: 'streamswitch-unanswered',
  /** How often the sender sent it before: 0 at the first time. */
  resend: 'streamswitch-resend',
  /** Groups that have accepted it already, separated by commas. */
  except: 'streamswitch-except',
} as const

/**
 * Names that HTTP, proxies or the libraries give a meaning to. A user's header of that name travels encoded; of a foreign
 * request they don't become headers of the message, `content-type` apart.
 */
const OF_HTTP = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'authorization',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'cookie',
  'date',
  'expect',
  'host',
  'http2-settings',
  'idempotency-key',
  'keep-alive',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
  'via',
])

export function belongsToHttp(name: string): boolean {
  return OF_HTTP.has(name) || name.startsWith('proxy-') || name.startsWith('sec-') || name.startsWith('if-')
}

/** Lower-case token characters of RFC 9110, section 5.6.2. */
const PLAIN_NAME = /^[a-z0-9!#$%&'*+.^_`|~-]{1,100}$/
/** Printable ASCII that neither begins nor ends with a space: nothing on the way may change it. */
const PLAIN_VALUE = /^[!-~](?:[ -~]*[!-~])?$/

/** Whether a user's header may travel as itself. */
export function travelsPlain(name: string, value: string): boolean {
  // Node.js keeps received headers in a plain object, which has no room for __proto__.
  return (
    name !== '__proto__' &&
    PLAIN_NAME.test(name) &&
    PLAIN_VALUE.test(value) &&
    !belongsToHttp(name) &&
    !name.startsWith(RESERVED_PREFIX)
  )
}
