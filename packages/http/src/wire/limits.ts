import {
  arrivedHeaders,
  arrivedId,
  arrivedKey,
  type Headers,
  MAX_HEADERS_BYTES,
  MAX_TIMESTAMP,
  StreamError,
} from '@streamswitch/core/driver'

/** Maximum number of frames in one batch: the maximum of `maxRequestRecords`, so that every sender of ours stays within it. */
export const MAX_FRAMES = 10_000
/** Maximum size of a frame's head in bytes: 32 KiB of headers, as JSON writes them at worst, and the rest. */
export const MAX_HEAD_BYTES = 256 * 1024
/** Maximum number of headers of one message. */
export const MAX_HEADERS = 1_000
/** Maximum number of groups that one message names in `except`, and in `attempt`. */
export const MAX_GROUPS = 256
/** Maximum number of headers and groups over all frames of one batch. */
export const MAX_BATCH_ENTRIES = 100_000

/** Checks a number against a limit. Throws TOO_LARGE, which is answered 413, with what it is a number of and the limit. */
export function checkLimit(found: number, limit: number, what: string): void {
  if (found <= limit) return
  throw new StreamError(`${what}: the limit is ${limit}`, {
    code: 'TOO_LARGE',
    transport: 'http',
    operation: 'receive',
  })
}

/** How many parts a list in a header has, without taking it apart. */
export function countParts(list: string, separator: string): number {
  let count = list === '' ? 0 : 1
  for (let at = list.indexOf(separator); at >= 0; at = list.indexOf(separator, at + 1)) count += 1
  return count
}

/** Whether a sender of ours may have sent it as an id; as a key; as a timestamp. */
export function isId(id: unknown): id is string {
  return typeof id === 'string' && arrivedId(id) === id
}

export function isKey(key: unknown): key is string {
  return typeof key === 'string' && arrivedKey(key) === key
}

export function isTimestamp(timestamp: unknown): timestamp is number {
  return Number.isInteger(timestamp) && (timestamp as number) >= 0 && (timestamp as number) <= MAX_TIMESTAMP
}

/** Throws INVALID_ARGUMENT for headers with a name that no sender of ours takes, TOO_LARGE for more bytes of them. */
export function checkHeaders(headers: Headers, where: string): void {
  if (arrivedHeaders(headers).leftOut === 0) return
  if (Object.keys(headers).some((name) => arrivedHeaders({ [name]: '' }).leftOut > 0)) {
    throw new StreamError(`${where} has a header with a name that can't be sent`, {
      code: 'INVALID_ARGUMENT',
      transport: 'http',
      operation: 'receive',
    })
  }
  throw new StreamError(`${where} has more bytes of headers than the limit of ${MAX_HEADERS_BYTES}`, {
    code: 'TOO_LARGE',
    transport: 'http',
    operation: 'receive',
  })
}
