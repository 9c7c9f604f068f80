import { type ConsumerLoop, ConsumerRunner, type ConsumerSettings } from '@streamswitch/core'
import { expect } from 'vitest'
import { type Bench, quickRetry } from './bench.js'
import { Gate, within } from './collect.js'
import { rejection } from './expect-error.js'
import { leftFor } from './expect-history.js'
import { RunnerProcess } from './runner-process.js'
import type { Suite } from './suite.js'
import { absentUrl } from './unreachable.js'

const QUIET = { environment: {}, signals: [] }

/** A process with several loops: they start together, stop in order, and come and go. */
export function runner(suite: Suite): void {
  suite.describe('runner', () => {
    together(suite)
    failures(suite)
    if (suite.has('multiProcess')) signals(suite)
  })
}

function together(suite: Suite): void {
  suite.test('a stop lets the running handler finish, with what it sends', { topics: 2 }, async (bench) => {
    const [incoming = '', outgoing = ''] = bench.topics
    const gate = new Gate()
    const onwards = await bench.member({ topic: outgoing })
    const transport = bench.transport()
    const producer = transport.producer(outgoing, { partitions: bench.partitions })
    const { part, started } = loopOf(bench, incoming, async () => {
      await gate.opened
      await producer.send('onwards', { id: 'sent while stopping' })
    })
    const one = new ConsumerRunner([transport, part], QUIET)
    const { outcome } = await running(bench, one)
    void bench.ledger.send(bench.producer({ topic: incoming, transport: bench.transport() }), 1, { id: 'in', key: 'k' })
    await bench.until(() => started().length === 1, 'the handler to start')
    expect(await one.health()).toMatchObject({ live: true, ready: true, loops: { [incoming]: { running: 1 } } })
    const stopped = one.stop()
    gate.open()
    await within(stopped, 'the stop')
    expect(await outcome).toBeUndefined()
    await bench.until(() => onwards.succeeded.includes('sent while stopping'), "the handler's own message")
    expect(started()).toEqual(['in'])
  })

  suite.test('runs the loops that are chosen; others join and leave while it runs', { topics: 2 }, async (bench) => {
    const [one = '', two = ''] = bench.topics
    const [first, second] = [loopOf(bench, one), loopOf(bench, two)]
    const runs = new ConsumerRunner([first.part, second.part], QUIET)
    const { outcome } = await running(bench, runs, [one])
    const extra = loopOf(bench, two)
    await runs.add(extra.part, { name: 'added' })
    for (const topic of bench.topics) void bench.ledger.send(bench.producer({ topic }), 1, { id: `in-${topic}` })
    await bench.handledAll([`in-${one}`, `in-${two}`])
    expect([first.started(), second.started(), extra.started()]).toEqual([[`in-${one}`], [], [`in-${two}`]])
    await within(runs.remove('added'), 'the removal')
    await rejection(extra.part.init(), 'CLOSED')
    expect(runs.state).toBe('running')
    await within(runs.stop(), 'the stop')
    expect(await outcome).toBeUndefined()
  })
}

function failures(suite: Suite): void {
  if (suite.settings.adapter.reconnects === 'core')
    suite.test('a start that fails leaves nothing half-running', {}, async (bench) => {
      const well = loopOf(bench, bench.topic)
      await well.part.init()
      const elsewhere = bench.transport({}, await absentUrl(suite, bench))
      const absent = elsewhere.consumer(bench.topic, { group: bench.group, connectTimeoutMs: 500 }).handle(() => {})
      void bench.ledger.send(bench.producer(), 1, { id: 'early', key: 'k' })
      await bench.ledger.allConfirmed()
      const both = new ConsumerRunner([well.part, { name: 'absent', loop: absent }], QUIET)
      await rejection(both.run(), 'UNAVAILABLE')
      expect([both.state, well.started()]).toEqual(['failed', []])
      await rejection(well.part.init(), 'CLOSED')
      expect(await leftFor(bench, ['k'])).toEqual(['early'])
    })
  // What fails there goes back to its sender, and the loop goes on.
  if (suite.senderRetries) return
  suite.test('a loop that fails ends alone; the error comes out at the end', { topics: 2 }, async (bench) => {
    const [failing = '', well = ''] = bench.topics
    const fail = (): never => {
      throw new Error('broken for good')
    }
    const broken = loopOf(bench, failing, fail, { deadLetter: false, retry: quickRetry(1) })
    const other = loopOf(bench, well)
    const both = new ConsumerRunner([broken.part, other.part], { ...QUIET, logger: bench.logger })
    const { outcome } = await running(bench, both)
    void bench.ledger.send(bench.producer({ topic: failing }), 1, { id: 'bad' })
    await bench.until(() => broken.started().length > 0, 'the failing handler')
    void bench.ledger.send(bench.producer({ topic: well }), 1, { id: 'good' })
    await bench.handledAll(['good'])
    expect(both.state).toBe('running')
    await within(both.stop(), 'the stop')
    expect(await outcome).toMatchObject({ message: 'broken for good' })
  })
}

function signals(suite: Suite): void {
  suite.test('SIGTERM while a handler runs: it finishes, and the process ends with 0', {}, async (bench) => {
    await using child = RunnerProcess.start(suite, bench, bench.url)
    await child.said('running')
    void bench.ledger.send(bench.producer(), 1, { id: 'in', key: 'k' })
    await child.said('handling in')
    child.terminate()
    await child.said('stopping')
    child.tell('finish')
    expect(await child.ended).toBe(0)
    expect(child.lines.filter((line) => line !== 'connecting')).toEqual([
      'running',
      'handling in',
      'stopping',
      'handled in',
      'stopped',
    ])
    await bench.ledger.allConfirmed()
    expect(await leftFor(bench, ['k'])).toEqual([])
  })

  suite.test('SIGTERM while the broker is unreachable: the exit is bounded, and clean', {}, async (bench) => {
    const absent = suite.settings.adapter.reconnects === 'core' ? await absentUrl(suite, bench) : bench.url
    await using child = RunnerProcess.start(suite, bench, absent)
    await child.said('connecting')
    child.terminate()
    expect(await within(child.ended, 'the exit')).toBe(0)
    expect(child.lines.at(-1)).toBe('stopped')
    bench.transport()
  })
}

/** A loop whose handler starts are noted. */
function loopOf(
  bench: Bench,
  topic: string,
  handler: () => unknown = () => {},
  settings: Partial<ConsumerSettings> = {},
): { readonly part: ConsumerLoop; readonly started: () => readonly string[] } {
  const part = bench.transport().consumer(topic, {
    group: bench.group,
    partitions: bench.partitions,
    retry: quickRetry(),
    ...settings,
  })
  const ids: string[] = []
  part.handle(
    bench.journal.record({ member: `runner-${topic}`, group: bench.group }, async ({ id }) => {
      ids.push(id)
      await handler()
    }),
  )
  return { part, started: () => ids }
}

/** Starts a runner; resolves when it runs, with what its `run` comes to: nothing, or the error. */
async function running(
  bench: Bench,
  one: ConsumerRunner,
  only?: readonly string[],
): Promise<{ outcome: Promise<unknown> }> {
  const outcome = one.run(only === undefined ? {} : { only }).catch((error: unknown) => error)
  await bench.until(() => one.state !== 'starting', 'the start')
  return { outcome }
}
