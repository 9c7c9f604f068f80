import { expect } from 'vitest'
import type { LedgerHandling } from '../ledger/index.js'
import { healthy } from './deed.js'
import { type AtEnd, CrashScene, START_MS } from './scene.js'
import type { CrashSettings } from './settings.js'

const TOGETHER = 6
/** Until the worker is asked to hurry. */
const HANDLER_MS = 600_000

/**
 * Two ends of a process mean something only when they come one after the other. A clean stop in between (here one that doesn't wait for
 * its handlers) shows that no message that was running has ended it.
 */
export async function cleanStop(settings: CrashSettings, atEnd: AtEnd): Promise<void> {
  const patienceMs = (settings.takeoverMs ?? 5_000) + START_MS
  const scene = await CrashScene.open(
    settings,
    {
      partitions: 2,
      closeTimeoutMs: 300,
      handlerMs: HANDLER_MS,
      consumer: { concurrency: TOGETHER, retry: { attempts: 1 } },
    },
    atEnd,
  )
  const { worker } = scene
  const messages = healthy(TOGETHER, 0, 'slow')
  await scene.send(messages)
  const atWork = (): readonly LedgerHandling[] =>
    scene.starts().filter(({ life, outcome }) => life === worker.pid && outcome === 'running')
  const untilTogether = (what: string): Promise<void> =>
    scene.until(() => atWork().length === TOGETHER, `${TOGETHER} handlers running at once, ${what}`, patienceMs)

  await worker.start()
  await untilTogether('in the first life')
  await worker.kill()
  await worker.start()
  await untilTogether('after one death')
  const stopped = worker.pid
  worker.terminate()
  await scene.until(
    () => scene.events().some(({ did, life }) => did === 'stopped' && life === stopped),
    'a clean stop',
    patienceMs,
  )
  // It has told its broker all it had to tell; its handlers would keep it for a while.
  await worker.kill()
  await worker.start()
  await untilTogether('after a clean stop')
  await worker.kill()
  await worker.start()
  await untilTogether('after a death that follows a clean stop')
  await worker.kill()

  // Two in a row: now they are alone.
  await worker.start()
  const life = worker.pid
  const ofLastLife = (): readonly LedgerHandling[] => scene.starts().filter((start) => start.life === life)
  await scene.until(() => ofLastLife().length > 0, 'one that runs alone', patienceMs)
  worker.hurry()
  await scene.until(() => scene.handledAll(messages), 'all handled', patienceMs)
  for (const [index, start] of ofLastLife().entries())
    if (index > 0)
      expect(start.startedAt, scene.story()).toBeGreaterThan(
        ofLastLife()[index - 1]?.endedAt ?? Number.POSITIVE_INFINITY,
      )
  scene.expectUncharged(() => false)
}
