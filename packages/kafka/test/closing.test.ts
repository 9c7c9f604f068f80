import { expect, test, vi } from 'vitest'
import { openTransport, uniqueTopic } from './support/member.js'

/** Far beyond what a test may take: who waited for it would not be back in time. */
const LONG_MS = 100_000

test('a caller that closes does not wait for the fetch of its inbox', async () => {
  const topic = uniqueTopic()
  const loop = openTransport().consumer(topic, { group: 'g' })
  loop.handle(() => 'answer')
  void loop.run()
  await loop.init()
  const calling = openTransport({ requestTimeoutMs: LONG_MS })
  expect(await calling.producer(topic).request('question').read()).toBe('answer')
  await calling.close()
})

test('a loop that closes does not wait for its fetch, and its partitions are free at once', async () => {
  const topic = uniqueTopic()
  const slow = { kafka: { maxWaitMs: LONG_MS, sessionTimeoutMs: 3 * LONG_MS } }
  const join = async () => {
    const handled: unknown[] = []
    const transport = openTransport({ requestTimeoutMs: LONG_MS })
    const loop = transport.consumer(topic, { group: 'g', ...slow })
    loop.handle(({ value }) => void handled.push(value))
    void loop.run()
    await loop.init()
    return { loop, handled }
  }
  const producer = openTransport().producer(topic)
  const first = await join()
  await producer.send(1)
  await vi.waitUntil(() => first.handled.length === 1, 20_000)
  await first.loop.close()
  const second = await join()
  await producer.send(2)
  await vi.waitUntil(() => second.handled.length === 1, 20_000)
  expect([first.handled, second.handled]).toEqual([[1], [2]])
})
