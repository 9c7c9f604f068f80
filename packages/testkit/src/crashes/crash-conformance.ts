import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AdapterDefinition, deadLetterTopic, Transport } from '@streamswitch/core'
import { describe, expect, type TestContext, test } from 'vitest'
import { uniqueName } from '../conformance/names.js'
import { Worker } from '../faults/worker.js'
import { LedgerReader } from '../ledger/index.js'
import { DEADLY, FAILING } from './poison-handler.js'

/** Settings of the cases for an adapter. */
export interface CrashSettings {
  /** The adapter: it must declare `attemptsSurviveRestart`. */
  readonly adapter: AdapterDefinition
  /** Module whose default export it is, for the worker processes: the `file:` URL of its built entry. */
  readonly module: string
  readonly url: string
  /** Transport options of the workers. */
  readonly options?: Readonly<Record<string, unknown>>
  /** Options of the workers' loops that make the death of a member known soon: sessions, leases. */
  readonly consumer?: Readonly<Record<string, unknown>>
  /**
   * Maximum time until another member continues the work of a killed one, in milliseconds: what the cases wait for per
   * death. Default 5,000.
   */
  readonly takeoverMs?: number
}

/** Of the test's own context: the cases run side by side. */
type AtEnd = TestContext['onTestFinished']

const HANDLER = new URL('./poison-handler.js', import.meta.url).href
const ATTEMPTS = 2
const POLL_MS = 20
/** Starting a process and connecting, on a busy machine. */
const START_MS = 15_000

/**
 * Declares the cases of messages that kill their process: bounded attempts across restarts, dead-lettered with the
 * reason, while other messages flow and are not charged. Worker processes die and are started again.
 */
export function crashConformance(settings: CrashSettings): void {
  const lifeMs = (settings.takeoverMs ?? 5_000) + START_MS
  describe(`${settings.adapter.name} counts attempts across the death of processes`, { concurrent: true }, () => {
    test(
      'a message that kills its process is given up after its attempts; its neighbours flow and are not charged',
      {
        timeout: lifeMs * (ATTEMPTS + 4),
      },
      ({ onTestFinished }) => deadlyMessage(settings, lifeMs, onTestFinished),
    )
    test(
      'a message that fails goes on counting where the killed process was',
      {
        timeout: lifeMs * (ATTEMPTS + 3),
      },
      ({ onTestFinished }) => failingMessage(settings, lifeMs, onTestFinished),
    )
  })
}

async function deadlyMessage(settings: CrashSettings, lifeMs: number, atEnd: AtEnd): Promise<void> {
  const scene = await openScene(settings, atEnd, { attempts: ATTEMPTS, minDelayMs: 1, maxDelayMs: 1 })
  const neighbours = Array.from({ length: 30 }, (_, index) => `neighbour-${index}`)
  const ids = [...neighbours.slice(0, 10), `${DEADLY}-1`, ...neighbours.slice(10)]
  await scene.send(ids)
  let deaths = 0
  while ((await scene.letters()).length === 0) {
    expect(deaths, `deaths are bounded by the attempts; handler starts: ${scene.story()}`).toBeLessThanOrEqual(
      ATTEMPTS + 2,
    )
    await scene.worker.start()
    await scene.untilLetter(lifeMs)
    if (!scene.worker.running) deaths += 1
  }
  await scene.until(() => scene.handledAll(neighbours), 'the neighbours handled', lifeMs)
  // Two deaths find it at work beside others: nobody is charged. Then it is alone.
  expect(deaths).toBe(ATTEMPTS + 2)
  expect(await scene.letters()).toEqual([
    expect.objectContaining({
      id: `${DEADLY}-1`,
      code: 'ABORTED',
      attempts: ATTEMPTS,
      error: expect.stringContaining('its process ended'),
    }),
  ])
  const charged = scene.starts().filter(({ id, attempt }) => !id.startsWith(DEADLY) && attempt > 1)
  expect(charged, 'no neighbour is charged').toEqual([])
}

async function failingMessage(settings: CrashSettings, lifeMs: number, atEnd: AtEnd): Promise<void> {
  const attempts = 4
  // Long enough between two attempts for a process to be killed there.
  const scene = await openScene(settings, atEnd, { attempts, minDelayMs: 1_500, maxDelayMs: 1_500 })
  const id = `${FAILING}-1`
  await scene.send([id])
  const failed = (): number => scene.starts().filter(({ outcome }) => outcome === 'failed').length
  const lives: number[][] = []
  // That the second attempt has started says that the first is on record; of the second nobody can know.
  for (const more of [2, 1]) {
    const before = scene.starts().length
    await scene.worker.start()
    await scene.until(() => failed() >= before + more, `${more} failed attempts`, lifeMs)
    await scene.worker.kill()
    lives.push(
      scene
        .starts()
        .slice(before)
        .map(({ attempt }) => attempt),
    )
  }
  const before = scene.starts().length
  await scene.worker.start()
  await scene.untilLetter(lifeMs)
  lives.push(
    scene
      .starts()
      .slice(before)
      .map(({ attempt }) => attempt),
  )
  expect(await scene.letters()).toEqual([expect.objectContaining({ id, code: 'TypeError', attempts })])
  const [first = [], second = [], third = []] = lives
  expect(first).toEqual([1, 2])
  expect([2, 3], 'what was on record counts').toContain(second[0])
  // Killed right after it had failed once more, which may not have been on record yet: no start is charged that has not failed.
  const last = second.at(-1) ?? 0
  expect([last, last + 1]).toContain(third[0])
  expect(third.at(-1)).toBe(attempts)
}

async function openScene(settings: CrashSettings, atEnd: AtEnd, retry: Readonly<Record<string, number>>) {
  const ledger = await mkdtemp(join(tmpdir(), 'streamswitch-crash-'))
  const topic = uniqueName('crash')
  const group = uniqueName('group')
  const transport = new Transport(settings.adapter, settings.url, {
    environment: {},
    options: settings.options ?? {},
    logger: { debug() {}, info() {}, warn() {}, error() {} },
  })
  const worker = new Worker({
    name: 'worker',
    ledger,
    adapter: settings.module,
    url: settings.url,
    options: settings.options ?? {},
    topic,
    role: { kind: 'consumer', group, handler: HANDLER, settings: { concurrency: 4, retry, ...settings.consumer } },
  })
  const reader = new LedgerReader(ledger)
  const box = transport.deadLetters(topic, { group })
  atEnd(async () => {
    await worker.kill()
    await box.close()
    for (const name of [topic, deadLetterTopic(topic, group)])
      await transport.admin.deleteTopic(transport.topicSpec(name))
    await transport.close({ timeoutMs: 0 })
    await rm(ledger, { recursive: true, force: true })
  })
  // The group is there before the messages are, on every transport.
  await worker.start()
  await worker.ready()
  worker.terminate()
  await worker.ended(START_MS)

  const until = async (condition: () => boolean, what: string, timeoutMs: number): Promise<void> => {
    const deadline = performance.now() + timeoutMs
    while (!condition()) {
      if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for: ${what}`)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }
  return {
    worker,
    until,
    async send(ids: readonly string[]): Promise<void> {
      const producer = transport.producer(topic)
      await Promise.all(ids.map((id, index) => producer.send(index, { id, key: id })))
      await producer.close()
    },
    /** The handler starts, by life. */
    story(): string {
      const lives = new Map<number, string[]>()
      for (const { life, id, attempt, outcome } of reader.refresh().handlings)
        lives.set(life, [...(lives.get(life) ?? []), `${id} (${attempt}, ${outcome})`])
      return [...lives.values()].map((starts) => starts.join(', ')).join('; then ')
    },
    starts: () => reader.refresh().handlings,
    handledAll(ids: readonly string[]): boolean {
      const done = new Set(
        reader.refresh().handlings.flatMap(({ id, outcome }) => (outcome === 'succeeded' ? [id] : [])),
      )
      return ids.every((id) => done.has(id))
    },
    letters: async () => (await box.list()).letters,
    /** Waits until the worker has died, or there is a dead letter. */
    async untilLetter(timeoutMs: number): Promise<void> {
      const deadline = performance.now() + timeoutMs
      while (worker.running && (await box.list()).letters.length === 0)
        if (performance.now() > deadline)
          throw new Error(`waited ${timeoutMs} ms for a dead letter, or the death of the worker`)
    },
  }
}
