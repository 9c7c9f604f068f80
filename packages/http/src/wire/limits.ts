import { StreamError } from '@streamswitch/core/driver'

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
