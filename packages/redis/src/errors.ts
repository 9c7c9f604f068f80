import { type ErrorCode, isStreamError, messageOf, StreamError, systemErrorMeaning } from '@streamswitch/core/driver'
import { missingRight } from './missing-right.js'

interface Rule {
  /** Tested against the native error's code, if it has one, and message, as `code: message`. */
  readonly pattern: RegExp
  readonly code: ErrorCode
  readonly retryable?: boolean | undefined
  readonly message: string | ((native: unknown) => string)
}

/** Rules for native errors; the first match is used. Redis begins messages with its error code. */
const RULES: readonly Rule[] = [
  {
    pattern: /\b(NOAUTH|WRONGPASS)\b|invalid username-password|AUTH failed|invalid password/,
    code: 'UNAUTHENTICATED',
    message: 'the server refused the credentials: check username and password',
  },
  {
    pattern: /\bNOPERM\b|ACL failure/,
    code: 'PERMISSION_DENIED',
    message: (native) => `the user lacks a permission: ${missingRight(native)}; grant it, see docs/rights.md`,
  },
  {
    pattern: /\bOOM\b/,
    code: 'RESOURCE_EXHAUSTED',
    message: 'the server is out of memory (maxmemory): raise the limit, or limit the topic by retention',
  },
  { pattern: /\bLOADING\b/, code: 'UNAVAILABLE', message: 'the server is still loading its data' },
  {
    pattern: /\bREADONLY\b/,
    code: 'UNAVAILABLE',
    message: 'the server is a read-only replica: connect to the primary',
  },
  { pattern: /\bMASTERDOWN\b/, code: 'UNAVAILABLE', message: 'the server has lost its primary' },
  {
    pattern: /\bMISCONF\b/,
    code: 'UNAVAILABLE',
    message: "the server can't persist and refuses writes: check its log",
  },
  {
    pattern: /\bNOREPLICAS\b/,
    code: 'UNAVAILABLE',
    message: 'the server has too few replicas (min-replicas-to-write)',
  },
  { pattern: /\bBUSY\b.*script/, code: 'UNAVAILABLE', message: 'the server is busy with a long script' },
  { pattern: /\b(CLUSTERDOWN|TRYAGAIN)\b/, code: 'UNAVAILABLE', message: 'the cluster is not ready' },
  {
    pattern: /\b(MOVED|ASK) \d|CROSSSLOT/,
    code: 'UNSUPPORTED',
    message: 'the server is part of a Redis Cluster, which this transport does not support',
  },
  {
    pattern: /max number of clients/,
    code: 'RESOURCE_EXHAUSTED',
    message: 'the server has reached its client limit: raise maxclients, or use fewer connections',
  },
  {
    pattern: /\bNOGROUP\b/,
    code: 'NOT_FOUND',
    retryable: true,
    message: 'the consumer group or its stream no longer exists',
  },
  { pattern: /\bNOSCRIPT\b/, code: 'UNAVAILABLE', message: 'the server no longer has a script in its cache' },
  {
    pattern: /\bWRONGTYPE\b/,
    code: 'CONFLICT',
    message: 'a key that the topic needs holds another type of value: choose another topic or prefix',
  },
  {
    pattern: /\bSSVERSION\b/,
    code: 'UNSUPPORTED',
    message: 'what is stored was written by a newer version of Streamswitch: update this process',
  },
  {
    pattern: /WAITAOF cannot be used/,
    code: 'UNSUPPORTED',
    message: "durability: 'fsync' requires an append-only file: set appendonly yes on the server",
  },
  {
    pattern: /DB index is out of range|invalid DB index/,
    code: 'INVALID_ARGUMENT',
    message: 'the server has no such database: check the path of the URL',
  },
  {
    pattern: /unknown (sub)?command/i,
    code: 'UNSUPPORTED',
    message: 'the server lacks a command: Redis 7.0 or newer is required',
  },
  {
    pattern: /invalid bulk length|string exceeds maximum allowed size/,
    code: 'TOO_LARGE',
    message: 'the message is larger than the server accepts (proto-max-bulk-len)',
  },
  {
    pattern:
      /ERR_TLS_CERT|SELF_SIGNED_CERT|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|CERT_HAS_EXPIRED|CERT_NOT_YET_VALID|CERT_UNTRUSTED/,
    code: 'UNAUTHENTICATED',
    message: "the server's certificate is not trusted: check tlsCaFile and tlsServerName",
  },
  {
    pattern: /ERR_SSL|\bEPROTO\b/,
    code: 'INVALID_ARGUMENT',
    message: 'the TLS handshake failed: check that it is a TLS port',
  },
  { pattern: /ECONNREFUSED/, code: 'UNAVAILABLE', message: 'nothing listens at the address' },
  { pattern: /ENOTFOUND|EAI_AGAIN/, code: 'UNAVAILABLE', message: "the host name can't be resolved" },
  {
    pattern: /Command timed out|Blocking command timed out|ETIMEDOUT|Socket timeout/i,
    code: 'UNAVAILABLE',
    message: 'the server did not answer in time',
  },
  {
    pattern:
      /ECONNRESET|EPIPE|EHOSTUNREACH|ENETUNREACH|ECONNABORTED|Connection is closed|connection close|isn't writeable|Socket closed/i,
    code: 'UNAVAILABLE',
    message: 'the connection is gone',
  },
]

/** The adapter's table of native errors: Redis's error replies, Node's and TLS's codes, ioredis's own errors. */
export function classifyError(native: unknown, operation: string, topic?: string): StreamError {
  if (isStreamError(native)) return native
  const text = describe(native)
  const rule = systemRule(native) ?? RULES.find(({ pattern }) => pattern.test(text))
  const message = typeof rule?.message === 'function' ? rule.message(native) : rule?.message
  return new StreamError(message === undefined ? `${operation} failed: ${text}` : `${message} (${text})`, {
    code: rule?.code ?? 'UNKNOWN',
    retryable: rule?.retryable,
    transport: 'redis',
    operation,
    topic,
    cause: withoutCommand(native),
  })
}

/** True for an error reply with this code or message, also one that passed through a script. */
export function isReply(
  error: unknown,
  code: 'NOSCRIPT' | 'NOGROUP' | 'NOPERM' | 'READONLY' | 'unknown command' | 'max number of clients',
): boolean {
  return error instanceof Error && error.message.includes(code)
}

/** The partition belongs to another member. */
export function fencedError(topic: string, partition: number, operation: string): StreamError {
  return new StreamError(`partition ${partition} of '${topic}' now belongs to another member`, {
    code: 'ABORTED',
    retryable: false,
    transport: 'redis',
    operation,
    topic,
  })
}

/** Core's meaning of a socket or TLS code, when there is nothing to add. */
function systemRule(native: unknown): Omit<Rule, 'pattern'> | undefined {
  const code = native instanceof Error && 'code' in native ? String(native.code) : ''
  const meaning = systemErrorMeaning(code)
  if (meaning?.advice === undefined || !/^ERR_SSL_.*ALERT|^E(MFILE|NFILE|NOBUFS|NOMEM|ADDRNOTAVAIL)$/.test(code))
    return undefined
  const { advice: message, ...rest } = meaning
  return { ...rest, message }
}

function describe(native: unknown): string {
  if (!(native instanceof Error)) return messageOf(native)
  const code = 'code' in native && typeof native.code === 'string' ? `${native.code}: ` : ''
  return `${code}${native.message}`
}

/** ioredis attaches the command to its errors, and with it passwords and payloads. */
function withoutCommand(native: unknown): unknown {
  if (native instanceof Error) Reflect.deleteProperty(native, 'command')
  return native
}
