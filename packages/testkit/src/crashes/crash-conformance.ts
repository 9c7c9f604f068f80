import { describe, test } from 'vitest'
import { blockedLoop } from './blocked-loop.js'
import { cleanStop } from './clean-stop.js'
import { failingMessage } from './failing.js'
import { handOverCrash } from './hand-over.js'
import { killerInCrowd, killerWithDelay, membersInTurn, oneKiller } from './killers.js'
import { type AtEnd, START_MS } from './scene.js'
import { type CrashSettings, LONG } from './settings.js'
import { MOST_DEATHS, tenKillers } from './ten-killers.js'

/**
 * Declares the cases of messages that end their process, or block its event loop: found by which were running, charged when they were alone,
 * dead-lettered with the reason, while their neighbours flow and are not charged. Worker processes of their own die and are started again.
 */
export function crashConformance(settings: CrashSettings): void {
  const { adapter, takeoverMs = 5_000, blockMs } = settings
  const lifeMs = takeoverMs + START_MS
  const cases: readonly [string, number, (settings: CrashSettings, atEnd: AtEnd) => Promise<void>][] = [
    [
      'a message that ends its process is given up after its attempts; its neighbours flow and are not charged',
      6,
      oneKiller,
    ],
    ['a message that fails goes on counting where the killed process was', 7, failingMessage],
    ['one that fails first, and ends its process at its next attempt, has an attempt for each', 8, killerWithDelay],
    ['two members that die of it in turn find it together', 8, membersInTurn],
    ['a member that dies while it hands partitions over leaves nobody charged', 8, handOverCrash],
    ['one is found among tens running in its partition, that began later', 5, killerInCrowd],
    ['deaths on both sides of a clean stop are not two in a row', 8, cleanStop],
    [
      'ten that end their process are found among many, and nothing else is charged',
      MOST_DEATHS,
      (all, atEnd) => tenKillers(all, LONG ? 64 : 4, atEnd),
    ],
  ]
  describe(`${adapter.name} counts attempts across the death of processes`, { concurrent: true }, () => {
    for (const [name, lives, run] of cases)
      test(name, { timeout: lifeMs * lives }, ({ onTestFinished }) => run(settings, onTestFinished))
    test(
      'a message that blocks the event loop is charged when it is alone; another member takes over, and no stale ack counts',
      { timeout: (lifeMs + blockMs) * 8 },
      ({ onTestFinished }) => blockedLoop(settings, onTestFinished),
    )
    test.runIf(LONG)('ten are found in four partitions too', { timeout: lifeMs * MOST_DEATHS }, ({ onTestFinished }) =>
      tenKillers(settings, 4, onTestFinished),
    )
  })
}
