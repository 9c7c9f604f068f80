import { QueryOffsetRequest } from 'rabbitmq-stream-js-client/dist/requests/query_offset_request.js'
import { StoreOffsetRequest } from 'rabbitmq-stream-js-client/dist/requests/store_offset_request.js'
import { StreamStatsRequest } from 'rabbitmq-stream-js-client/dist/requests/stream_stats_request.js'
import type { QueryOffsetResponse } from 'rabbitmq-stream-js-client/dist/responses/query_offset_response.js'
import type { StreamStatsResponse } from 'rabbitmq-stream-js-client/dist/responses/stream_stats_response.js'
import { ResponseCode } from './client-patches/server-error.js'
import type { StreamConnection } from './client-patches/stream-connection.js'
import { hasCode, newerFormat, notStored } from './errors.js'
import type { Sight } from './orphan-watch.js'

const FORMAT_SHIFT = 60n
const FORMAT = 1n
const BODY_MASK = (1n << FORMAT_SHIFT) - 1n
const OFFSET_BITS = 48n
const OFFSET_MASK = (1n << OFFSET_BITS) - 1n
const MAX_ATTEMPTS = (1n << (FORMAT_SHIFT - OFFSET_BITS)) - 1n
/** How many messages of a partition have a recorded note at a time, before more slots are needed. */
export const ATTEMPT_SLOTS = 16
/** Most of them, however many are needed: each is read when the partition is taken up. */
export const MAX_ATTEMPT_SLOTS = 1_024

/** How often a position is stored that reads back as another one, before that is taken for the broker's refusal. */
const SAVE_ATTEMPTS = 3

/** What decides between two members that both believe they own a partition. */
export interface Standing {
  /** As in {@link GroupRecords}. */
  readonly position: number | undefined
  readonly epoch: number
}

/** A message and how often it was started. */
export interface Attempt {
  readonly offset: number
  readonly attempts: number
}

/** What the broker keeps of a group in one partition. */
export interface GroupRecords {
  /** The next offset to handle; `undefined` for a group that has none yet. */
  readonly position: number | undefined
  /** The position that was stored last, also where the broker has forgotten it since retention has overtaken it; `undefined` before the first. */
  readonly lastPosition: number | undefined
  /** Rises with each assignment, and begins near the milliseconds since the epoch; 0 before the first. */
  readonly epoch: number
  /** Messages below this offset may have been started by the last owner; 0 when it let go in good order. */
  readonly started: number
  /** How many slots for notes there are. */
  readonly slots: number
  /** Notes by offset, and the slot that holds them. */
  readonly attempts: ReadonlyMap<number, { readonly attempts: number; readonly slot: number }>
  /** A note that earlier versions kept apart. */
  readonly alone: Attempt | undefined
}

/**
 * Reads and writes what a group stores on the broker for one stream: named 64-bit numbers, which streams store with the
 * messages. `<group>` holds the last offset that is done, as for every stream client. The others begin with `<group>:`,
 * carry a format version in their upper four bits, and so are above every offset: retention removes numbers below the
 * first offset that is kept.
 */
export class GroupRecordStore {
  readonly #connection: StreamConnection
  readonly #stream: string
  readonly #group: string
  readonly #topic: string
  /** Offset 0 isn't done yet although `<group>` holds 0: the one position that 'the last that is done' can't say. */
  #beforeFirst = false

  constructor(connection: StreamConnection, stream: string, group: string, topic: string) {
    this.#connection = connection
    this.#stream = stream
    this.#group = group
    this.#topic = topic
  }

  /** Reads everything: in one go, unless there are more slots than usual. */
  async load(): Promise<GroupRecords> {
    const single = [
      this.#read('epoch'),
      this.#read('started'),
      this.#read('alone'),
      this.#read('position'),
      this.#read('slots'),
    ] as const
    const [position, tries, epoch, started, alone, last, count] = await Promise.all([
      this.position(),
      this.#readSlots(0, ATTEMPT_SLOTS),
      ...single,
    ])
    const slots = Math.min(MAX_ATTEMPT_SLOTS, Math.max(ATTEMPT_SLOTS, Number(count ?? 0n)))
    const more = slots > ATTEMPT_SLOTS ? await this.#readSlots(ATTEMPT_SLOTS, slots) : []
    const attempts = new Map<number, { attempts: number; slot: number }>()
    for (const [slot, packed] of [...tries, ...more].entries()) {
      const attempt = unpack(packed)
      if (attempt !== undefined) attempts.set(attempt.offset, { attempts: attempt.attempts, slot })
    }
    return {
      position,
      lastPosition: position ?? (last === undefined ? undefined : Number(last)),
      epoch: Number(epoch ?? 0n),
      started: Number(started ?? 0n),
      slots,
      attempts,
      alone: unpack(alone),
    }
  }

  /** As `load`, once the group was moved: what was noted of messages that it goes through again is forgotten. */
  async loadAnew(start: number): Promise<GroupRecords> {
    const records = await this.load()
    const stale = [...records.attempts].filter(([offset, { attempts }]) => offset >= start && attempts > 0)
    await Promise.all(stale.map(([offset, { slot }]) => this.saveFailed(slot, { offset, attempts: 0 })))
    return { ...records, attempts: new Map(), alone: undefined }
  }

  #readSlots(from: number, below: number): Promise<(bigint | undefined)[]> {
    return Promise.all(Array.from({ length: below - from }, (_, index) => this.#read(`try.${from + index}`)))
  }

  /** The next offset to handle; `undefined` for a group that has none yet. */
  async position(): Promise<number | undefined> {
    const stored = await this.#query(this.#group)
    if (stored === undefined) return undefined
    this.#beforeFirst = stored === 0n && (await this.#read('before-first')) === 1n
    return this.#beforeFirst ? 0 : Number(stored) + 1
  }

  /** The epoch of the last assignment; 0 before the first. */
  async epoch(): Promise<number> {
    return Number((await this.#read('epoch')) ?? 0n)
  }

  /** Position and epoch as they are stored now. */
  async standing(): Promise<Standing> {
    const [position, epoch] = await Promise.all([this.position(), this.epoch()])
    return { position, epoch }
  }

  /**
   * Everything below `next` is done. Resolves once the broker has shown that it keeps the position, or forgets it since retention is further by now.
   *
   * @param check - gets the epoch that is stored, before each attempt to store and after it; what it throws ends the attempts.
   */
  async savePosition(next: number, check: (epoch: number) => void): Promise<void> {
    for (let attempt = 1; attempt <= SAVE_ATTEMPTS; attempt += 1) {
      check(await this.epoch())
      this.#storePosition(next)
      // Storing has no answer, not even when it is refused. The broker handles both in order: this is the answer.
      const { position, epoch } = await this.standing()
      check(epoch)
      // Else another member may have stored its own in between.
      if (position === next) return
    }
    // The broker forgets positions that retention has overtaken, at once where they are so when they are stored.
    if (!(await this.#isOvertaken(next - 1))) throw notStored(this.#group, this.#topic)
  }

  async #isOvertaken(offset: number): Promise<boolean> {
    const { statistics } = await this.#connection.sendAndWait<StreamStatsResponse>(new StreamStatsRequest(this.#stream))
    return Number(statistics.firstChunkId) > offset
  }

  #storePosition(next: number): void {
    if ((next === 0) !== this.#beforeFirst) this.#write('before-first', next === 0 ? 1n : 0n)
    this.#beforeFirst = next === 0
    this.#store(this.#group, BigInt(Math.max(0, next - 1)))
    // Kept whatever retention does: it says what the group has missed.
    this.#write('position', BigInt(next))
  }

  /**
   * Written before the messages are delivered; needs no answer, since the write is in flight even if this process dies.
   */
  saveStarted(below: number): void {
    this.#write('started', BigInt(below))
  }

  /** The owner has work and lives: what those who wait look for. */
  saveAlive(): void {
    this.#write('alive', BigInt(Date.now()))
  }

  /** Those who wait for the partition are to step back. */
  saveCall(): void {
    this.#write('step-back', BigInt(Date.now()))
  }

  /** What those who wait look for. */
  async look(): Promise<Sight> {
    const names = ['epoch', 'started', 'alone', 'alive', 'step-back']
    const [position, ...records] = await Promise.all([
      this.#query(this.#group),
      ...names.map((name) => this.#read(name)),
    ])
    const call = records.pop()
    return { signs: [position, ...records].join(' '), call }
  }

  saveEpoch(epoch: number): void {
    this.#write('epoch', BigInt(epoch))
  }

  /** There are more slots, or as many as usual again: written before any of them is, or once they hold nothing. */
  saveSlots(count: number): void {
    this.#write('slots', BigInt(count))
  }

  /** Resolves when the broker has it. */
  async saveFailed(slot: number, failed: Attempt): Promise<void> {
    await this.#confirmed(`try.${slot}`, pack(failed))
  }

  async #confirmed(name: string, body: bigint): Promise<void> {
    this.#write(name, body)
    await this.#read(name)
  }

  #write(name: string, body: bigint): void {
    this.#store(`${this.#group}:${name}`, (FORMAT << FORMAT_SHIFT) | body)
  }

  async #read(name: string): Promise<bigint | undefined> {
    const stored = await this.#query(`${this.#group}:${name}`)
    if (stored === undefined) return undefined
    if (stored >> FORMAT_SHIFT !== FORMAT) throw newerFormat(`record '${name}' of group '${this.#group}'`, this.#topic)
    return stored & BODY_MASK
  }

  #store(reference: string, offsetValue: bigint): void {
    this.#connection.send(new StoreOffsetRequest({ stream: this.#stream, reference, offsetValue })).catch(() => {})
  }

  async #query(reference: string): Promise<bigint | undefined> {
    try {
      const answer: QueryOffsetResponse = await this.#connection.sendAndWait(
        new QueryOffsetRequest({ stream: this.#stream, reference }),
      )
      return answer.offsetValue
    } catch (error) {
      if (hasCode(error, ResponseCode.noOffset)) return undefined
      throw error
    }
  }
}

/** Whether a reference is that of something that is kept of a group beside its offset. */
export function isRecordName(reference: string): boolean {
  return /:(?:epoch|started|alone|alive|slots|step-back|before-first|position|try\.\d+)$/.test(reference)
}

function pack({ offset, attempts }: Attempt): bigint {
  const counted = BigInt(attempts) > MAX_ATTEMPTS ? MAX_ATTEMPTS : BigInt(attempts)
  return (counted << OFFSET_BITS) | BigInt(offset)
}

function unpack(packed: bigint | undefined): Attempt | undefined {
  return packed === undefined
    ? undefined
    : { offset: Number(packed & OFFSET_MASK), attempts: Number(packed >> OFFSET_BITS) }
}
