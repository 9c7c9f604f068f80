import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import {
  type ConsumerGroup,
  consumerGroupPrototype,
  type RequestQueue,
  requestQueuePrototype,
} from '../src/kafkajs-internals.js'
import { applyKafkajsPatches, GROUP_HOOKS, type GroupHooks } from '../src/kafkajs-patches.js'

const original = {
  scheduleCheckPendingRequests: requestQueuePrototype.scheduleCheckPendingRequests,
  joinAndSync: consumerGroupPrototype.joinAndSync,
  fetch: consumerGroupPrototype.fetch,
  recoverFromOffsetOutOfRange: consumerGroupPrototype.recoverFromOffsetOutOfRange,
}

beforeAll(() => applyKafkajsPatches())

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
    fetched: (batches, at) => steps.push(`${batches.length} batches of ${at}`),
    outOfRange: async (topic, partition) => {
      steps.push(`out of range: ${topic}/${partition}`)
    },
  }

  /** A group as far as the patched methods look at it; joining and fetching themselves are replaced. */
  function group(assigners: readonly object[]): ConsumerGroup {
    const retrier = async (): Promise<void> => {
      steps.push('join')
    }
    // Without metadata a fetch ends early, with no batches.
    const cluster = {
      refreshMetadataIfNecessary: async () => {
        stamp += 1
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
    expect(steps).toEqual(['0 batches of 7'])
  })

  it('patched, leaves a position that is gone to the hooks instead of resetting it silently', async () => {
    await group([{ [GROUP_HOOKS]: hooks }]).recoverFromOffsetOutOfRange({ topic: 't', partition: 3 })
    expect(steps).toEqual(['out of range: t/3'])
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
