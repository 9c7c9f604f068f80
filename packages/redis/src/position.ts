import { type StartPosition, StreamError } from '@streamswitch/core/driver'

const SHAPE = /^(\d{1,20})(?:-(\d{1,20}))?$/
const MAX_PART = 18446744073709551615n

/** Compares two entry ids as numbers: `9-1` is before `10-0`. */
export function compareIds(left: string, right: string): number {
  const leftDash = left.indexOf('-')
  const rightDash = right.indexOf('-')
  return (
    compareNumbers(left.slice(0, leftDash), right.slice(0, rightDash)) ||
    compareNumbers(left.slice(leftDash + 1), right.slice(rightDash + 1))
  )
}

/** Decimal numbers without leading zeros: the longer one is larger. */
function compareNumbers(left: string, right: string): number {
  if (left.length !== right.length) return left.length - right.length
  return left < right ? -1 : left > right ? 1 : 0
}

/** Time at which the server received an entry, in milliseconds since the epoch. */
export function millisecondsOf(id: string): number {
  return Number(id.slice(0, id.indexOf('-')))
}

/**
 * The argument of `XGROUP CREATE` and `SETID` for a start position: the id of the last entry that is not to be
 * delivered. Throws INVALID_ARGUMENT for an offset that isn't an entry id.
 */
export function startId(position: StartPosition | undefined): string {
  if (position === undefined || position === 'earliest') return '0-0'
  if (position === 'latest') return '$'
  if ('timestamp' in position) return position.timestamp === 0 ? '0-0' : `${position.timestamp - 1}-${MAX_PART}`
  return before(position.offset)
}

function before(offset: string): string {
  const match = SHAPE.exec(offset)
  const milliseconds = BigInt(match?.[1] ?? 0)
  const sequence = BigInt(match?.[2] ?? 0)
  if (match === null || milliseconds > MAX_PART || sequence > MAX_PART) {
    throw new StreamError(
      `invalid offset '${offset.slice(0, 60)}': expected the entry id of a Redis stream, such as 1700000000000-0`,
      {
        code: 'INVALID_ARGUMENT',
        transport: 'redis',
        operation: 'seek',
      },
    )
  }
  if (sequence > 0n) return `${milliseconds}-${sequence - 1n}`
  return milliseconds === 0n ? '0-0' : `${milliseconds - 1n}-${MAX_PART}`
}

/** Returns '1' for a start position that names one entry: it may be outside of what a stream holds. */
export function namesEntry(position: StartPosition | undefined): '1' | '' {
  return typeof position === 'object' && 'offset' in position ? '1' : ''
}

/** Returns what a script replies for a position outside of a stream; `undefined` for any other reply. */
export function outsideOf(
  reply: unknown,
): { readonly first: string | undefined; readonly last: string | undefined } | undefined {
  if (!Array.isArray(reply) || String(reply[0]) !== 'outside') return undefined
  const first = String(reply[1])
  return first === '' ? { first: undefined, last: undefined } : { first, last: String(reply[2]) }
}
