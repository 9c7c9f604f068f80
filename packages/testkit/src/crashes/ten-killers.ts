import { expect } from 'vitest'
import { type Act, type CaseMessage, healthy, mixed } from './deed.js'
import { type AtEnd, CrashScene, START_MS } from './scene.js'
import { type CrashSettings, LONG } from './settings.js'

const KILLERS = 10
const HEALTHY = LONG ? 300 : 40
const CONCURRENCY = 32
/** The killers stand among as many. */
const EARLY = 40
const KILLER_ATTEMPTS = LONG ? 3 : 1
/** Each message that ends its process is found by two deaths at most, and ends as many more as it has attempts. */
export const MOST_DEATHS = KILLERS * (KILLER_ATTEMPTS + 2)
/** How many others must have been running beside a killer for a run to be valid. */
const BESIDE = 8

/** Ten messages among many end their process, by `process.exit` and by SIGKILL in turn, with tens of healthy ones running beside them. */
export async function tenKillers(settings: CrashSettings, partitions: number, atEnd: AtEnd): Promise<void> {
  const scene = await CrashScene.open(
    settings,
    {
      partitions,
      consumer: {
        concurrency: CONCURRENCY,
        prefetch: 2 * CONCURRENCY,
        retry: { attempts: KILLER_ATTEMPTS, minDelayMs: 1, maxDelayMs: 1 },
      },
    },
    atEnd,
  )
  const neighbours = healthy(HEALTHY, 150)
  const killers = Array.from({ length: KILLERS }, (_, index): CaseMessage => {
    const act: Act = index % 2 === 0 ? 'exit' : 'kill'
    return { id: `killer-${index}`, deed: { ms: 100, acts: [act] } }
  })
  await scene.send([...mixed(neighbours.slice(0, EARLY), killers), ...neighbours.slice(EARLY)])
  await scene.supervise(
    async () => scene.handledAll(neighbours) && idsOf(await scene.letters()).length >= KILLERS,
    'all neighbours handled, and ten dead letters',
    { mostDeaths: MOST_DEATHS, patienceMs: (settings.takeoverMs ?? 5_000) + START_MS },
  )
  const letters = await scene.letters()
  // One that is written, and could not be committed yet, is written again after the next death.
  expect(idsOf(letters)).toEqual(idsOf(killers))
  for (const letter of letters) expect(letter).toMatchObject({ code: 'ABORTED', attempts: KILLER_ATTEMPTS })
  scene.expectUncharged((id) => id.startsWith('killer'))
  const isKiller = ({ id }: { readonly id: string }): boolean => id.startsWith('killer')
  const deaths = scene.atWorkAtDeaths().filter((atWork) => atWork.some(isKiller))
  const crowded = deaths.filter(
    (atWork) => atWork.filter(isKiller).length > 1 && atWork.filter((start) => !isKiller(start)).length >= BESIDE,
  )
  expect(crowded.length, 'killers ran together, and with many others').toBeGreaterThanOrEqual(1)
  // What is charged was alone in its process.
  for (const start of scene
    .starts()
    .filter(isKiller)
    .filter(({ attempt }) => attempt > 1)) {
    const before = deaths.filter((atWork) => atWork.some(({ id }) => id === start.id))
    expect(before.filter((atWork) => atWork.length === 1).length).toBeGreaterThanOrEqual(start.attempt - 1)
  }
}

function idsOf(messages: readonly { readonly id: string }[]): string[] {
  return [...new Set(messages.map(({ id }) => id))].sort()
}
