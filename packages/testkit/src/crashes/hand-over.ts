import { expect } from 'vitest'
import { healthy, mixed } from './deed.js'
import { armHandOver, diedInHandOver } from './hand-over-settings.js'
import { type AtEnd, CrashScene, START_MS } from './scene.js'
import type { CrashSettings } from './settings.js'

const KILLER = 'killer'
const SETTINGS = new URL('./hand-over-settings.js', import.meta.url).href

/** The first member dies in the middle of its first hand-over: its handlers have ended, nothing else is done. */
export async function handOverCrash(settings: CrashSettings, atEnd: AtEnd): Promise<void> {
  const attempts = 2
  const patienceMs = (settings.takeoverMs ?? 5_000) + START_MS
  const scene = await CrashScene.open(
    settings,
    {
      members: 2,
      partitions: 4,
      settingsModule: SETTINGS,
      consumer: { concurrency: 8, retry: { attempts, minDelayMs: 1, maxDelayMs: 1 } },
    },
    atEnd,
  )
  const [first, second] = scene.workers
  if (first === undefined || second === undefined) return expect.unreachable('two members')
  const neighbours = healthy(60, 300, 'early')
  await first.start()
  await first.ready(START_MS)
  await scene.send(neighbours)
  await scene.until(() => scene.starts().length > 0, 'running handlers', patienceMs)
  armHandOver(scene.ledger)
  await second.start()
  await scene.until(() => diedInHandOver(scene.ledger), 'a death in the middle of a hand-over', patienceMs)
  const late = healthy(40, 200, 'late')
  await scene.send(mixed(late, [{ id: KILLER, deed: { ms: 150, acts: ['exit'] } }]))
  neighbours.push(...late)
  await scene.supervise(
    async () => scene.handledAll(neighbours) && (await scene.letters()).length > 0,
    'the neighbours handled, and a dead letter',
    // The one in the hand-over is the first.
    { mostDeaths: 1 + attempts + 2, patienceMs },
  )
  expect(await scene.letters()).toEqual([expect.objectContaining({ id: KILLER, code: 'ABORTED', attempts })])
  scene.expectUncharged((id) => id === KILLER)
}
