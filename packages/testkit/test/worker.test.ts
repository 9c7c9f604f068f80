import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ConsumerRole,
  LedgerReader,
  type ProducerRole,
  startWorker,
  type Worker,
  type WorkerSpec,
} from '@streamswitch/testkit/faults'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

let folder: string
let reader: LedgerReader
let workers: Worker[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'streamswitch-worker-'))
  mkdirSync(join(folder, 'topics'))
  mkdirSync(join(folder, 'ledger'))
  reader = new LedgerReader(join(folder, 'ledger'))
  workers = []
})

afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.kill()))
  rmSync(folder, { recursive: true, force: true })
})

async function start(name: string, role: ProducerRole | ConsumerRole, more: Partial<WorkerSpec> = {}): Promise<Worker> {
  const worker = await startWorker({
    name,
    ledger: join(folder, 'ledger'),
    adapter: new URL('support/file-adapter.mjs', import.meta.url).href,
    url: 'lines://',
    options: { folder: join(folder, 'topics') },
    topic: 'orders',
    role,
    ...more,
  })
  workers.push(worker)
  return worker
}

const producer = (settings: Partial<ProducerRole> = {}): ProducerRole => ({
  kind: 'producer',
  count: 30,
  keys: ['a', 'b'],
  window: 4,
  ...settings,
})
const consumer = (settings: Partial<ConsumerRole> = {}): ConsumerRole => ({ kind: 'consumer', group: 'g', ...settings })
const until = (condition: () => boolean): Promise<void> =>
  expect.poll(condition, { interval: 5, timeout: 10_000 }).toBe(true)
const stored = (): string[] =>
  readFileSync(join(folder, 'topics/orders'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { id: string }).id)

describe('a worker', () => {
  test('sends all of its messages under its keys, then ends by itself', async () => {
    const worker = await start('p', producer())
    expect(await worker.ended(10_000)).toEqual({ code: 0, signal: null })
    expect(stored()).toEqual(Array.from({ length: 30 }, (_, number) => `p/${number}`))
    expect(reader.refresh().counts).toEqual({ sent: 30, confirmed: 30, handled: 0 })
    expect(new Set(reader.sends.map(({ key }) => key))).toEqual(new Set(['a', 'b']))
  })

  test('handles what comes, and stops cleanly on SIGTERM', async () => {
    const worker = await start('c', consumer({ settings: { ack: 'manual' } }))
    await start('p', producer())
    await until(() => reader.refresh().complete && reader.counts.handled === 30)
    await until(() => reader.refresh().handlings.every(({ settled }) => settled))
    worker.terminate()
    expect(await worker.ended(10_000)).toEqual({ code: 0, signal: null })
    expect(reader.refresh().verdict()).toMatchObject({ lost: [], phantom: [], duplicated: [], reordered: [], torn: [] })
    expect(reader.processes.filter((line) => line.process === 'c').map((line) => line.did)).toEqual([
      'launched',
      'ready',
      'stopping',
      'stopped',
    ])
  })

  test('that is killed and restarted sends what it has no confirmation of under the same ids', async () => {
    const worker = await start('p', producer({ count: 200, pauseMs: 5 }))
    await until(() => reader.refresh().counts.confirmed > 20)
    await worker.kill()
    expect(worker.running).toBe(false)
    const before = reader.refresh().counts
    expect(before.confirmed).toBeLessThan(200)
    await worker.start()
    await worker.ready()
    expect(await worker.ended(10_000)).toEqual({ code: 0, signal: null })
    expect(reader.refresh().counts).toMatchObject({ sent: 200, confirmed: 200 })
    expect(new Set(stored()).size).toBe(200)
    expect(stored().length).toBeLessThanOrEqual(200 + 4)
  })

  test('that is frozen does nothing until it is resumed', async () => {
    const worker = await start('p', producer({ count: 100_000, pauseMs: 2 }))
    await until(() => reader.refresh().counts.confirmed > 5)
    worker.freeze()
    const { sent } = reader.refresh().counts
    await start('q', producer())
    await until(() => reader.refresh().sends.filter(({ id }) => id.startsWith('q/')).length === 30)
    expect(reader.refresh().sends.filter(({ id }) => id.startsWith('p/')).length).toBeLessThanOrEqual(sent + 1)
    worker.resume()
    await until(() => reader.refresh().sends.filter(({ id }) => id.startsWith('p/')).length > sent + 5)
  })

  test('runs a handler of a module, whose failures are on record', async () => {
    const handler = new URL('support/failing-handler.mjs', import.meta.url).href
    await start('c', consumer({ handler, settings: { retry: { minDelayMs: 1, maxDelayMs: 1 } } }))
    await start('p', producer({ count: 9 }))
    await until(() => reader.refresh().complete && reader.counts.handled === 9)
    expect(reader.handlings.filter(({ outcome }) => outcome === 'failed').map(({ id }) => id)).toEqual([
      'p/0',
      'p/3',
      'p/6',
    ])
  })

  test('that can not start says why', async () => {
    const failure = start('c', consumer(), { adapter: 'file:///nowhere.mjs' })
    await expect(failure).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('nowhere.mjs'),
    })
  })
})
