import { describe, expect, test } from 'vitest'
import { numbers, openStream, type Seen, seenOf, unique, until } from './support/bench.js'

const NAMED = { 'rabbitmq-stream': { publisherName: 'orders' } }

async function valuesOf(topic: string, count: number): Promise<number[]> {
  const seen: Seen[] = []
  const transport = openStream()
  const loop = transport.consumer<number>(topic, { group: unique('group'), concurrency: 1 })
  loop.handle((message) => void seen.push(seenOf(message)))
  const run = loop.run()
  await until(() => seen.length >= count)
  // One more, to see that nothing else stood before it.
  await transport.producer<number>(topic).send(-1, { key: 'end' })
  await until(() => seen.some(({ value }) => value === -1))
  await loop.close()
  await run
  return seen.map(({ value }) => value).filter((value) => value !== -1)
}

describe('publisherName', () => {
  test('what was stored under a sequence is not stored again, also by a later producer', async () => {
    const topic = unique('topic')
    const first = openStream().producer<number>(topic, NAMED)
    await Promise.all(numbers(10).map((number) => first.send(number, { sequence: BigInt(number + 1) })))
    await first.close()
    const second = openStream().producer<number>(topic, NAMED)
    await Promise.all(numbers(15).map((number) => second.send(number, { sequence: BigInt(number + 1) })))
    expect(await valuesOf(topic, 15)).toEqual(numbers(15))
  })

  test('0 is a sequence like any other, and the first one', async () => {
    const topic = unique('topic')
    const producer = openStream().producer<number>(topic, NAMED)
    for (const value of [0, 1, 2]) await producer.send(value, { sequence: BigInt(value) })
    await producer.send(0, { sequence: 0n })
    expect(await valuesOf(topic, 3)).toEqual([0, 1, 2])
  })

  test('records without a sequence go on from what is stored', async () => {
    const topic = unique('topic')
    for (const part of [0, 1]) {
      const producer = openStream().producer<number>(topic, NAMED)
      await Promise.all(numbers(5).map((number) => producer.send(part * 5 + number)))
      await producer.close()
    }
    expect(await valuesOf(topic, 10)).toEqual(numbers(10))
  })

  test('each partition has its own sequence', async () => {
    const topic = unique('topic')
    const send = async (): Promise<void> => {
      const producer = openStream().producer<number>(topic, { partitions: 3, ...NAMED })
      await Promise.all(
        numbers(30).map((number) => producer.send(number, { sequence: BigInt(number + 1), key: `k${number % 7}` })),
      )
      await producer.close()
    }
    await send()
    await send()
    expect((await valuesOf(topic, 30)).sort((left, right) => left - right)).toEqual(numbers(30))
  })

  test('a second live producer of the name is refused, until the first has ended', async () => {
    const topic = unique('topic')
    const first = openStream().producer<number>(topic, NAMED)
    await first.send(1)
    const second = openStream().producer<number>(topic, NAMED)
    await expect(second.init()).rejects.toMatchObject({ code: 'CONFLICT' })
    await first.close()
    await second.send(2)
    expect(await valuesOf(topic, 2)).toEqual([1, 2])
  })

  test('sub-entries and a name exclude each other', async () => {
    const producer = openStream().producer(unique('topic'), {
      'rabbitmq-stream': { publisherName: 'orders', subEntrySize: 10 },
    })
    await expect(producer.init()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})
