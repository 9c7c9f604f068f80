import { expect } from 'vitest'
import type { LedgerHandling } from '../ledger/index.js'
import { healthy, mixed } from './deed.js'
import { type AtEnd, CrashScene, START_MS } from './scene.js'
import { type CrashSettings, LONG } from './settings.js'

const ATTEMPTS = LONG ? 3 : 1
const HEALTHY = LONG ? 200 : 40
const BLOCKER = 'blocker'

/** A message blocks the event loop until its member's partitions are another one's. It acks afterwards, as if nothing had happened. */
export async function blockedLoop(settings: CrashSettings, atEnd: AtEnd): Promise<void> {
  const { blockMs, takeoverMs = 5_000 } = settings
  const scene = await CrashScene.open(
    settings,
    {
      members: 2,
      partitions: 4,
      consumer: {
        concurrency: 8,
        // The worker acks by hand then, and writes down what becomes of it.
        ack: 'manual',
        retry: { attempts: ATTEMPTS, minDelayMs: 1, maxDelayMs: 1 },
      },
    },
    atEnd,
  )
  const neighbours = healthy(HEALTHY, 200)
  const blocker = { id: BLOCKER, deed: { ms: 100, acts: ['block' as const], blockMs } }
  await Promise.all(scene.workers.map((worker) => worker.start()))
  await Promise.all(scene.workers.map((worker) => worker.ready(START_MS)))
  await scene.send(mixed(neighbours, [blocker]))
  const patienceMs = takeoverMs + blockMs + START_MS
  await scene.supervise(
    async () => scene.handledAll(neighbours) && (await scene.letters()).length > 0,
    'all neighbours handled, and a dead letter',
    { mostDeaths: 0, patienceMs },
  )
  expect(await scene.letters()).toEqual([expect.objectContaining({ id: BLOCKER, code: 'ABORTED', attempts: ATTEMPTS })])
  scene.expectUncharged((id) => id === BLOCKER)
  // The last one may still be blocked.
  await scene.until(
    () => scene.startsOf(BLOCKER).every((block) => foundOut(block, scene)),
    'all who blocked find out',
    patienceMs,
  )
  const all = scene.starts()
  const blocks = scene.startsOf(BLOCKER)
  // Twice beside others, and then alone for each of its attempts.
  expect(blocks.length, scene.story()).toBeLessThanOrEqual(ATTEMPTS + 2)
  const [first] = blocks
  expect(first === undefined ? 0 : besides(first, all).length, 'others were running beside it').toBeGreaterThan(1)
  for (const [index, block] of blocks.entries()) {
    const next = blocks[index + 1]
    if (next === undefined ? block.attempt > 1 : next.attempt > block.attempt)
      expect(besides(block, all), `it was charged while others were running:\n${scene.story()}`).toEqual([])
    expect(block.settled, `a stale ack counts: ${JSON.stringify(block)}`).toBe(false)
  }
  expect(new Set(blocks.map(({ process }) => process)).size, 'the other member takes over').toBe(2)
}

/** The member has heard that its partitions were lost. */
function foundOut({ process, startedAt }: LedgerHandling, scene: CrashScene): boolean {
  return scene
    .events()
    .some(
      (line) =>
        line.process === process && line.at > startedAt && line.did === 'revoked' && line.note?.endsWith('lost'),
    )
}

/** What was running in the same process at some time during a handling. */
function besides(one: LedgerHandling, all: readonly LedgerHandling[]): LedgerHandling[] {
  const end = one.endedAt ?? Number.POSITIVE_INFINITY
  return all.filter(
    (other) =>
      other !== one &&
      other.process === one.process &&
      other.life === one.life &&
      other.startedAt < end &&
      (other.endedAt ?? Number.POSITIVE_INFINITY) > one.startedAt,
  )
}
