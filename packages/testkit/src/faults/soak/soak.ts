import { setTimeout as duration } from 'node:timers/promises'
import { expect } from 'vitest'
import type { FaultBench } from '../suite/fault-bench.js'
import { duplicatesBound, type FaultFinding, type FaultSuite } from '../suite/fault-suite.js'
import type { Worker } from '../worker.js'
import { type FaultScene, OUTER_FAULTS, PROCESS_FAULTS, type RandomFault } from './random-faults.js'
import { Randomness } from './randomness.js'

/** What a soak run is asked for: `STREAMSWITCH_SOAK_MINUTES`, and `STREAMSWITCH_SOAK_SEED`. */
export interface SoakPlan {
  readonly minutes: number
  /** The same seed makes the same faults in the same order. */
  readonly seed: number
}

const PRODUCERS = 3
const CONSUMERS = 3
const WINDOW = 50
const KEYS_PER_PRODUCER = 8
/** Ten times the messages of the suite's largest case, in one round; it ends before if its time is over. */
const MESSAGES_PER_ROUND = 100_000
const HANDLER_MS = 1
/** Between two sends of a producer, in milliseconds: consumers must keep up, and catch up after a fault. */
const SEND_PAUSE_MS = { auto: 4, manual: 25 } as const
/** Where they ack by hand, each message of a key waits for the answer to the ack before it: keys have so many times as long. */
const ACK_LEEWAY = 3
const CLOSE_TIMEOUT_MS = 20_000
/** In how many of a hundred cases a fault comes before the last one is overcome, and with another one at its side. */
const HASTE = 30
const COMPANY = 25

/** The plan of the environment; `undefined` where no soak is asked for. Throws for numbers that are none. */
export function soakPlan(environment: NodeJS.ProcessEnv = process.env): SoakPlan | undefined {
  const minutes = environment['STREAMSWITCH_SOAK_MINUTES']
  if (minutes === undefined) return undefined
  const plan = { minutes: Number(minutes), seed: Number(environment['STREAMSWITCH_SOAK_SEED'] ?? 1) }
  if (!(plan.minutes > 0)) throw new RangeError(`STREAMSWITCH_SOAK_MINUTES must be above 0, got '${minutes}'`)
  if (!Number.isSafeInteger(plan.seed)) throw new RangeError('STREAMSWITCH_SOAK_SEED must be an integer')
  return plan
}

/** Declares rounds of about a minute each, with a topic of its own, random faults, and a verdict at the end. */
export function soak(suite: FaultSuite, { minutes, seed }: SoakPlan): void {
  const rounds = Math.max(1, Math.round(minutes))
  const roundMs = (minutes / rounds) * 60_000
  const patienceMs = patience(suite)
  for (let round = 1; round <= rounds; round += 1) {
    const title = `soak round ${round} of ${rounds}, seed ${seed}`
    suite.fault(round, title, roundMs + 5 * patienceMs, (bench) =>
      soakRound(bench, new Randomness(seed * 1_000 + round), roundMs, patienceMs, round % 2 === 0 ? 'manual' : 'auto'),
    )
  }
}

/** How long the slowest recovery may take, twice over, in milliseconds. */
function patience(suite: FaultSuite): number {
  const { exit: _, ...bounds } = suite.settings.recovery
  return 30_000 + 2 * Math.max(...Object.values(bounds))
}

async function soakRound(
  bench: FaultBench,
  random: Randomness,
  roundMs: number,
  patienceMs: number,
  ack: 'auto' | 'manual',
): Promise<FaultFinding> {
  const scene = { ...(await employ(bench, ack)), bench, random }
  const ripeAt = performance.now() + (bench.settings.ripeMs ?? 0)
  await bench.until(() => performance.now() >= ripeAt, 'the topic to be old enough', patienceMs)
  const hits = new Map<string, number>()
  const endsAt = performance.now() + roundMs
  let recoveryMs = 0
  while (performance.now() < endsAt) {
    await duration(random.between(100, 1_000))
    const faults = chosen(scene)
    for (const { name } of faults) hits.set(name, (hits.get(name) ?? 0) + 1)
    await Promise.all(faults.map((fault) => fault.strike(scene)))
    if (random.chance(HASTE)) continue
    const names = faults.map(({ name }) => name).join(' and ')
    recoveryMs = Math.max(recoveryMs, await recovered(bench, scene.producers, names, patienceMs))
  }
  bench.stand.proxy.heal()
  await recovered(bench, scene.producers, 'everything', patienceMs)
  for (const producer of scene.producers.filter(({ running }) => running)) producer.terminate()
  await Promise.all(scene.producers.map((producer) => producer.ended(patienceMs)))
  await bench.handledAll(bench.confirmedIds(), 'everything that was confirmed to be handled', patienceMs)
  const faults = [...hits.values()].reduce((sum, count) => sum + count, 0)
  expect(bench.reader.counts.confirmed, 'messages that were confirmed').toBeGreaterThan(0)
  return {
    hit: [...hits].map(([name, count]) => `${count} ${name}`).join(', '),
    ...duplicatesBound(bench, { faults, producers: PRODUCERS, window: WINDOW, handlerMs: HANDLER_MS }),
    recoveryMs: Math.round(recoveryMs),
    recoveryBoundMs: patienceMs,
  }
}

/** Producers and consumers, each a process of its own. */
async function employ(bench: FaultBench, ack: 'auto' | 'manual'): Promise<Pick<FaultScene, 'producers' | 'consumers'>> {
  const members = bench.brokered ? CONSUMERS : 1
  const consumers = await Promise.all(
    Array.from({ length: members }, (_, index) =>
      // Acked by hand, it is on record what the transport took. Given up never: those who were killed are innocent.
      bench.consumer(`c${index + 1}`, {
        handlerMs: HANDLER_MS,
        settings: { ack, retry: { attempts: 1_000 } },
      }),
    ),
  )
  const count = Math.ceil(MESSAGES_PER_ROUND / PRODUCERS)
  const producers = await Promise.all(
    Array.from({ length: PRODUCERS }, (_, index) => {
      const name = `p${index + 1}`
      const keys = Array.from({ length: KEYS_PER_PRODUCER }, (_key, number) => `${name}-k${number}`)
      return bench.producer(name, {
        count,
        keys,
        window: WINDOW,
        pauseMs: sendPause(bench, ack),
        closeTimeoutMs: CLOSE_TIMEOUT_MS,
      })
    }),
  )
  return { producers, consumers }
}

function sendPause({ settings }: FaultBench, ack: 'auto' | 'manual'): number {
  if (ack === 'auto') return SEND_PAUSE_MS.auto
  return Math.max(SEND_PAUSE_MS.manual, Math.ceil((ACK_LEEWAY * settings.ackIntervalMs) / KEYS_PER_PRODUCER))
}

function chosen({ bench, random }: FaultScene): readonly RandomFault[] {
  if (random.chance(COMPANY)) {
    const [outer, inner] = [random.pick(OUTER_FAULTS), random.pick(PROCESS_FAULTS)]
    // One process can't be killed or frozen by two at a time.
    return outer.killsServer === true && !bench.brokered ? [outer] : [outer, inner]
  }
  return [random.pick([...OUTER_FAULTS, ...PROCESS_FAULTS])]
}

/** What was confirmed when the fault was over is handled, and more is confirmed, unless nobody has anything left to send. */
async function recovered(
  bench: FaultBench,
  producers: readonly Worker[],
  faults: string,
  patienceMs: number,
): Promise<number> {
  const { confirmed } = bench.reader.refresh().counts
  return bench.until(
    () => {
      const now = bench.reader.refresh().counts
      const sending = producers.some(({ running }) => running)
      return now.handled >= confirmed && (now.confirmed > confirmed + WINDOW || !sending)
    },
    `recovery from: ${faults}`,
    patienceMs,
  )
}
