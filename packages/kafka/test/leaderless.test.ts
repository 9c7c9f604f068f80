import { type KafkaCluster, startKafkaCluster } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openOn, placeTopic } from './support/cluster.js'
import { uniqueTopic } from './support/member.js'

/** What a broker of the cluster says in time for a test: leaders move when a dead broker's session is over. */
const OPTIONS = { requestTimeoutMs: 3_000, connectionTimeoutMs: 1_000 }

describe('a cluster with a dead broker', () => {
  let cluster: KafkaCluster
  const foreign = uniqueTopic()
  const spread = uniqueTopic()

  beforeAll(async () => {
    cluster = await startKafkaCluster(3)
    await placeTopic(cluster.url, foreign, [3])
    await placeTopic(cluster.url, spread, [1, 2, 3])
    await cluster.nodes[2]?.kill()
  }, 120_000)

  afterAll(async () => {
    await cluster.remove()
  })

  it("keeps nobody from connecting because somebody else's topic has a partition without leader", async () => {
    const topic = uniqueTopic()
    const transport = openOn(cluster.url, OPTIONS)
    const loop = transport.consumer<number>(topic, { group: 'g', partitions: 2, connectTimeoutMs: 60_000 })
    const handled = new Promise<number>((resolve) => loop.handle(({ value }) => resolve(value)))
    await loop.init()
    void loop.run()
    const producer = transport.producer<number>(topic, { connectTimeoutMs: 60_000, sendTimeoutMs: 60_000 })
    await producer.send(7)
    expect(await handled).toBe(7)
    expect((await transport.admin.topics()).map((one) => one.topic)).toEqual(
      expect.arrayContaining([foreign, spread, topic]),
    )
    await loop.close()
  }, 90_000)

  it('takes and gives messages of every partition that has a leader, and names the one that has none', async () => {
    const transport = openOn(cluster.url, OPTIONS)
    const producer = transport.producer<number>(spread, { connectTimeoutMs: 60_000, sendTimeoutMs: 60_000 })
    await Promise.all([producer.send(0, { partition: 0 }), producer.send(1, { partition: 1 })])
    const impatient = transport.producer<number>(spread, { connectTimeoutMs: 60_000, sendTimeoutMs: 2_000 })
    await impatient.init()
    const refused = impatient.send(2, { partition: 2 })
    const alongside = Promise.all([0, 1].map((partition) => impatient.send(10, { partition })))
    await expect(refused).rejects.toMatchObject({
      message: expect.stringMatching(new RegExp(`partition 2 of topic '${spread}' has no leader`)),
    })
    await alongside
    expect(impatient.stats().reconnects).toBe(0)
    const loop = transport.consumer<number>(spread, { group: 'g', connectTimeoutMs: 60_000 })
    const handled: number[] = []
    const errors: string[] = []
    loop.on('error', ({ message }) => errors.push(message))
    loop.handle(({ value }) => {
      handled.push(value)
    })
    await loop.init()
    void loop.run()
    await expect.poll(() => handled.length, { timeout: 60_000 }).toBe(4)
    await expect.poll(() => errors.length, { timeout: 60_000 }).toBeGreaterThan(0)
    expect(errors).toEqual([expect.stringContaining(`partition 2 of topic '${spread}' has no leader`)])
    expect(handled.toSorted()).toEqual([0, 1, 10, 10])
    expect((await loop.lag()).map(({ partition }) => partition)).toEqual([0, 1])
    await cluster.nodes[2]?.start()
    await producer.send(3, { partition: 2 })
    await expect.poll(() => handled, { timeout: 60_000 }).toContain(3)
    await loop.close()
  }, 180_000)
})
