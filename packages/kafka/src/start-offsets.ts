import {
  type ConsumerSink,
  type PartitionPositions,
  type StartPosition,
  StreamError,
  startOf,
} from '@streamswitch/core/driver'
import { decodeMetadata } from './commit-metadata.js'
import type { GroupMember } from './group-member.js'
import { noLeader } from './partial-metadata.js'
import { type Place, placeKey } from './places.js'
import { PROCESS } from './process-name.js'

/** Where reading a partition begins, and what is recorded about it. */
export interface IntakeStart {
  readonly offset: number
  /** Handler starts, by offset. */
  readonly attempts: ReadonlyMap<number, number>
  /** Offsets below this one may have been running in a process that died. */
  readonly suspectBelow: number
}

export interface PositionSettings {
  readonly from: StartPosition | PartitionPositions | undefined
  readonly sink: Pick<ConsumerSink, 'outOfRange' | 'removed' | 'startIgnored'>
  /** As the user names it. */
  topicName(brokerTopic: string): string
}

/** Determines the offsets at which a group resumes. */
export class Positions {
  readonly #member: Pick<GroupMember, 'committed' | 'logOffsets'>
  readonly #settings: PositionSettings

  constructor(member: Pick<GroupMember, 'committed' | 'logOffsets'>, settings: PositionSettings) {
    this.#member = member
    this.#settings = settings
  }

  /**
   * Start of each partition: at its committed offset, or where a new group is to start. Partitions without leader are
   * omitted.
   */
  async starts(places: readonly Place[]): Promise<Map<string, IntakeStart>> {
    if (places.length === 0) return new Map()
    const { topicName, sink } = this.#settings
    const [committed, ranges] = await Promise.all([this.#member.committed(places), readRanges(this.#member, places)])
    const led = places.filter((place) => ranges.has(placeKey(place)))
    const fresh = led.filter((place) => (committed.get(placeKey(place))?.offset ?? -1) < 0)
    for (const place of led) if (!fresh.includes(place)) sink.startIgnored(topicName(place.topic))
    const initial = await this.#initial(fresh, ranges)
    return new Map(
      led.map((place) => {
        const key = placeKey(place)
        const found = committed.get(key)
        const range = ranges.get(key) ?? EMPTY
        const own = initial.has(key) ? undefined : found?.offset
        const offset = this.#corrected(place, own ?? initial.get(key) ?? 0, range)
        if (own !== undefined) this.#reportRemoved(place, own, range.first)
        const metadata =
          offset === found?.offset ? decodeMetadata(offset, found.metadata, topicName(place.topic)) : undefined
        const suspicious = metadata !== undefined && !metadata.clean && metadata.owner !== PROCESS
        // What was appended later can't have been delivered by the dead member.
        const suspectBelow = suspicious ? Math.min(metadata.deliveredBelow, range.end) : 0
        return [key, { offset, attempts: metadata?.attempts ?? new Map(), suspectBelow }]
      }),
    )
  }

  /**
   * Returns the offset of a start position in a partition; one outside of the log is reported. Rejects with
   * INVALID_ARGUMENT, and UNAVAILABLE when the partition has no leader.
   */
  async resolve(place: Place, position: StartPosition): Promise<number> {
    const ranges = await readRanges(this.#member, [place])
    if (!ranges.has(placeKey(place))) throw noLeader(place.topic, place.partition)
    const offsets = await resolvePosition(this.#member, [place], position, ranges)
    return this.#corrected(place, offsets.get(placeKey(place)) ?? 0, ranges.get(placeKey(place)) ?? EMPTY)
  }

  /** As {@link resolve}, for the offset at which the group was to read on: what is gone by now is reported as removed. */
  async goOn(place: Place, offset: number): Promise<number> {
    const range = (await readRanges(this.#member, [place])).get(placeKey(place))
    if (range === undefined) throw noLeader(place.topic, place.partition)
    const next = this.#corrected(place, offset, range)
    this.#reportRemoved(place, offset, range.first)
    return next
  }

  /** Where a new group begins in each partition. */
  async #initial(places: readonly Place[], ranges: ReadonlyMap<string, LogRange>): Promise<Map<string, number>> {
    const byPosition = new Map<string, { readonly position: StartPosition; readonly places: Place[] }>()
    for (const place of places) {
      const position = startOf(this.#settings.from, place.partition) ?? 'earliest'
      const name = JSON.stringify(position)
      const same = byPosition.get(name) ?? { position, places: [] }
      same.places.push(place)
      byPosition.set(name, same)
    }
    const found = await Promise.all(
      [...byPosition.values()].map((one) => resolvePosition(this.#member, one.places, one.position, ranges)),
    )
    return new Map(found.flatMap((offsets) => [...offsets]))
  }

  #reportRemoved({ topic, partition }: Place, from: number, first: number): void {
    const { sink, topicName } = this.#settings
    if (from >= first) return
    const range = { from: String(from), to: String(first), messages: first - from }
    sink.removed?.({ topic: topicName(topic), partition, ...range })
  }

  /** Returns an offset within the log: itself, or the one chosen by the loop's policy. */
  #corrected(place: Place, offset: number, { first, stable, end }: LogRange): number {
    if (offset >= first && offset <= end) return offset
    const held = first === end ? [] : [String(first), String(end - 1)]
    const policy = this.#settings.sink.outOfRange({
      topic: this.#settings.topicName(place.topic),
      partition: place.partition,
      offset: String(offset),
      first: held[0],
      last: held[1],
    })
    return policy === 'earliest' ? first : stable
  }
}

/**
 * Offsets in a partition's log: from `first` to below `end`. If a transaction is open, readers get no further than
 * `stable`.
 */
export interface LogRange {
  readonly first: number
  readonly stable: number
  readonly end: number
}

const EMPTY: LogRange = { first: 0, stable: 0, end: 0 }

type LogReader = Pick<GroupMember, 'logOffsets'>

/** Returns the ranges of partitions' logs. Those without leader are omitted. */
export async function readRanges(member: LogReader, places: readonly Place[]): Promise<Map<string, LogRange>> {
  const [first, stable, end] = await Promise.all([
    member.logOffsets(places, 'earliest'),
    member.logOffsets(places, 'latest'),
    member.logOffsets(places, 'end'),
  ])
  const ranges = new Map<string, LogRange>()
  for (const key of places.map(placeKey)) {
    const [from, below, to] = [first.get(key), stable.get(key), end.get(key)]
    if (from !== undefined && below !== undefined && to !== undefined)
      ranges.set(key, { first: from, stable: below, end: to })
  }
  return ranges
}

/** Returns the offset of a start position in each partition. A given offset may be outside of the log. */
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
      const range = ranges.get(key) ?? EMPTY
      if (position === 'earliest') return [key, range.first]
      if (position === 'latest') return [key, range.stable]
      if ('offset' in position) return [key, parseOffset(position.offset)]
      const offset = found?.get(key) ?? -1
      return [key, offset < 0 ? range.stable : offset]
    }),
  )
}

function parseOffset(text: string): number {
  const offset = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (Number.isSafeInteger(offset)) return offset
  throw new StreamError(`invalid offset '${text}': expected a non-negative integer`, {
    code: 'INVALID_ARGUMENT',
    transport: 'kafka',
    operation: 'seek',
  })
}
