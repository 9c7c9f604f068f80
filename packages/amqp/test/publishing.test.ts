import { expect, onTestFinished, test } from 'vitest'
import { brokerUrl } from './support/broker.js'
import { callApi } from './support/management-api.js'
import { openTransport, startMember, uniqueName } from './support/member.js'

function opened(options: Readonly<Record<string, unknown>> = {}) {
  const transport = openTransport(brokerUrl, options)
  onTestFinished(() => transport.close())
  return transport
}

async function cleaned(topic: string): Promise<void> {
  const transport = openTransport(brokerUrl)
  await transport.admin.deleteTopic(transport.topicSpec(topic))
  await transport.close()
}

function topicFor(purpose: string): string {
  const topic = uniqueName(purpose)
  onTestFinished(() => cleaned(topic))
  return topic
}

test('a topic without a group: each send rejects with NOT_FOUND; with one it goes on', async () => {
  const topic = topicFor('returned')
  const producer = opened().producer<number>(topic, { partitions: 4 })
  const outcomes = await Promise.allSettled(
    Array.from({ length: 200 }, (_, number) => producer.send(number, { key: `key-${number % 7}` })),
  )
  expect(
    new Set(outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : 'accepted'))),
  ).toEqual(new Set(['NOT_FOUND']))
  const handled: never[] = []
  const member = await startMember({ url: brokerUrl, topic, group: 'g', name: 'late', handled })
  onTestFinished(() => member.transport.close())
  await Promise.all(Array.from({ length: 50 }, (_, number) => producer.send(number, { key: `key-${number}` })))
  await expect.poll(() => handled.length, { timeout: 10_000 }).toBe(50)
  expect(producer.stats().reconnects, 'a return costs no connection').toBe(0)
})

test('an explicit partition is taken, with its key; each group gets the message there', async () => {
  const topic = topicFor('explicit')
  const seen: string[] = []
  for (const group of ['one', 'two']) {
    const member = await startMember({
      url: brokerUrl,
      topic,
      group,
      name: group,
      handled: [],
      settings: { partitions: 4 },
      handler: (message) => seen.push(`${group}:${message.partition}:${message.key}`),
    })
    onTestFinished(() => member.transport.close())
  }
  const producer = opened().producer<number>(topic)
  const receipt = await producer.send(1, { partition: 2, key: 'anything' })
  expect(receipt.partition).toBe(2)
  await expect.poll(() => [...seen].sort(), { timeout: 10_000 }).toEqual(['one:2:anything', 'two:2:anything'])
  await expect(producer.send(1, { partition: 4 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})

test('another partition count is CONFLICT, for producers and loops; left out, it is found', async () => {
  const topic = topicFor('count')
  const transport = opened()
  await transport.admin.provision(transport.topicSpec(topic, { partitions: 5 }))
  await expect(transport.producer(topic, { partitions: 3 }).init()).rejects.toMatchObject({ code: 'CONFLICT', topic })
  await expect(transport.consumer(topic, { group: 'g', partitions: 6 }).init()).rejects.toMatchObject({
    code: 'CONFLICT',
  })
  await transport.producer(topic).init()
  await expect(transport.admin.provision(transport.topicSpec(topic))).resolves.toEqual({ topic, partitions: 5 })
  const verifying = opened({ provision: 'verify' })
  await expect(verifying.admin.provision(verifying.topicSpec(topic))).resolves.toEqual({ topic, partitions: 5 })
  await expect(verifying.producer(topic, { partitions: 3 }).init()).rejects.toMatchObject({ code: 'CONFLICT' })
  await expect(verifying.producer(uniqueName('absent')).init()).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('the ordering of a group is fixed when it is made', async () => {
  const topic = topicFor('ordering')
  const member = await startMember({ url: brokerUrl, topic, group: 'g', name: 'first', handled: [] })
  onTestFinished(() => member.transport.close())
  await expect(opened().consumer(topic, { group: 'g', ordering: 'none' }).init()).rejects.toMatchObject({
    code: 'CONFLICT',
    message: expect.stringContaining('ordering'),
  })
})

test('admin lists the topics below the prefix, and forgets a deleted one with its groups', async () => {
  const prefix = `${uniqueName('p')}.`
  const transport = opened({ prefix })
  await transport.admin.provision(transport.topicSpec('orders', { partitions: 2 }))
  const member = await startMember({
    url: brokerUrl,
    topic: 'invoices',
    group: 'g',
    name: 'm',
    handled: [],
    options: { prefix },
  })
  expect([...(await transport.admin.topics())].sort((left, right) => left.topic.localeCompare(right.topic))).toEqual([
    { topic: 'invoices', partitions: 1 },
    { topic: 'orders', partitions: 2 },
  ])
  await member.transport.close()
  await transport.admin.deleteTopic(transport.topicSpec('invoices'))
  await transport.admin.deleteTopic(transport.topicSpec('orders'))
  expect(await transport.admin.topics()).toEqual([])
  const queues = await callApi<{ name: string }[]>('GET', 'queues/%2F')
  expect(queues.map(({ name }) => name).filter((name) => name.startsWith(prefix))).toEqual([
    `${prefix}streamswitch:dropped`,
    `${prefix}streamswitch:dropped:expired`,
    `${prefix}streamswitch:topic-registry`,
  ])
  await callApi('DELETE', `queues/%2F/${encodeURIComponent(`${prefix}streamswitch:topics`)}`)
})

test('dead letters are kept while nobody reads them, whoever else does, and can be looked at in pages', async () => {
  const topic = topicFor('poison')
  const letters = `${topic}.g.dlq`
  onTestFinished(() => cleaned(letters))
  const member = await startMember({
    url: brokerUrl,
    topic,
    group: 'g',
    name: 'failing',
    handled: [],
    settings: { retry: { attempts: 1, minDelayMs: 1, maxDelayMs: 1, factor: 1, when: () => false } },
    handler: () => {
      throw new Error('always')
    },
  })
  const deadLettered: string[] = []
  member.loop.on('deadLetter', ({ id }) => deadLettered.push(id))
  const producer = opened().producer<number>(topic)
  for (let number = 0; number < 250; number += 1) void producer.send(number, { key: `key-${number % 5}` })
  await expect.poll(() => deadLettered.length, { timeout: 10_000 }).toBe(250)
  await member.transport.close()
  const reading = opened()
  const box = reading.deadLetters(topic, { group: 'g' })
  const first = await box.list({ limit: 200 })
  const second = await box.list({ limit: 200, cursor: first.cursor })
  expect(first.letters).toHaveLength(200)
  expect(second).toMatchObject({ cursor: undefined })
  expect(second.letters).toHaveLength(50)
  expect(new Set([...first.letters, ...second.letters].map(({ id }) => id)).size).toBe(250)
  expect(await reading.admin.lag(reading.topicSpec(letters), 'streamswitch.dlq'), 'looking takes nothing').toEqual([
    expect.objectContaining({ topic: letters, partition: 0, lag: 250 }),
  ])
})

test('a full group makes its senders wait, and nothing is dropped', async () => {
  const topic = topicFor('full')
  const handled: never[] = []
  const member = await startMember({
    url: brokerUrl,
    topic,
    group: 'g',
    name: 'slow',
    handled,
    settings: { prefetch: 1, retention: { maxMessages: 20 } },
  })
  onTestFinished(() => member.transport.close())
  member.loop.pause()
  const producer = opened().producer<number>(topic, { sendTimeoutMs: 20_000 })
  let accepted = 0
  for (let number = 0; number < 200; number += 1) void producer.send(number, { key: 'k' }).then(() => (accepted += 1))
  await expect.poll(() => producer.stats().resent, { timeout: 10_000 }).toBeGreaterThan(0)
  expect(accepted).toBeLessThan(200)
  member.loop.resume()
  await expect.poll(() => accepted, { timeout: 20_000 }).toBe(200)
  await expect.poll(() => new Set(handled.map(({ number }) => number)).size, { timeout: 10_000 }).toBe(200)
})
