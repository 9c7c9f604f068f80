import { expect } from 'vitest'
import { NOTHING_WRONG } from '../ledger/check-history.js'
import type { Bench } from './bench.js'

interface Judged {
  readonly group?: string
  readonly topic?: string
  /** Ids that need not be handled: dead-lettered, or left unhandled on purpose. */
  readonly gone?: ReadonlySet<string>
}

/** Where nothing died: everything sent was confirmed and handled once, per key in the order of sending and one at a time. */
export async function expectExactlyOnceInOrder(bench: Bench, judged: Judged = {}): Promise<void> {
  await bench.ledger.allConfirmed()
  expect(bench.verdict(judged.group, judged.topic, judged.gone)).toEqual(NOTHING_WRONG)
}

/**
 * What a fresh member of the group still gets of these keys: ids, in order. A marker is sent after each key's messages, by
 * the same producer, since order is that of one producer; what comes before the markers was not acked.
 */
export async function leftFor(bench: Bench, keys: readonly string[], group: string = bench.group): Promise<string[]> {
  const member = await bench.member({ group })
  const producer = bench.ledger.lastProducer(bench.topic)
  // Bytes and JSON both take a buffer.
  const value = Buffer.from('"marker"')
  const markers = keys.map((_key, index) => `marker-${index}-${member.name}`)
  for (const [index, key] of keys.entries()) void bench.ledger.send(producer, value, { key, id: markers[index] ?? '' })
  await bench.handledAll(markers, group)
  await member.leave()
  return member.handlings.map((one) => one.id).filter((id) => !markers.includes(id))
}
