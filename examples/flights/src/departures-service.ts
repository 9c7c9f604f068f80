import { batchEntry } from '@streamswitch/core'
import type { Departure } from './flight.js'
import { newCounts, type RunningService, type Surroundings } from './service.js'

/** Records per call of `sendBatch`. Two calls are under way at a time. */
const CHUNK = 500

/** Publishes every departure to the topic `departures`, by its airport's key. */
export async function startDepartures({
  transport,
  settings,
  departures,
  changed,
}: Surroundings): Promise<RunningService> {
  const counts = newCounts()
  const producer = transport.producer<Departure>('departures', { partitions: settings.partitions })
  await producer.init()

  async function send(records: readonly Departure[]): Promise<void> {
    await producer.sendBatch(
      records.map((one) => batchEntry(one, { key: one.origin, id: `${one.origin}-${one.sequence}` })),
    )
    counts.records += records.length
    changed()
  }

  async function sendAll(records: readonly Departure[]): Promise<void> {
    let previous: Promise<void> = Promise.resolve()
    for (let start = 0; start < records.length; start += CHUNK) {
      const current = send(records.slice(start, start + CHUNK))
      // Its failure is reported when its turn has come.
      current.catch(() => {})
      await previous
      previous = current
    }
    await previous
  }

  return { counts, ended: sendAll(departures()), close: () => producer.close() }
}
