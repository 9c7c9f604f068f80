import { expect } from 'vitest'
import { healthy, mixed } from './deed.js'
import { type AtEnd, CrashScene, START_MS } from './scene.js'
import type { CrashSettings } from './settings.js'

const KILLER = 'killer'

/** A message that ends its process at once, before anything else has its turn. */
export async function oneKiller(settings: CrashSettings, atEnd: AtEnd): Promise<void> {
  const attempts = 2
  const scene = await CrashScene.open(
    settings,
    { consumer: { concurrency: 4, retry: { attempts, minDelayMs: 1, maxDelayMs: 1 } } },
    atEnd,
  )
  const neighbours = healthy(30, 0)
  await scene.send([...neighbours.slice(0, 10), { id: KILLER, deed: { acts: ['kill'] } }, ...neighbours.slice(10)])
  await scene.supervise(
    async () => scene.handledAll(neighbours) && (await scene.letters()).length > 0,
    'the neighbours handled, and a dead letter',
    { mostDeaths: attempts + 2, patienceMs: (settings.takeoverMs ?? 5_000) + START_MS },
  )
  // In two crashes it runs beside others: none is charged. Then it runs alone.
  expect(scene.deaths).toBe(attempts + 2)
  expect(await scene.letters()).toEqual([
    expect.objectContaining({
      id: KILLER,
      code: 'ABORTED',
      attempts,
      error: expect.stringContaining('its process ended'),
    }),
  ])
  scene.expectUncharged((id) => id === KILLER)
}

/** It fails, waits for its next attempt, and then ends its process: both count as attempts. */
export async function killerWithDelay(settings: CrashSettings, atEnd: AtEnd): Promise<void> {
  const attempts = 3
  const scene = await CrashScene.open(
    settings,
    { partitions: 4, consumer: { concurrency: 16, retry: { attempts, minDelayMs: 400, maxDelayMs: 400 } } },
    atEnd,
  )
  const neighbours = healthy(60, 100)
  await scene.send(mixed(neighbours, [{ id: KILLER, deed: { ms: 50, acts: ['fail', 'kill'] } }]))
  await scene.supervise(
    async () => scene.handledAll(neighbours) && (await scene.letters()).length > 0,
    'the neighbours handled, and a dead letter',
    { mostDeaths: attempts + 2, patienceMs: (settings.takeoverMs ?? 5_000) + START_MS },
  )
  expect(await scene.letters()).toEqual([expect.objectContaining({ id: KILLER, code: 'ABORTED', attempts })])
  scene.expectUncharged((id) => id === KILLER)
  const starts = scene.startsOf(KILLER)
  expect(starts.filter(({ outcome }) => outcome === 'failed').length, 'its failure is on record').toBe(1)
  expect(starts.filter(({ outcome }) => outcome === 'running').length, 'every other start ended a process').toBe(
    scene.deaths,
  )
}

/** Both members have it in turn, and both die of it. */
export async function membersInTurn(settings: CrashSettings, atEnd: AtEnd): Promise<void> {
  const attempts = 2
  const scene = await CrashScene.open(
    settings,
    {
      members: 2,
      partitions: 4,
      consumer: { concurrency: 16, retry: { attempts, minDelayMs: 1, maxDelayMs: 1 } },
    },
    atEnd,
  )
  await Promise.all(scene.workers.map((worker) => worker.start()))
  await Promise.all(scene.workers.map((worker) => worker.ready(START_MS)))
  const neighbours = healthy(60, 300)
  await scene.send(mixed(neighbours, [{ id: KILLER, deed: { ms: 150, acts: ['exit'] } }]))
  await scene.supervise(
    async () => scene.handledAll(neighbours) && (await scene.letters()).length > 0,
    'the neighbours handled, and a dead letter',
    {
      mostDeaths: attempts + 2,
      patienceMs: (settings.takeoverMs ?? 5_000) + START_MS,
      // Once the other one has it.
      mayStart: ({ name }) => scene.startsOf(KILLER).at(-1)?.process !== name,
    },
  )
  expect(await scene.letters()).toEqual([expect.objectContaining({ id: KILLER, code: 'ABORTED', attempts })])
  scene.expectUncharged((id) => id === KILLER)
  expect(new Set(scene.startsOf(KILLER).map(({ process }) => process)).size, 'both members had it').toBe(2)
}

/** It begins before tens of others in its partition, all of which are noted after it. */
export async function killerInCrowd(settings: CrashSettings, atEnd: AtEnd): Promise<void> {
  const crowd = 48
  const scene = await CrashScene.open(
    settings,
    {
      partitions: 1,
      consumer: { concurrency: crowd + 1, prefetch: 2 * crowd, retry: { attempts: 1 } },
    },
    atEnd,
  )
  const neighbours = healthy(crowd, 1_000)
  await scene.send([{ id: KILLER, deed: { ms: 800, acts: ['kill'] } }, ...neighbours])
  await scene.supervise(async () => (await scene.letters()).length > 0, 'a dead letter', {
    mostDeaths: 3,
    patienceMs: (settings.takeoverMs ?? 5_000) + START_MS,
  })
  const [, beside = []] = scene.atWorkAtDeaths()
  expect(beside.length, 'all were running when it ended its process for the second time').toBe(crowd + 1)
  expect(await scene.letters()).toEqual([expect.objectContaining({ id: KILLER, code: 'ABORTED', attempts: 1 })])
  scene.expectUncharged((id) => id === KILLER)
}
