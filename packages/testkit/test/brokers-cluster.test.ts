import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { portOf } from '../src/brokers/definition.js'
import { type RabbitmqCluster, startRabbitmqCluster } from '../src/brokers/index.js'
import { callManagement } from '../src/brokers/rabbitmq-probe.js'

describe('a RabbitMQ cluster', () => {
  let cluster: RabbitmqCluster

  beforeAll(async () => {
    cluster = await startRabbitmqCluster(3)
  }, 180_000)

  afterAll(async () => {
    await cluster?.remove()
  })

  it('has three members, of which one can be killed and comes back', { timeout: 60_000 }, async () => {
    const [first] = cluster.nodes
    const port = portOf(first?.ports ?? {}, 'management')
    const queue = 'queues/%2F/replicated'
    await callManagement(port, 'PUT', queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } }, 10_000)
    const { body } = await callManagement(port, 'GET', queue, undefined, 10_000)
    expect(body).toMatchObject({ type: 'quorum' })
    expect((body as { members: string[] }).members).toHaveLength(3)
    const leader = await cluster.leaderOf('replicated')
    expect(cluster.nodes).toContain(leader)
    await leader.kill()
    expect(await leader.healthy()).toBe(false)
    await expect.poll(async () => (await cluster.leaderOf('replicated')) !== leader, { timeout: 20_000 }).toBe(true)
    await leader.start()
    expect(await leader.healthy()).toBe(true)
    await expect(cluster.leaderOf('nobody')).rejects.toMatchObject({ code: 'NOT_FOUND' })
    expect(cluster.urls.amqp.split(',')).toHaveLength(3)
    const cookies = cluster.nodes.map(({ dataDir }) => readFileSync(join(dataDir, 'home/.erlang.cookie'), 'utf8'))
    expect(new Set(cookies).size, 'one cookie for the cluster').toBe(1)
    expect(cookies[0]).toMatch(/^[0-9a-f]{64}$/)
  })
})
