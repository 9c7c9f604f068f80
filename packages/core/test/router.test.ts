import { describe, expect, it } from 'vitest'
import { ConsumerFactory, type ConsumerLoop, Router } from '../src/index.js'
import { Script, scriptedTransport } from './support/scripted-adapter.js'

const handler = (): void => {}

function factory(): ConsumerFactory {
  return new ConsumerFactory(scriptedTransport(new Script()), { group: 'billing' })
}

describe('Router', () => {
  it('keeps its own list, with the defaults of the router and the options of the route', () => {
    const router = new Router('orders', { group: 'billing', concurrency: 3 })
    router.route('placed', handler).route('paid', handler, { group: 'audit' })
    expect(router.routes).toMatchObject([
      { queue: 'placed', options: { group: 'billing', concurrency: 3 }, routedBy: 'orders' },
      { queue: 'paid', options: { group: 'audit', concurrency: 3 }, routedBy: 'orders' },
    ])
    expect(new Router('other').routes).toEqual([])
  })

  it('brings its routes, and those that it gets later, into what includes it, under a prefix', () => {
    const inner = new Router('inner').route('a', handler)
    const outer = new Router('outer').include(inner, { prefix: 'eu.' }).route('b', handler)
    const consumers = factory().include(outer, { prefix: 'shop.' })
    inner.route('c', handler)
    expect([...consumers.loops.keys()]).toEqual(['shop.eu.a', 'shop.b', 'shop.eu.c'])
    expect(inner.routes.map(({ queue }) => queue)).toEqual(['a', 'c'])
  })

  it('refuses a queue that is routed twice, and names both routers', () => {
    const router = new Router('orders').route('placed', handler)
    expect(() => router.route('placed', handler)).toThrow("queue 'placed' is routed twice by 'orders'")
    const other = new Router('invoices').route('paid', handler).route('placed', handler)
    const app = new Router('app').include(router)
    expect(() => app.include(other)).toThrow("queue 'placed' is routed twice: by 'orders' and by 'invoices'")
    expect(app.routes.map(({ queue }) => queue)).toEqual(['placed'])
    const late = new Router('late')
    app.include(late)
    expect(() => late.route('placed', handler)).toThrow("by 'orders' and by 'late'")
    expect(late.routes).toEqual([])
  })

  it('refuses to be included twice, by whatever, and in itself', () => {
    const router = new Router('orders')
    const app = new Router('app').include(router)
    const message = "router 'orders' is included twice: in router 'app' and in"
    expect(() => app.include(router)).toThrow(`${message} router 'app'`)
    expect(() => factory().include(router)).toThrow(`${message} router 'the scripted factory'`)
    expect(() => router.include(app)).toThrow("router 'app' can't be included in router 'orders', which it contains")
    expect(() => app.include(app)).toThrow("router 'app' can't be included in router 'app'")
  })

  it('refuses bad names and handlers, with what to do', () => {
    expect(() => new Router('')).toThrow('a router needs a name')
    expect(() => new Router('r').route('Not Portable', handler)).toThrow('queue must be 1 to 100 characters')
    expect(() => new Router('r').route('q', {} as never)).toThrow('consume is a undefined')
    class Listener {
      consume(): void {}
    }
    expect(() => new Router('r').route('q', Listener as never)).toThrow('is a class: pass an instance of it')
    const broken = { consume: handler, flush: 'soon' } as never
    expect(() => new Router('r').route('q', broken)).toThrow('has a flush that is not a function')
  })
})

describe('ConsumerFactory', () => {
  it('makes the loop with its handler by routing alone', () => {
    const consumers = factory()
    const loop: ConsumerLoop<{ id: string }> = consumers.route<{ id: string }>('orders', ({ value }) => value.id)
    expect(consumers.loops.get('orders')).toBe(loop)
    expect([loop.topics, loop.group, loop.hasHandler]).toEqual([['orders'], 'billing', true])
  })

  it('refuses the same queue twice, a queue without a group, and bad options of a route', () => {
    const consumers = factory()
    consumers.route('orders', handler)
    expect(() => consumers.route('orders', handler)).toThrow("queue 'orders' is routed twice")
    expect(() => new ConsumerFactory(scriptedTransport(new Script())).route('orders', handler)).toThrow(
      "queue 'orders' has no group",
    )
    expect(() => consumers.route('paid', handler, { concurrency: 0 })).toThrow('concurrency: must be an integer')
    expect([...consumers.loops.keys()]).toEqual(['orders'])
  })

  it('gives options that it does not know to the transport, and refuses them where that is open already', () => {
    expect(() => new ConsumerFactory(scriptedTransport(new Script()), { port: 80 })).toThrow(
      "options of the transport (port) can't be set here",
    )
    expect(() => new ConsumerFactory('carrier-pigeon', { port: 80 })).toThrow("unknown transport 'carrier-pigeon'")
  })

  it('closes its loops, and leaves a transport that it was given', async () => {
    const transport = scriptedTransport(new Script())
    const consumers = new ConsumerFactory(transport, { group: 'billing' })
    const loop = consumers.route('orders', handler)
    await consumers.close()
    await expect(loop.init()).rejects.toMatchObject({ code: 'CLOSED' })
    expect(() => transport.producer('orders')).not.toThrow()
  })
})
