import { describe, expect, it } from 'vitest'
import { ConsumerFactory } from '../src/compose/consumer-factory.js'
import { HandlerFactory } from '../src/compose/handler-factory.js'
import { Router } from '../src/compose/router.js'
import { ConsumerRunner } from '../src/compose/runner.js'
import { registerAdapter } from '../src/registry/registry.js'
import { openTransport } from '../src/transport/open-transport.js'
import { Script, scriptedAdapter, scriptedTransport } from './support/scripted-adapter.js'

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** Every call of the public interface with a name that it doesn't know, and what the error suggests. */
const script = new Script()
const transport = scriptedTransport(script)
const producer = transport.producer('orders')
const loop = transport.consumer('orders', { group: 'billing' })
const letters = transport.deadLetters('orders', { group: 'billing' })
const runner = new ConsumerRunner([], { environment: {}, logger: SILENT })
const router = new Router('r')
const factory = new ConsumerFactory(transport)
const handlers = new HandlerFactory({})
const spec = transport.topicSpec('orders')
registerAdapter(scriptedAdapter(new Script()))

const calls: [string, (options: never) => unknown, object, string][] = [
  ['openTransport', (given) => openTransport('scripted://', given), { require: ['lag'] }, "'requires'"],
  ['openTransport', (given) => openTransport('scripted://', given), { prefix: 'x' }, '{ options: { prefix: … } }'],
  ['openTransport', (given) => openTransport('scripted://', given), { size: 3 }, '{ options: { size: … } }'],
  ['transport.producer', (given) => transport.producer('orders', given), { partition: 3 }, "'partitions'"],
  [
    'transport.consumer',
    (given) => transport.consumer('orders', given),
    { group: 'g', concurency: 3 },
    "'concurrency'",
  ],
  ['transport.deadLetters', (given) => transport.deadLetters('orders', given), { group: 'g', topics: 'x' }, "'topic'"],
  ['transport.topicSpec', (given) => transport.topicSpec('orders', given), { partition: 3 }, "'partitions'"],
  ['transport.close', (given) => transport.close(given), { timeout: 1 }, "'timeoutMs'"],
  ['admin.provision', (given) => transport.admin.provision(given), { ...spec, partitons: 3 }, "'partitions'"],
  ['admin.lag', (given) => transport.admin.lag(given, 'g'), { ...spec, brokertopic: 'x' }, "'brokerTopic'"],
  ['admin.deleteTopic', (given) => transport.admin.deleteTopic(given), { ...spec, rolle: 'x' }, "'role'"],
  ['producer.init', (given) => producer.init(given), { singal: 1 }, "'signal'"],
  ['producer.send', (given) => producer.send(1, given), { kye: 'k' }, "'key'"],
  ['producer.sendBatch', (given) => producer.sendBatch([1], given), { timeout: 1 }, "'timeoutMs'"],
  ['producer.request', (given) => producer.request(1, given), { replyCodex: 'json' }, "'replyCodec'"],
  ['producer.flush', (given) => producer.flush(given), { singal: 1 }, "'signal'"],
  ['producer.close', (given) => producer.close(given), { timeout: 1 }, "'timeoutMs'"],
  ['loop.init', (given) => loop.init(given), { singal: 1 }, "'signal'"],
  ['loop.handle', (given) => loop.handle(() => {}, given), { too: producer }, "'to'"],
  ['loop.handleBatch', (given) => loop.handleBatch(() => {}, given), { maxMessage: 1 }, "'maxMessages'"],
  ['loop.run', (given) => loop.run(given), { singal: 1 }, "'signal'"],
  ['loop.seek', (given) => loop.seek('earliest', given), { partitions: 1 }, "'partition'"],
  ['loop.close', (given) => loop.close(given), { timeout: 1 }, "'timeoutMs'"],
  ['deadLetters.list', (given) => letters.list(given), { limits: 1 }, "'limit'"],
  ['deadLetters.show', (given) => letters.show('id', given), { singal: 1 }, "'signal'"],
  ['deadLetters.replay', (given) => letters.replay({ all: true }, given), { singal: 1 }, "'signal'"],
  ['deadLetters.discard', (given) => letters.discard(given), { id: ['x'] }, "'ids'"],
  ['deadLetters.close', (given) => letters.close(given), { timeout: 1 }, "'timeoutMs'"],
  ['Router', (given) => new Router('r', given), { grup: 'g' }, "'group'"],
  ['router.route', (given) => router.route('orders', () => {}, given), { grup: 'g' }, "'group'"],
  ['router.include', (given) => router.include(new Router('s'), given), { prefx: 'a.' }, "'prefix'"],
  ['ConsumerFactory', (given) => new ConsumerFactory('scripted', given), { grup: 'g' }, "'group'"],
  ['ConsumerFactory', (given) => new ConsumerFactory('scripted', given), { loops: { retri: {} } }, "'retry'"],
  ['factory.route', (given) => factory.route('orders', () => {}, given), { grup: 'g' }, "'group'"],
  ['factory.close', (given) => factory.close(given), { timeout: 1 }, "'timeoutMs'"],
  ['HandlerFactory', (given) => new HandlerFactory({}, given), { transport: {} }, "'transports'"],
  ['a queue', (given) => new HandlerFactory({ orders: given }), { producers: 'scripted' }, "'producer'"],
  ['handlers.close', (given) => handlers.close(given), { timeout: 1 }, "'timeoutMs'"],
  ['ConsumerRunner', (given) => new ConsumerRunner([], given), { transports: 'x' }, "'transport'"],
  ['runner.run', (given) => runner.run(given), { onyl: ['a'] }, "'only'"],
  ['runner.stop', (given) => runner.stop(given), { timeout: 1 }, "'timeoutMs'"],
  ['runner.add', (given) => runner.add(loop, given), { nmae: 'x' }, "'name'"],
  ['runner.remove', (given) => runner.remove(loop, given), { timeout: 1 }, "'timeoutMs'"],
  ['runner.health', (given) => runner.health(given), { lags: true }, "'lag'"],
]

describe('a call with an option that it does not know', () => {
  it.each(calls)('%s: INVALID_ARGUMENT with the nearest name', async (_name, call, options, suggestion) => {
    const error: unknown = await (async () => call(options as never))().catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(suggestion) })
    // Refused before anything is done: nothing is connected, and nothing is closed.
    expect(script.consumers).toEqual([])
    expect(script.pendingCalls).toBe(0)
    expect(producer.stats().sent).toBe(0)
  })

  it('takes a name without a value for one that is not given', async () => {
    await expect(transport.admin.provision({ ...spec, other: undefined } as never)).resolves.toBeDefined()
  })

  it('says what to name where a received message stands in for options', async () => {
    const { Delivery } = await import('../src/consumer/delivery.js')
    const fields = { id: 'i', key: 'k', payload: undefined, headers: {}, timestamp: 1, position: 1, native: undefined }
    const message = new Delivery({ topic: 'orders', partition: 0, epoch: 1 }, fields)
    for (const options of [{ ...message }, message]) {
      await expect(producer.send(1, options as never)).rejects.toThrow('{ key: message.key, headers: message.headers }')
      expect(() => producer.request(1, options as never)).toThrow(/message\.key/)
    }
    await expect(producer.send(1, 'key' as never)).rejects.toThrow('must be an object, got a string')
  })
})
