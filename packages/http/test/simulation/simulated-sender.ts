import { isStreamError, type OutgoingRecord, type ProducerDriver } from '@streamswitch/core/driver'
import type { SimulatedProcess, World } from '@streamswitch/testkit/simulation'

const MAX_BATCH_RECORDS = 10
const RESEND_MS = 100

type SentRecord = { -readonly [Name in keyof OutgoingRecord]: OutgoingRecord[Name] }

interface Lane {
  waiting: SentRecord[]
  sends: boolean
}

/** What core is for a producer's driver, by its contract and no more: one batch of a lane at a time, what fails is sent again before what is newer. */
export class SimulatedSender {
  readonly #world: World
  readonly #process: SimulatedProcess
  readonly #driver: ProducerDriver
  readonly #accepted: (offset: number) => void
  readonly #lanes = new Map<number, Lane>()

  constructor(world: World, process: SimulatedProcess, driver: ProducerDriver, accepted: (offset: number) => void) {
    this.#world = world
    this.#process = process
    this.#driver = driver
    this.#accepted = accepted
  }

  send(offset: number, key: string): void {
    const record: SentRecord = {
      id: String(offset),
      key,
      payload: Buffer.from('1'),
      headers: undefined,
      timestamp: Date.now(),
      partition: undefined,
      sequence: undefined,
      size: 2,
      resends: 0,
    }
    const number = this.#driver.laneOf?.(record) ?? 0
    const lane = this.#lanes.get(number) ?? { waiting: [], sends: false }
    this.#lanes.set(number, lane)
    lane.waiting.push(record)
    if (!lane.sends) void this.#drain(number, lane)
  }

  async #drain(number: number, lane: Lane): Promise<void> {
    lane.sends = true
    while (lane.waiting.length > 0) {
      const records = lane.waiting.splice(0, MAX_BATCH_RECORDS)
      const open = new Set(records)
      let waitMs = RESEND_MS
      const fail = (index: number, error: unknown): void => {
        if (!isStreamError(error) || !error.retryable)
          this.#world.violate(`the sender gave up ${records[index]?.id}: ${String(error)}`)
        else waitMs = Math.max(waitMs, error.retryAfterMs ?? 0)
      }
      const accept = (index: number): void => {
        const record = records[index] as SentRecord
        if (!open.delete(record)) return this.#world.violate(`offset ${record.id} was reported twice`)
        this.#accepted(Number(record.id))
      }
      await this.#driver.publish({
        records,
        lane: number,
        accept,
        acceptAll: () => {
          for (const index of records.keys()) accept(index)
        },
        fail,
        failAll: (error) => {
          for (const index of records.keys()) fail(index, error)
        },
      })
      if (open.size === 0) continue
      for (const record of open) record.resends += 1
      this.#world.count('resend')
      lane.waiting.unshift(...open)
      this.#world.log(this.#process.name, `sends ${[...open].map(({ id }) => id).join(' ')} again in ${waitMs} ms`)
      await new Promise<void>((resolve) => setTimeout(resolve, waitMs))
    }
    lane.sends = false
  }
}
