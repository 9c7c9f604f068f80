import { type Logger, type StartPosition, StreamError } from '@streamswitch/core/driver'
import { decodeMetadata } from './commit-metadata.js'
import type { GroupMember } from './group-member.js'
import { type Place, placeKey } from './places.js'
import { PROCESS } from './process-name.js'

/** Where reading a partition begins, and what is on record about it. */
export interface IntakeStart {
  readonly offset: number
  /** Handler starts, by offset. */
  readonly attempts: ReadonlyMap<number, number>
  /** Offsets below this one may have been at work in a process that died. */
  readonly suspectBelow: number
}

export interface PositionSettings {
  readonly group: string
  readonly from: StartPosition | undefined
  /** What to do with a position outside of the log. */
  readonly outOfRange: 'earliest' | 'latest'
  readonly logger: Logger
  /** As the user names it. */
  topicName(brokerTopic: string): string
  report(error: StreamError): void
}

/** Finds the offsets at which a group reads on. */
export class Positions {
  readonly #member: Pick<GroupMember, 'committed' | 'logOffsets'>
  readonly #settings: PositionSettings

  constructor(member: Pick<GroupMember, 'committed' | 'logOffsets'>, settings: PositionSettings) {
    this.#member = member
    this.#settings = settings
  }

  /** Where each partition begins: at its commit, or where a new group is to start. */
  async starts(places: readonly Place[]): Promise<Map<string, IntakeStart>> {
    if (places.length === 0) return new Map()
    const { from, topicName } = this.#settings
    const [committed, ranges] = await Promise.all([this.#member.committed(places), readRanges(this.#member, places)])
    const fresh = places.filter((place) => (committed.get(placeKey(place))?.offset ?? -1) < 0)
    if (from !== undefined && fresh.length < places.length) this.#tellIgnoredFrom(places.length - fresh.length)
    const initial = await resolvePosition(this.#member, fresh, from ?? 'earliest', ranges)
    return new Map(
      places.map((place) => {
        const key = placeKey(place)
        const found = committed.get(key)
        const range = ranges.get(key) ?? EMPTY
        const offset = this.#corrected(place, initial.get(key) ?? found?.offset ?? 0, range)
        const metadata =
          offset === found?.offset ? decodeMetadata(offset, found.metadata, topicName(place.topic)) : undefined
        const suspicious = metadata !== undefined && !metadata.clean && metadata.owner !== PROCESS
        // What was appended later can't have been delivered by the dead.
        const suspectBelow = suspicious ? Math.min(metadata.deliveredBelow, range.end) : 0
        return [key, { offset, attempts: metadata?.attempts ?? new Map(), suspectBelow }]
      }),
    )
  }

  /** The offset that a position means in a partition; one outside of the log is reported. Rejects with INVALID_ARGUMENT. */
  async resolve(place: Place, position: StartPosition): Promise<number> {
    const ranges = await readRanges(this.#member, [place])
    const offsets = await resolvePosition(this.#member, [place], position, ranges)
    return this.#corrected(place, offsets.get(placeKey(place)) ?? 0, ranges.get(placeKey(place)) ?? EMPTY)
  }

  #corrected(place: Place, offset: number, range: LogRange): number {
    const { offset: corrected, error } = withinRange(
      place,
      this.#settings.topicName(place.topic),
      offset,
      range,
      this.#settings.outOfRange,
    )
    if (error !== undefined) this.#settings.report(error)
    return corrected
  }

  #tellIgnoredFrom(partitions: number): void {
    const { logger, group } = this.#settings
    logger.info(`kafka: 'from' holds for a new group only; ${group} goes on where it was in ${partitions} partitions`)
  }
}

/** What a partition's log holds: offsets from `first` to below `end`. */
export interface LogRange {
  readonly first: number
  readonly end: number
}

const EMPTY: LogRange = { first: 0, end: 0 }

type LogReader = Pick<GroupMember, 'logOffsets'>

/** What the logs of partitions hold. */
export async function readRanges(member: LogReader, places: readonly Place[]): Promise<Map<string, LogRange>> {
  const [first, end] = await Promise.all([member.logOffsets(places, 'earliest'), member.logOffsets(places, 'latest')])
  return new Map(places.map(placeKey).map((key) => [key, { first: first.get(key) ?? 0, end: end.get(key) ?? 0 }]))
}

/** An offset that is not in the log, and where reading goes on instead. */
interface Correction {
  readonly offset: number
  readonly error: StreamError | undefined
}

/** An offset within the log: itself, or where the reset policy leads, with what is to be reported. */
function withinRange(
  place: Place,
  name: string,
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
    `partition ${place.partition} of '${name}' doesn't hold offset ${offset}, ${why}; reading goes on at ${policy} (${reset})`,
    {
      code: 'NOT_FOUND',
      retryable: false,
      transport: 'kafka',
      operation: 'consume',
      topic: name,
    },
  )
  return { offset: reset, error }
}

/** The offset that a position means in each partition. A given offset may lie outside of the log. */
async function resolvePosition(
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
