import { beforeAll, describe, expect, it } from 'vitest'
import { HandlerFactory, isStreamError, type QueueMap, registerAdapter } from '../src/index.js'
import { Script, scriptedAdapter, scriptedTransport } from './support/scripted-adapter.js'

const environment = {}
const official = scriptedAdapter(new Script())

/** One without history or request and reply, under a name of its own. */
const poor = scriptedAdapter(new Script(), {
  name: 'poor',
  schemes: ['poor'],
  defaultUrl: 'poor://',
  capabilities: { ...official.capabilities, replay: false, requestReply: false },
})

function refusal(queues: QueueMap<Record<string, unknown>>, options = {}): { code: string; message: string } {
  try {
    new HandlerFactory(queues, { environment, ...options })
  } catch (error) {
    if (isStreamError(error)) return { code: error.code, message: error.message }
    throw error
  }
  throw new Error('the map was accepted')
}

describe('HandlerFactory', () => {
  beforeAll(() => {
    registerAdapter(official)
    registerAdapter(poor)
  })

  it('gives the loop and the producer of a queue, of its topic and with its options', () => {
    const factory = new HandlerFactory<{ orders: { id: string } }>(
      {
        orders: {
          name: 'orders-v2',
          partitions: 3,
          consumerLoop: { transport: 'scripted', concurrency: 4 },
          producer: 'poor',
        },
      },
      { environment, group: 'billing' },
    )
    const loop = factory.handle('orders', ({ value }) => value.id)
    expect(factory.consumerLoop('orders')).toBe(loop)
    expect([loop.topics, loop.group, loop.transport.name]).toEqual([['orders-v2'], 'billing', 'scripted'])
    const producer = factory.producer('orders')
    expect([producer.topic, producer.transport.name]).toEqual(['orders-v2', 'poor'])
    expect([...factory.loops.keys(), ...factory.producers.keys()]).toEqual(['orders', 'orders'])
  })

  it('shares one transport among everything on one address, and none among different ones', () => {
    const both = (url: string) => ({ consumerLoop: url, producer: url })
    const factory = new HandlerFactory(
      { a: both('scripted'), b: both('scripted://'), c: both('scripted://elsewhere') },
      { environment, group: 'g' },
    )
    const transports = (['a', 'b', 'c'] as const).flatMap((queue) => [
      factory.consumerLoop(queue).transport,
      factory.producer(queue).transport,
    ])
    expect(new Set(transports).size).toBe(2)
    expect(transports[0]).toBe(transports[3])
    expect(transports[4]).toBe(transports[5])
  })

  it('rejects everything that is wrong in one error, each with its path', () => {
    const { code, message } = refusal(
      {
        a: { consumerLoop: 'kafak', producer: 'scripted' },
        b: { consumerLoop: { transport: 'scripted', group: 'g', concurrency: 0 } },
        c: {},
        d: { consumerLoop: 'scripted' },
        e: {
          consumerLoop: { transport: 'poor', group: 'g', from: 'earliest' },
          producer: { transport: 'poor', requires: ['requestReply'] },
        },
        f: { name: 'Not Portable', producer: 'scripted' },
        g: 'scripted' as never,
        h: { producer: 'scripted', prefix: 'x' } as never,
      },
      { transports: { kafak: {} } },
    )
    expect(code).toBe('INVALID_ARGUMENT')
    for (const expected of [
      "queues.a.consumerLoop: unknown transport 'kafak'; did you mean 'kafka'?",
      'concurrency: must be an integer',
      'queues.c: has neither consumerLoop nor producer',
      'queues.d.consumerLoop: has no group',
      "queues.e.consumerLoop: the poor transport can't do 'from'",
      "queues.e.producer: the poor transport doesn't offer 'requestReply'",
      'queues.f.producer: topic must be 1 to 100 characters',
      'queues.g: must be an object, got a string',
      'queues.h.prefix: unknown option',
      'transports.kafak: is neither a known transport nor one used here',
    ])
      expect(message).toContain(expected)
  })

  it("has the problems' code where all have the same", () => {
    const { code, message } = refusal({ a: { consumerLoop: { transport: 'poor', group: 'g', requires: ['replay'] } } })
    expect(code).toBe('UNSUPPORTED')
    expect(message).toContain('transports that have it: memory, kafka, redis, rabbitmq-stream')
  })

  it('refuses two loops of one group on one topic', () => {
    const { message } = refusal(
      { a: { name: 't', consumerLoop: 'scripted' }, b: { name: 't', consumerLoop: 'scripted' } },
      { group: 'g' },
    )
    expect(message).toContain("queues.b.consumerLoop: consumes 't' on scripted as group 'g', and so does queue 'a'")
  })

  it('leaves a given transport as it was when the map is refused', async () => {
    const transport = scriptedTransport(new Script())
    refusal({ a: { producer: transport }, b: {} })
    const producer = transport.producer('a')
    await transport.close()
    await expect(producer.send(1)).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it('throws NOT_FOUND for queues and sides that are not in the map', () => {
    const factory = new HandlerFactory({ orders: { producer: 'scripted' } }, { environment })
    expect(() => factory.consumerLoop('orders')).toThrow("queue 'orders' has no consumerLoop")
    expect(() => factory.producer('order' as never)).toThrow("there is no queue 'order'; did you mean 'orders'?")
  })

  it('reads the environment where a side names no transport', () => {
    const factory = new HandlerFactory(
      { orders: { producer: {} } },
      { environment: { STREAMSWITCH_URL: 'scripted://somewhere?size=3' } },
    )
    expect(factory.producer('orders').transport.url).toBe('scripted://somewhere?size=3')
    expect(refusal({ orders: { producer: {} } }).message).toContain('no transport is chosen')
  })

  it('closes everything that it opened, and leaves what it was given', async () => {
    const given = scriptedTransport(new Script())
    const factory = new HandlerFactory({ a: { producer: given }, b: { producer: 'scripted' } }, { environment })
    await factory.close()
    await expect(factory.producer('a').send(1)).rejects.toMatchObject({ code: 'CLOSED' })
    expect(() => factory.producer('b').transport.producer('b')).toThrow('closed')
    expect(() => given.producer('a')).not.toThrow()
  })
})
