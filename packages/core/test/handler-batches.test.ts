import { describe, expect, it } from 'vitest'
import type { HandleBatchOptions } from '../src/consumer/loop-handler.js'
import type { PartitionAssignment } from '../src/contract/consumer-driver.js'
import { MemoryDedupeStore } from '../src/dedupe/memory-dedupe-store.js'
import type { Message } from '../src/message.js'
import { deliveriesOf, Script, scriptedTransport, until } from './support/scripted-adapter.js'

interface Run {
  readonly ids: readonly string[]
  readonly messages: readonly Message[]
  end(error?: unknown): void
}

/** A loop whose batches end when the test says so. */
async function start(options: object = {}, batch: HandleBatchOptions = { maxMessages: 3, maxWaitMs: 5 }) {
  const script = new Script()
  const loop = scriptedTransport(script).consumer('orders', {
    group: 'billing',
    retry: { minDelayMs: 0, maxDelayMs: 0 },
    deadLetter: false,
    ...options,
  })
  const runs: Run[] = []
  loop.handleBatch(
    (messages) =>
      new Promise<void>((resolve, reject) => {
        const end = (error?: unknown): void => (error === undefined ? resolve() : reject(error))
        runs.push({ ids: messages.map(({ id }) => id), messages, end })
      }),
    batch,
  )
  const finished = loop.run()
  finished.catch(() => {})
  await until(() => script.consumers.length > 0)
  const assignment: PartitionAssignment = { topic: 'orders', partition: 0, epoch: 1 }
  script.consumer.sink.assigned([assignment])
  const deliver = (ids: string[], extra = {}): void =>
    void script.consumer.sink.deliver(assignment, deliveriesOf(assignment, ids, extra))
  return { script, loop, runs, deliver, finished, assignment, driver: script.consumer }
}

const ids = (runs: readonly Run[]): string[] => runs.map((run) => run.ids.join(' '))

describe('batches', () => {
  it('fill with messages of one key, the next ones wait for the end of the batch', async () => {
    const { runs, deliver, loop } = await start()
    deliver(['a1', 'a2', 'a3', 'a4', 'a5'])
    await until(() => runs.length === 1)
    expect(ids(runs)).toEqual(['a1 a2 a3'])
    runs[0]?.end()
    await until(() => runs.length === 2)
    expect(ids(runs)).toEqual(['a1 a2 a3', 'a4 a5'])
    await loop.close({ timeoutMs: 0 })
  })

  it('a failure takes what follows it in its key back, without an attempt counted, and nothing else', async () => {
    const { runs, deliver, driver, loop } = await start({}, { maxMessages: 5, maxWaitMs: 5 })
    deliver(['a1', 'b1', 'a2', 'b2', 'a3'])
    await until(() => runs.length === 1)
    await runs[0]?.messages[2]?.nack('not now')
    runs[0]?.end()
    await until(() => runs.length === 2)
    expect([...driver.acked].sort()).toEqual(['a1', 'b1', 'b2'])
    expect(ids(runs)).toEqual(['a1 b1 a2 b2 a3', 'a2'])
    runs[1]?.end()
    await until(() => runs.length === 3)
    expect(runs[2]?.messages.map(({ id, attempt }) => `${id} ${attempt}`)).toEqual(['a3 1'])
    expect(runs[1]?.messages[0]?.attempt).toBe(2)
    runs[2]?.end()
    await until(() => driver.acked.length === 5)
    await loop.close()
  })

  it('without order, only what failed comes again', async () => {
    const { runs, deliver, driver, loop } = await start({ ordering: 'none' })
    deliver(['a1', 'a2', 'a3'])
    await until(() => runs.length === 1)
    await runs[0]?.messages[0]?.nack('not now')
    runs[0]?.end()
    await until(() => runs.length === 2)
    expect(ids(runs)).toEqual(['a1 a2 a3', 'a1'])
    expect(driver.acked).toEqual(['a2', 'a3'])
    await loop.close({ timeoutMs: 0 })
  })

  it('what fails on its way in keeps its followers out of the batch', async () => {
    let refused = false
    const { runs, deliver, loop } = await start({
      middleware: [
        async (message: Message, next: () => Promise<unknown>) => {
          if (message.id !== 'a1' || refused) return next()
          refused = true
          throw new Error('not yet')
        },
      ],
    })
    deliver(['a1', 'a2', 'b1'])
    await until(() => runs.length === 1)
    expect(ids(runs)).toEqual(['b1'])
    runs[0]?.end()
    await until(() => runs.length === 2)
    expect(ids(runs)).toEqual(['b1', 'a1'])
    runs[1]?.end()
    await until(() => runs.length === 3)
    expect(ids(runs)).toEqual(['b1', 'a1', 'a2'])
    await loop.close({ timeoutMs: 0 })
  })

  it('what must be alone stands in a batch alone', async () => {
    const { runs, deliver, loop } = await start({ concurrency: 5 })
    deliver(['a1', 'b1'], { wasAtWork: true })
    deliver(['c1'])
    await until(() => runs.length === 1)
    expect(ids(runs)).toEqual(['a1'])
    runs[0]?.end()
    await until(() => runs.length === 2)
    expect(ids(runs)).toEqual(['a1', 'b1'])
    runs[1]?.end()
    await until(() => runs.length === 3)
    await loop.close({ timeoutMs: 0 })
  })

  it('a batch that is left behind gives its place back', async () => {
    const { runs, deliver, driver, loop } = await start(
      {
        concurrency: 1,
        handlerTimeoutMs: 20,
        handlerGraceMs: 20,
        errorPolicy: 'restart',
        retry: { minDelayMs: 0, maxDelayMs: 0 },
      },
      { maxMessages: 2, maxWaitMs: 0 },
    )
    loop.on('error', () => {})
    deliver(['a1', 'b1', 'c1'])
    await until(() => runs.some((run) => run.ids.includes('c1')))
    runs.find((run) => run.ids.includes('c1'))?.end()
    await until(() => driver.acked.length === 3)
    expect(loop.stats()).toMatchObject({ running: 0, skipped: 2 })
    await loop.close()
  })

  it('a lost partition takes its messages out of what has gathered', async () => {
    const { runs, deliver, assignment, driver, loop } = await start({}, { maxMessages: 3, maxWaitMs: 60_000 })
    const other: PartitionAssignment = { topic: 'orders', partition: 1, epoch: 1 }
    driver.sink.assigned([other])
    deliver(['a1'])
    void driver.sink.deliver(other, deliveriesOf(other, ['b1']))
    await until(() => loop.stats().running === 2)
    await driver.sink.revoked([assignment], 'lost')
    void driver.sink.deliver(other, deliveriesOf(other, ['c1']))
    await until(() => runs.length === 1)
    expect(ids(runs)).toEqual(['b1 c1'])
    runs[0]?.end()
    await until(() => driver.acked.length === 2)
    expect(loop.stats()).toMatchObject({ running: 0, overlaps: 0 })
    await loop.close()
  })

  it('a message that its key holds back is handled again under dedupe, as if it had not been', async () => {
    const { runs, deliver, driver, loop } = await start(
      { dedupe: { store: new MemoryDedupeStore() } },
      { maxMessages: 2, maxWaitMs: 5 },
    )
    deliver(['a1', 'a2'])
    await until(() => runs.length === 1)
    await runs[0]?.messages[0]?.nack('not now')
    runs[0]?.end()
    await until(() => runs.length === 2)
    runs[1]?.end()
    await until(() => runs.length === 3)
    expect(ids(runs)).toEqual(['a1 a2', 'a1', 'a2'])
    runs[2]?.end()
    await until(() => driver.acked.length === 2)
    expect(loop.stats()).toMatchObject({ deduplicated: 0, conflicts: 0 })
    await loop.close()
  })

  it('pause handles what has gathered and starts nothing more; resume goes on', async () => {
    const { runs, deliver, loop } = await start({}, { maxMessages: 3, maxWaitMs: 60_000 })
    deliver(['a1'])
    await until(() => loop.stats().running === 1)
    loop.pause()
    await until(() => runs.length === 1)
    deliver(['a2', 'a3', 'a4'])
    runs[0]?.end()
    await until(() => loop.stats().running === 0)
    expect(ids(runs)).toEqual(['a1'])
    loop.resume()
    await until(() => runs.length === 2)
    expect(ids(runs)).toEqual(['a1', 'a2 a3 a4'])
    await loop.close({ timeoutMs: 0 })
  })
})
