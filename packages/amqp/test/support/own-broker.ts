import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { BrokerHandle } from '@streamswitch/testkit/brokers'
import { connect } from 'amqplib'
import { expect } from 'vitest'

const AUTHORIZATION = `Basic ${Buffer.from('guest:guest').toString('base64')}`
const POLICY = 'streamswitch-test'

/** What the management API shows of a queue. */
export interface QueueDetails {
  readonly name: string
  readonly type: string
  readonly effective_policy_definition?: Readonly<Record<string, unknown>>
  readonly arguments: Readonly<Record<string, unknown>>
}

/** A broker of one test file: its management API and tools, in one virtual host. */
export class OwnBroker {
  readonly broker: BrokerHandle
  readonly #vhost: string

  constructor(broker: BrokerHandle, vhost = '/') {
    this.broker = broker
    this.#vhost = vhost
  }

  get url(): string {
    return this.#vhost === '/' ? this.broker.url : `${this.broker.url}/${encodeURIComponent(this.#vhost)}`
  }

  async rabbitmqctl(...args: string[]): Promise<string> {
    return (await promisify(execFile)(this.broker.tool('rabbitmqctl'), args)).stdout
  }

  /** A call of the HTTP API; `undefined` for 404. */
  async api<T>(method: 'GET' | 'PUT' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<T | undefined> {
    const response = await fetch(`http://127.0.0.1:${this.broker.ports['management']}/api/${path}`, {
      method,
      headers: { authorization: AUTHORIZATION, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (response.status === 404) return undefined
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return (text === '' ? undefined : JSON.parse(text)) as T | undefined
  }

  async makeVhost(defaultQueueType?: string): Promise<void> {
    await this.api('PUT', `vhosts/${encodeURIComponent(this.#vhost)}`, {
      ...(defaultQueueType === undefined ? {} : { default_queue_type: defaultQueueType }),
    })
    await this.api('PUT', `permissions/${encodeURIComponent(this.#vhost)}/guest`, {
      configure: '.*',
      write: '.*',
      read: '.*',
    })
  }

  queue(name: string): Promise<QueueDetails | undefined> {
    return this.api('GET', `queues/${encodeURIComponent(this.#vhost)}/${encodeURIComponent(name)}`)
  }

  deleteQueue(name: string): Promise<unknown> {
    return this.api('DELETE', `queues/${encodeURIComponent(this.#vhost)}/${encodeURIComponent(name)}`)
  }

  async setPolicy(definition: Readonly<Record<string, unknown>>, pattern = '.*'): Promise<void> {
    await this.api('PUT', `policies/${encodeURIComponent(this.#vhost)}/${POLICY}`, {
      pattern,
      'apply-to': 'queues',
      priority: 1,
      definition,
    })
  }

  async clearPolicy(): Promise<void> {
    await this.api('DELETE', `policies/${encodeURIComponent(this.#vhost)}/${POLICY}`)
  }

  /** Resolves once the policy is in force for a queue. */
  async policyApplies(queue: string, definition: Readonly<Record<string, unknown>>): Promise<void> {
    await expect
      .poll(async () => (await this.queue(queue))?.effective_policy_definition, { timeout: 20_000 })
      .toMatchObject(definition)
  }

  /** Resolves once the broker has dropped, by the present policy, a message that a queue of its own got after this call. */
  async policyDrops(): Promise<void> {
    const connection = await connect(this.url)
    try {
      const channel = await connection.createConfirmChannel()
      const { queue } = await channel.assertQueue(`canary-${Date.now()}`, {
        durable: true,
        arguments: { 'x-queue-type': 'quorum' },
      })
      channel.sendToQueue(queue, Buffer.from('canary'), { persistent: true })
      await channel.waitForConfirms()
      await expect.poll(async () => (await channel.checkQueue(queue)).messageCount, { timeout: 20_000 }).toBe(0)
      await channel.deleteQueue(queue)
    } finally {
      await connection.close()
    }
  }
}
