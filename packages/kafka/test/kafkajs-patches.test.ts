import type { OutgoingRecord } from '@streamswitch/core/driver'
import { afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import {
  type Connection,
  type ConsumerGroup,
  connectionPrototype,
  consumerGroupPrototype,
  type ProduceParameters,
  produceProtocol,
  type RequestQueue,
  requestQueuePrototype,
} from '../src/kafkajs-internals.js'
import { applyKafkajsPatches, GROUP_HOOKS, type GroupHooks } from '../src/kafkajs-patches.js'
import { NativeRecord } from '../src/record-batch.js'

const original = {
  connect: connectionPrototype.connect,
  scheduleCheckPendingRequests: requestQueuePrototype.scheduleCheckPendingRequests,
  joinAndSync: consumerGroupPrototype.joinAndSync,
  fetch: consumerGroupPrototype.fetch,
  recoverFromOffsetOutOfRange: consumerGroupPrototype.recoverFromOffsetOutOfRange,
  protocol: produceProtocol.protocol,
}

beforeAll(() => applyKafkajsPatches())

describe('a connection that was cut in the middle of a response', () => {
  function cut(connectionStatus: string): Connection {
    const half = Buffer.from([0, 0, 0, 90, 1, 2])
    return Object.assign(Object.create(connectionPrototype) as Connection, {
      connectionStatus,
      chunks: [half],
      bytesBuffered: half.length,
      bytesNeeded: 94,
    })
  }

  it('kafkajs alone keeps the half for the next one', async () => {
    const connection = cut('disconnected')
    await original.connect.call(connection).catch(() => {})
    expect(connection.bytesBuffered).toBe(6)
  })

  it('patched, it begins anew; one that is connected keeps what it has', async () => {
    const connection = cut('disconnected')
    await connection.connect().catch(() => {})
    expect(connection).toMatchObject({ chunks: [], bytesBuffered: 0, bytesNeeded: 4 })
    const connected = cut('connected')
    await connected.connect()
    expect(connected).toMatchObject({ bytesBuffered: 6, bytesNeeded: 94 })
  })
})

describe('the timers of a request queue', () => {
  const queues: RequestQueue[] = []

  function queue(pending: unknown[], throttledUntil = -1): RequestQueue {
    const made = {
      pending,
      throttledUntil,
      throttleCheckTimeoutId: null,
      checkPendingRequests: () => {},
    } as unknown as RequestQueue
    queues.push(made)
    return made
  }

  afterEach(() => {
    for (const { throttleCheckTimeoutId } of queues.splice(0)) clearTimeout(throttleCheckTimeoutId ?? undefined)
  })

  it('kafkajs alone sets one although nothing is pending', () => {
    const idle = queue([])
    original.scheduleCheckPendingRequests.call(idle)
    expect(idle.throttleCheckTimeoutId).not.toBeNull()
  })

  it('a request whose time is over ends at once, and a connection that has nothing to wait for looks every few seconds', () => {
    vi.useFakeTimers()
    onTestFinished(() => void vi.useRealTimers())
    const ended: [name: string, afterMs: number][] = []
    const started = Date.now()
    const inflight = new Map<number, unknown>()
    const send = (id: number, name: string, requestTimeout: number): void => {
      const timeoutRequest = (): void => {
        inflight.delete(id)
        ended.push([name, Date.now() - started])
      }
      inflight.set(id, { sentAt: Date.now(), requestTimeout, timeoutRequest })
    }
    let connected = true
    const connection: RequestQueue = Object.assign(Object.create(requestQueuePrototype) as RequestQueue, {
      inflight,
      requestTimeout: 10_000,
      enforceRequestTimeout: true,
      isConnected: () => connected,
    })
    const timers = vi.spyOn(globalThis, 'setTimeout')
    connection.scheduleRequestTimeoutCheck()
    vi.advanceTimersByTime(4_000)
    send(1, 'short', 10_000)
    send(2, 'long', 15_000)
    vi.advanceTimersByTime(3_000)
    send(3, 'later', 10_000)
    vi.advanceTimersByTime(30_000)
    expect(ended).toEqual([
      ['short', 14_001],
      ['later', 17_001],
      ['long', 19_001],
    ])
    expect(timers.mock.calls.length).toBeLessThanOrEqual(8)
    connected = false
    vi.advanceTimersByTime(10_001)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('patched, none is set while nothing is pending', () => {
    const idle = queue([])
    requestQueuePrototype.scheduleCheckPendingRequests.call(idle)
    expect(idle.throttleCheckTimeoutId).toBeNull()
  })

  it('patched, pending requests are looked at again, after the throttling at the latest', async () => {
    for (const throttledUntil of [-1, Date.now() + 20]) {
      await new Promise<void>((resolve) => {
        const busy = queue([{}], throttledUntil)
        busy.checkPendingRequests = resolve
        requestQueuePrototype.scheduleCheckPendingRequests.call(busy)
        expect(busy.throttleCheckTimeoutId).not.toBeNull()
      })
      expect(Date.now()).toBeGreaterThanOrEqual(throttledUntil)
    }
  })
})

describe('a consumer group', () => {
  const steps: string[] = []
  let stamp = 0
  const hooks: GroupHooks = {
    get fetchStamp() {
      return stamp
    },
    beforeJoin: async () => {
      await Promise.resolve()
      steps.push('before')
    },
    afterJoin: async () => {
      await Promise.resolve()
      steps.push('after')
    },
    fetching: () => ({ ended: () => steps.push('ended'), dropped: () => steps.push('dropped') }),
    fetched: (batches, at) => steps.push(`${batches.length} batches of ${at}`),
    outOfRange: async (topic, partition) => {
      steps.push(`out of range: ${topic}/${partition}`)
    },
  }

  /** A group as far as the patched methods look at it; joining and fetching themselves are replaced. */
  function group(assigners: readonly object[], stampsPerFetch = 1): ConsumerGroup {
    const retrier = async (): Promise<void> => {
      steps.push('join')
    }
    // Without metadata a fetch ends early, with no batches.
    const cluster = {
      refreshMetadataIfNecessary: async () => {
        stamp += stampsPerFetch
        throw Object.assign(new Error('nothing to fetch'), { name: 'KafkaJSBrokerNotFound' })
      },
      refreshMetadata: async () => {},
    }
    const logger = { debug: () => {}, info: () => {}, error: () => {} }
    return Object.assign(Object.create(consumerGroupPrototype) as ConsumerGroup, {
      assigners,
      retrier,
      cluster,
      logger,
    })
  }

  afterEach(() => {
    steps.length = 0
  })

  it('kafkajs alone joins without waiting for anybody', async () => {
    await original.joinAndSync.call(group([{ [GROUP_HOOKS]: hooks }]))
    expect(steps).toEqual(['join'])
  })

  it('patched, waits before a join and after it', async () => {
    await group([{}, { [GROUP_HOOKS]: hooks }]).joinAndSync()
    expect(steps).toEqual(['before', 'join', 'after'])
  })

  it('patched, joins again while the coordinator loads the group; kafkajs alone gives up', async () => {
    const loading = (type: string): ConsumerGroup => {
      let joins = 0
      return Object.assign(group([{ [GROUP_HOOKS]: hooks }]), {
        retrier: async () => {
          joins += 1
          steps.push(`join ${joins}`)
          if (joins < 3) throw Object.assign(new Error('not now'), { name: 'KafkaJSProtocolError', type })
        },
      })
    }
    await loading('GROUP_LOAD_IN_PROGRESS').joinAndSync()
    expect(steps.splice(0)).toEqual(['before', 'join 1', 'join 2', 'join 3', 'after'])
    await expect(original.joinAndSync.call(loading('GROUP_LOAD_IN_PROGRESS'))).rejects.toThrow('not now')
    expect(steps.splice(0)).toEqual(['join 1'])
    await expect(loading('GROUP_AUTHORIZATION_FAILED').joinAndSync()).rejects.toThrow('not now')
    expect(steps).toEqual(['before', 'join 1'])
  })

  it('patched, is as before where there are no hooks', async () => {
    const plain = group([{ name: 'somebody else' }])
    await plain.joinAndSync()
    expect(await plain.fetch('0')).toEqual([])
    expect(steps).toEqual(['join'])
  })

  it('patched, tells which stamp a fetch began under, whatever it is now', async () => {
    stamp = 7
    await group([{ [GROUP_HOOKS]: hooks }]).fetch('0')
    expect(stamp).toBe(8)
    expect(steps).toEqual(['0 batches of 7', 'dropped'])
  })

  it('patched, measures a fetch that is nothing but a fetch', async () => {
    await group([{ [GROUP_HOOKS]: hooks }], 0).fetch('0')
    expect(steps.at(-1)).toBe('ended')
  })

  it('patched, leaves a position that is gone to the hooks instead of resetting it silently', async () => {
    await group([{ [GROUP_HOOKS]: hooks }]).recoverFromOffsetOutOfRange({ topic: 't', partition: 3 })
    expect(steps).toEqual(['out of range: t/3'])
  })
})

describe('the Produce request', () => {
  const wanted = { version: 7 }
  const now = Date.now()
  const record = { id: 'i', key: 'k', payload: Buffer.from('v'), headers: undefined, timestamp: now }
  const ours = new NativeRecord(record as OutgoingRecord, 0, now)
  const theirs = { key: 'k', value: Buffer.from('v'), timestamp: String(now), headers: { 'streamswitch-id': 'i' } }
  const parameters = (messages: object[]): ProduceParameters => ({
    acks: -1,
    timeout: 1,
    topicData: [{ topic: 't', partitions: [{ partition: 0, messages }] }],
  })

  it('kafkajs alone can not encode our records', async () => {
    const { request } = original.protocol(wanted)(parameters([ours]))
    const encoded = await request.encode().then(
      ({ buffer }) => buffer.includes('streamswitch-id'),
      () => false,
    )
    expect(encoded).toBe(false)
  })

  it('patched, is the same for our records and for those of others, which kafkajs encodes itself', async () => {
    const { request, response } = produceProtocol.protocol(wanted)(parameters([ours]))
    const plain = produceProtocol.protocol(wanted)(parameters([theirs]))
    expect((await request.encode()).buffer.equals((await plain.request.encode()).buffer)).toBe(true)
    expect(request).toMatchObject({ apiKey: 0, apiVersion: 7, apiName: 'Produce' })
    expect(response).toBe(plain.response)
  })

  it('patched, is as before in older versions', () => {
    expect(produceProtocol.protocol({ version: 5 })).toBe(original.protocol({ version: 5 }))
  })
})

describe('applyKafkajsPatches', () => {
  it('applies each patch once', () => {
    const { joinAndSync, fetch } = consumerGroupPrototype
    const { scheduleCheckPendingRequests } = requestQueuePrototype
    applyKafkajsPatches()
    expect(consumerGroupPrototype.joinAndSync).toBe(joinAndSync)
    expect(consumerGroupPrototype.fetch).toBe(fetch)
    expect(requestQueuePrototype.scheduleCheckPendingRequests).toBe(scheduleCheckPendingRequests)
    expect(joinAndSync).not.toBe(original.joinAndSync)
  })
})
