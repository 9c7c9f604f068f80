import { describe, expect, it, vi } from 'vitest'
import {
  ConsumerFactory,
  type ConsumerLoop,
  ConsumerRunner,
  type ErrorPolicy,
  Router,
  type RunnerOptions,
  StreamError,
} from '../src/index.js'
import { deliveriesOf, Script, scriptedTransport, until } from './support/scripted-adapter.js'

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

interface Made {
  readonly loop: ConsumerLoop
  readonly script: Script
  readonly seen: string[]
  /** Hands a message to the loop's driver. */
  deliver(id: string): void
}

/** A loop at a broker of its own, whose handler fails for messages that begin with `bad`. */
function make(topic: string, policy?: ErrorPolicy, handle: (id: string) => unknown = () => {}): Made {
  const script = new Script()
  const seen: string[] = []
  const loop = scriptedTransport(script).consumer(topic, {
    group: 'g',
    deadLetter: false,
    retry: { attempts: 1 },
    errorPolicy: policy,
  })
  loop.handle(async ({ id }) => {
    seen.push(id)
    if (id.startsWith('bad')) throw new Error(`${topic} can't`)
    await handle(id)
  })
  const assignment = { topic, partition: 0, epoch: 1 }
  let assigned = false
  const deliver = (id: string): void => {
    if (!assigned) script.consumer.sink.assigned([assignment])
    assigned = true
    void script.consumer.sink.deliver(assignment, deliveriesOf(assignment, [id]))
  }
  return { loop, script, seen, deliver }
}

function runnerOf(made: readonly Made[], options: RunnerOptions = {}): ConsumerRunner {
  return new ConsumerRunner(
    made.map(({ loop }) => loop),
    { logger: SILENT, environment: {}, ...options },
  )
}

describe('the life of a runner', () => {
  it('calls the hooks in order, each in its state, and resolves after a clean stop', async () => {
    const calls: string[] = []
    const note = (name: string) => (runner: ConsumerRunner) => void calls.push(`${name} ${runner.state}`)
    const runner = runnerOf([make('a')], {
      onStartup: note('onStartup'),
      afterStartup: async (one) => {
        note('afterStartup')(one)
        await one.stop()
      },
      onStop: note('onStop'),
      afterStop: note('afterStop'),
    })
    expect(runner.state).toBe('idle')
    await runner.run()
    expect(calls).toEqual(['onStartup starting', 'afterStartup running', 'onStop stopping', 'afterStop stopped'])
    await expect(runner.run()).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it('lets no loop handle before all have joined, and leaves nothing running when one fails to', async () => {
    const well = make('well')
    const broken = make('broken')
    let fail: (error: Error) => void = () => {}
    broken.script.onOpen = () => new Promise((_, reject) => (fail = reject))
    const runner = runnerOf([well, broken])
    const run = runner.run()
    await until(() => well.script.consumers.length > 0)
    well.deliver('early')
    await until(() => well.loop.stats().waiting === 1)
    expect(well.seen).toEqual([])
    fail(new StreamError('no such user', { code: 'UNAUTHENTICATED' }))
    await expect(run).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
    expect([runner.state, well.seen]).toEqual(['failed', []])
    await expect(well.loop.init()).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it('refuses a loop without a handler before anything is connected', async () => {
    const script = new Script()
    const loop = scriptedTransport(script).consumer('a', { group: 'g' })
    await expect(new ConsumerRunner([loop], { environment: {}, logger: SILENT }).run()).rejects.toThrow(
      "loop 'a' has no handler",
    )
    expect(script.consumers).toEqual([])
  })

  it('rejects with the error of a hook, and closes everything', async () => {
    for (const name of ['onStartup', 'afterStartup', 'onStop', 'afterStop'] as const) {
      const made = make('a')
      const runner = runnerOf([made], {
        [name]: () => {
          throw new Error(`${name} is broken`)
        },
      })
      const run = runner.run()
      if (name === 'onStop' || name === 'afterStop') await runner.stop()
      await expect(run).rejects.toThrow(`${name} is broken`)
      expect(runner.state).toBe('failed')
      await expect(made.loop.init()).rejects.toMatchObject({ code: 'CLOSED' })
    }
  })

  it('stops while it starts, without an error', async () => {
    const made = make('a')
    made.script.onOpen = () => new Promise(() => {})
    const runner = runnerOf([made])
    const ending = new AbortController()
    const run = runner.run({ signal: ending.signal })
    expect(runner.state).toBe('starting')
    ending.abort()
    await run
    expect(runner.state).toBe('stopped')
  })

  it('lets a running handler finish, flushes its listener, then closes producers, then transports', async () => {
    const script = new Script()
    const transport = scriptedTransport(script)
    const order: string[] = []
    const loop = transport.consumer('a', { group: 'g' })
    let finish: () => void = () => {}
    loop.handle({
      consume: () => new Promise<void>((resolve) => (finish = resolve)).then(() => order.push('handled')),
      flush: () => order.push(`flushed ${producer.stats().sent === 0}`),
    })
    const producer = transport.producer('b')
    const close = producer.close.bind(producer)
    producer.close = (options) => {
      order.push('producer')
      return close(options)
    }
    const closeTransport = transport.close.bind(transport)
    transport.close = (options) => {
      order.push('transport')
      return closeTransport(options)
    }
    const runner = new ConsumerRunner([transport, producer, loop], { environment: {}, logger: SILENT })
    const run = runner.run()
    await until(() => runner.state === 'running')
    const assignment = { topic: 'a', partition: 0, epoch: 1 }
    script.consumer.sink.assigned([assignment])
    void script.consumer.sink.deliver(assignment, deliveriesOf(assignment, ['a1']))
    await until(() => loop.stats().running === 1)
    const stopped = runner.stop()
    await until(() => runner.state === 'stopping')
    finish()
    await stopped
    await run
    expect(order.slice(0, 4)).toEqual(['handled', 'flushed true', 'producer', 'transport'])
    expect(script.consumer.acked).toEqual(['a1'])
  })

  it('bounds the stop: handlers that outlast it are named', async () => {
    const made = make('a', undefined, () => new Promise(() => {}))
    const runner = runnerOf([made], { timeoutMs: 100 })
    const run = runner.run()
    await until(() => runner.state === 'running')
    made.deliver('endless')
    await until(() => made.seen.length === 1)
    await Promise.all([
      runner.stop(),
      expect(run).rejects.toMatchObject({ code: 'TIMEOUT', message: expect.stringContaining("handlers of 'a'") }),
    ])
  })

  it('bounds the stop where a close hangs', async () => {
    const made = make('a')
    const runner = runnerOf([made], { timeoutMs: 50 })
    const run = runner.run()
    await until(() => runner.state === 'running')
    made.script.consumer.close = () => new Promise(() => {})
    await Promise.all([
      runner.stop(),
      expect(run).rejects.toMatchObject({ code: 'TIMEOUT', message: expect.stringContaining("loop 'a'") }),
    ])
  })

  it('closes all parts when it is stopped before it has run', async () => {
    const made = make('a')
    const runner = runnerOf([made])
    await runner.stop()
    await expect(made.loop.init()).rejects.toMatchObject({ code: 'CLOSED' })
    expect(runner.state).toBe('stopped')
  })

  it('removes its signal listeners', async () => {
    const before = process.listenerCount('SIGTERM')
    const runner = runnerOf([make('a')])
    const run = runner.run()
    expect(process.listenerCount('SIGTERM')).toBe(before + 1)
    await runner.stop()
    await run
    expect(process.listenerCount('SIGTERM')).toBe(before)
  })
})

describe('which loops a runner runs', () => {
  it.each([
    ['by `only`', { only: ['b'] }, {}],
    ['by STREAMSWITCH_RUN', {}, { STREAMSWITCH_RUN: ' b ,' }],
    ['by `only`, which wins over the environment', { only: ['b'] }, { STREAMSWITCH_RUN: 'a' }],
  ])('%s', async (_title, run, environment) => {
    const made = [make('a'), make('b')] as const
    const runner = runnerOf(made, { environment })
    const running = runner.run(run)
    await until(() => runner.state === 'running')
    const { loops, ready } = await runner.health()
    expect(loops).toMatchObject({ a: { state: 'idle', chosen: false }, b: { state: 'running', chosen: true } })
    expect([ready, made[0].script.consumers.length]).toEqual([true, 0])
    await runner.stop()
    await running
  })

  it('refuses names that no loop has, and two loops of one name', async () => {
    const runner = runnerOf([make('billing'), make('audit')])
    await expect(runner.run({ only: ['biling'] })).rejects.toThrow(
      "only names unknown loops: biling; did you mean 'billing'?; known loops: billing, audit",
    )
    await expect(runner.run({ only: [] })).rejects.toThrow('only names no loop')
    expect(() => runnerOf([make('a'), make('a')])).toThrow(
      "two loops are named 'a': a/g on scripted and a/g on scripted",
    )
    const named = new ConsumerRunner([make('a').loop, { name: 'other', loop: make('a').loop }])
    expect(Object.keys((await named.health()).loops)).toEqual(['a', 'other'])
  })

  it.each([
    ['orders,invoices', ['orders,invoices']],
    [' orders , invoices,', ['orders,invoices']],
    ['billing,orders,invoices', ['billing', 'orders,invoices']],
    ['invoices, orders', ['invoices', 'orders']],
    ['orders', ['orders']],
    ['orders,invoices,orders', ['orders,invoices', 'orders']],
    ['by night,by day', ['by night, by day']],
  ])('finds names with commas in STREAMSWITCH_RUN: %s', async (variable, expected) => {
    const over = (...topics: string[]): ConsumerLoop =>
      scriptedTransport(new Script())
        .consumer(topics, { group: 'g' })
        .handle(() => {})
    const named = { name: 'by night, by day', loop: over('audit') }
    const loops = [over('orders', 'invoices'), over('billing'), over('orders'), over('invoices'), named]
    const runner = new ConsumerRunner(loops, { logger: SILENT, environment: { STREAMSWITCH_RUN: variable } })
    const run = runner.run()
    await until(() => runner.state === 'running')
    const { loops: health } = await runner.health()
    const chosen = Object.keys(health).filter((name) => health[name]?.chosen)
    expect(chosen.sort()).toEqual(expected.toSorted())
    await runner.stop()
    await run
  })

  it('says which part of STREAMSWITCH_RUN names no loop', async () => {
    const environment = { STREAMSWITCH_RUN: 'orders,payments,billing' }
    const runner = runnerOf([make('orders'), make('billing')], { environment })
    await expect(runner.run()).rejects.toThrow(
      'STREAMSWITCH_RUN names unknown loops: payments; known loops: orders, billing',
    )
  })

  it('names loops by pattern by their patterns, before they have joined any topic', async () => {
    const byPattern = (pattern: string): ConsumerLoop =>
      scriptedTransport(new Script())
        .consumer({ pattern }, { group: 'g' })
        .handle(() => {})
    const runner = new ConsumerRunner([byPattern('orders.*'), byPattern('invoices.*')], {
      logger: SILENT,
      environment: {},
    })
    const run = runner.run({ only: ['orders.*'] })
    await until(() => runner.state === 'running')
    expect((await runner.health()).loops).toMatchObject({
      'orders.*': { state: 'running', topics: [] },
      'invoices.*': { state: 'idle', chosen: false },
    })
    await runner.stop()
    await run
    expect(() => new ConsumerRunner([byPattern('*.eu'), byPattern('*.eu')])).toThrow(
      "two loops are named '*.eu': *.eu/g on scripted and *.eu/g on scripted",
    )
  })

  it('takes factories and routers', async () => {
    const transport = scriptedTransport(new Script())
    const factory = new ConsumerFactory(scriptedTransport(new Script()), { group: 'g' })
    factory.route('routed', () => {})
    const router = new Router('r', { group: 'h' }).route('from-router', () => {})
    const runner = new ConsumerRunner([factory, router], { transport, environment: {}, logger: SILENT })
    const run = runner.run()
    await until(() => runner.state === 'running')
    expect((await runner.health()).loops).toMatchObject({
      routed: { state: 'running', group: 'g' },
      'from-router': { state: 'running', group: 'h' },
    })
    await runner.stop()
    await run
    expect(() => new ConsumerRunner([{} as never])).toThrow('accepts loops, factories, routers')
  })

  it('starts loops that are added while it runs, and closes those that are removed', async () => {
    const [first, second] = [make('first'), make('second')] as const
    const runner = runnerOf([first])
    const run = runner.run()
    await runner.add(second.loop, { name: 'late' })
    second.deliver('x')
    await until(() => second.seen.length === 1)
    await runner.remove('first')
    await expect(first.loop.init()).rejects.toMatchObject({ code: 'CLOSED' })
    await runner.remove(second.loop)
    expect([runner.state, (await runner.health()).loops]).toEqual(['running', {}])
    await expect(runner.remove('first')).rejects.toMatchObject({ code: 'NOT_FOUND' })
    const broken = make('broken')
    broken.script.onOpen = () => Promise.reject(new StreamError('no', { code: 'PERMISSION_DENIED' }))
    await expect(runner.add(broken.loop)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
    await expect(broken.loop.init()).rejects.toMatchObject({ code: 'CLOSED' })
    await runner.stop()
    await run
    await expect(runner.add(make('too-late').loop)).rejects.toMatchObject({ code: 'CLOSED' })
  })
})

describe('error policies', () => {
  it("'stop' ends this loop, the others run on, and run rejects with its error at the end", async () => {
    const [failing, well] = [make('failing', 'stop'), make('well')] as const
    const runner = runnerOf([failing, well])
    const run = runner.run()
    await until(() => runner.state === 'running')
    failing.deliver('bad')
    await vi.waitFor(async () => expect((await runner.health()).loops['failing']?.state).toBe('failed'))
    well.deliver('good')
    await until(() => well.seen.length === 1)
    expect(runner.state).toBe('running')
    const health = await runner.health()
    expect(health).toMatchObject({ live: false, ready: false })
    expect(health.loops['failing']?.lastError).toMatchObject({ message: "failing can't" })
    await Promise.all([runner.stop(), expect(run).rejects.toThrow("failing can't")])
  })

  it('the last loop that ends stops the runner', async () => {
    const failing = make('failing')
    const runner = runnerOf([failing])
    const run = runner.run()
    await until(() => runner.state === 'running')
    failing.deliver('bad')
    await expect(run).rejects.toThrow("failing can't")
    const closed = make('closed')
    const second = runnerOf([closed])
    const ended = second.run()
    await until(() => second.state === 'running')
    await closed.loop.close()
    await ended
    expect(second.state).toBe('stopped')
  })

  it("'stop-runner' stops all loops, and run rejects with the error", async () => {
    const [failing, well] = [make('failing', 'stop-runner'), make('well')] as const
    const runner = runnerOf([failing, well])
    const run = runner.run()
    await until(() => runner.state === 'running')
    failing.deliver('bad')
    await expect(run).rejects.toThrow("failing can't")
    await expect(well.loop.init()).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it("'restart' skips the message, and the loop and its runner run on", async () => {
    const made = make('a', 'restart')
    const skipped: string[] = []
    made.loop.on('skipped', ({ id }) => skipped.push(id))
    const runner = runnerOf([made])
    const run = runner.run()
    await until(() => runner.state === 'running')
    made.deliver('bad')
    await vi.waitFor(() => expect(skipped).toEqual(['bad']))
    made.deliver('good')
    await until(() => made.script.consumer.acked.length === 2)
    expect(made.seen).toEqual(['bad', 'good'])
    expect(await runner.health()).toMatchObject({ live: true, ready: true, loops: { a: { state: 'running' } } })
    await runner.stop()
    await run
  })

  it('several failures are one AggregateError', async () => {
    const [one, two] = [make('one'), make('two')] as const
    const runner = runnerOf([one, two])
    const run = runner.run()
    await until(() => runner.state === 'running')
    one.deliver('bad')
    two.deliver('bad')
    await expect(run).rejects.toMatchObject({ errors: [{ message: "one can't" }, { message: "two can't" }] })
  })
})

describe('health', () => {
  async function get(runner: ConsumerRunner, path: string, method = 'GET'): Promise<{ status: number; body: unknown }> {
    const response = await fetch(`http://127.0.0.1:${runner.healthAddress?.port}${path}`, { method })
    const text = await response.text()
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
  }

  it('answers over HTTP: ready when all loops are, live until one has failed or is stalled', async () => {
    const [one, two] = [make('one'), make('two')] as const
    let open: () => void = () => {}
    two.script.onOpen = () => new Promise((resolve) => (open = resolve))
    const runner = runnerOf([one, two], { health: { port: 0, host: '127.0.0.1' } })
    expect(runner.healthAddress).toBeUndefined()
    const run = runner.run()
    await vi.waitFor(async () => expect((await get(runner, '/healthz')).status).toBe(200))
    expect((await get(runner, '/readyz')).status).toBe(503)
    open()
    await until(() => runner.state === 'running')
    const ready = await get(runner, '/readyz')
    expect(ready).toMatchObject({
      status: 200,
      body: { state: 'running', live: true, ready: true, loops: { one: { state: 'running', connected: true } } },
    })
    expect(await get(runner, '/readyz', 'HEAD')).toEqual({ status: 200, body: undefined })
    expect((await get(runner, '/readyz', 'POST')).status).toBe(405)
    expect((await get(runner, '/')).status).toBe(404)
    const stats = one.loop.stats()
    one.loop.stats = () => ({ ...stats, stalled: true, stallReason: '3 messages wait' })
    expect((await get(runner, '/healthz')).status).toBe(503)
    const { port } = runner.healthAddress ?? {}
    await runner.stop()
    await run
    await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow()
  })

  it('is not ready, but live, while a connection is away', async () => {
    const made = make('a')
    const runner = runnerOf([made])
    const run = runner.run()
    await until(() => runner.state === 'running')
    let open: () => void = () => {}
    made.script.onOpen = () => new Promise((resolve) => (open = resolve))
    made.script.consumer.sink.lost(new StreamError('gone', { code: 'UNAVAILABLE' }))
    await until(() => made.loop.stats().connected === false)
    const away = await runner.health()
    expect(away).toMatchObject({ live: true, ready: false, loops: { a: { lastError: { code: 'UNAVAILABLE' } } } })
    await vi.waitFor(() => {
      open()
      expect(made.loop.stats().connected).toBe(true)
    })
    expect((await runner.health()).ready).toBe(true)
    await runner.stop()
    await run
  })

  it('fails the start where the port is taken, and refuses bad options', async () => {
    const first = runnerOf([make('a')], { health: { port: 0, host: '127.0.0.1' } })
    const run = first.run()
    await until(() => first.state === 'running')
    const port = first.healthAddress?.port ?? 0
    const second = runnerOf([make('a')], { health: { port, host: '127.0.0.1' } })
    await expect(second.run()).rejects.toMatchObject({ code: 'CONFLICT', operation: 'listen' })
    await first.stop()
    await run
    expect(() => new ConsumerRunner([], { health: { port: 70_000 }, timeoutMs: -1 })).toThrow(/timeoutMs[\s\S]*health/)
  })
})
