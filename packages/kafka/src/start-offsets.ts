import { type StartPosition, StreamError } from '@streamswitch/core/driver'
import type { GroupMember, Place } from './group-member.js'
import { placeKey } from './group-member.js'

/** What a partition's log holds: offsets from `first` to below `end`. */
export interface LogRange {
  readonly first: number
  readonly end: number
}

type LogReader = Pick<GroupMember, 'logOffsets'>

/** What the logs of partitions hold. */
export async function readRanges(member: LogReader, places: readonly Place[]): Promise<Map<string, LogRange>> {
  const [first, end] = await Promise.all([member.logOffsets(places, 'earliest'), member.logOffsets(places, 'latest')])
  return new Map(places.map(placeKey).map((key) => [key, { first: first.get(key) ?? 0, end: end.get(key) ?? 0 }]))
}

/** An offset that is not in the log, and where reading goes on instead. */
export interface Correction {
  readonly offset: number
  readonly error: StreamError | undefined
}

/** An offset within the log: itself, or where the reset policy leads, with what is to be reported. */
export function withinRange(
  place: Place & { readonly name: string },
  offset: number,
  range: LogRange,
  policy: 'earliest' | 'latest',
): Correction {
  if (offset >= range.first && offset <= range.end) return { offset, error: undefined }
  const reset = policy === 'earliest' ? range.first : range.end
  const why =
    offset < range.first
      ? `messages before offset ${range.first} are gone (retention)`
      : `its end is offset ${range.end}: it was made anew, or lost its tail`
  const error = new StreamError(
    `partition ${place.partition} of '${place.name}' doesn't hold offset ${offset}, ${why}; reading goes on at ${policy} (${reset})`,
    {
      code: 'NOT_FOUND',
      retryable: false,
      transport: 'kafka',
      operation: 'consume',
      topic: place.name,
    },
  )
  return { offset: reset, error }
}

/** The offset that a position means in each partition. A given offset may lie outside of the log. */
export async function resolvePosition(
  member: LogReader,
  places: readonly Place[],
  position: StartPosition,
  ranges: ReadonlyMap<string, LogRange>,
): Promise<Map<string, number>> {
  const found =
    typeof position === 'object' && 'timestamp' in position ? await member.logOffsets(places, position) : undefined
  return new Map(
    places.map(placeKey).map((key) => {
      const range = ranges.get(key) ?? { first: 0, end: 0 }
      if (position === 'earliest') return [key, range.first]
      if (position === 'latest') return [key, range.end]
      if ('offset' in position) return [key, parseOffset(position.offset)]
      const offset = found?.get(key) ?? -1
      return [key, offset < 0 ? range.end : offset]
    }),
  )
}

function parseOffset(text: string): number {
  const offset = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (Number.isSafeInteger(offset)) return offset
  throw new StreamError(`'${text}' is no Kafka offset: a whole number from 0 is`, {
    code: 'INVALID_ARGUMENT',
    transport: 'kafka',
    operation: 'seek',
  })
}
