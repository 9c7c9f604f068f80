import { expect } from 'vitest'
import { type AtEnd, CrashScene, START_MS } from './scene.js'
import type { CrashSettings } from './settings.js'

/** A message that fails goes on counting where the killed process was. */
export async function failingMessage(settings: CrashSettings, atEnd: AtEnd): Promise<void> {
  const attempts = 4
  const lifeMs = (settings.takeoverMs ?? 5_000) + START_MS
  // Long enough between two attempts for a process to be killed there.
  const retry = { attempts, minDelayMs: 1_500, maxDelayMs: 1_500 }
  const scene = await CrashScene.open(settings, { consumer: { concurrency: 4, retry } }, atEnd)
  const id = 'failing-1'
  await scene.send([{ id, deed: { acts: ['fail'] } }])
  const failed = (): number => scene.starts().filter(({ outcome }) => outcome === 'failed').length
  const lives: number[][] = []
  // That the second attempt has started says that the first is on record; of the second nobody can know.
  for (const more of [2, 1]) {
    const before = scene.starts().length
    await scene.worker.start()
    await scene.until(() => failed() >= before + more, `${more} failed attempts`, lifeMs)
    await scene.worker.kill()
    lives.push(attemptsFrom(scene, before))
  }
  const before = scene.starts().length
  await scene.worker.start()
  await scene.until(async () => (await scene.letters()).length > 0, 'a dead letter', lifeMs)
  lives.push(attemptsFrom(scene, before))
  expect(await scene.letters()).toEqual([expect.objectContaining({ id, code: 'TypeError', attempts })])
  const [first = [], second = [], third = []] = lives
  expect(first).toEqual([1, 2])
  expect([2, 3], 'what was on record counts').toContain(second[0])
  // Killed right after it had failed once more, which may not have been on record yet: no start is charged that has not failed.
  const last = second.at(-1) ?? 0
  expect([last, last + 1]).toContain(third[0])
  expect(third.at(-1)).toBe(attempts)
}

function attemptsFrom(scene: CrashScene, index: number): number[] {
  return scene
    .starts()
    .slice(index)
    .map(({ attempt }) => attempt)
}
