import { randomUUID } from 'node:crypto'
import { Transport } from '@streamswitch/core'
import { conformance, type ForeignClient, type Topology } from '@streamswitch/testkit'
import { findFreePort } from '@streamswitch/testkit/brokers'
import { afterAll, describe } from 'vitest'
import http from '../src/index.js'
import { curl } from './support/curl.js'
import { PlainReceiver } from './support/plain-receiver.js'

const maxPayloadBytes = 256 * 1024

/** Before the first test: an address that nobody connects to. */
let base = 'http://127.0.0.1:1'
let receiver: PlainReceiver | undefined
let elsewhere: Transport | undefined

async function serveSomethingElse(): Promise<Transport> {
  const transport = new Transport(http, base, { environment: {}, options: { maxPayloadBytes } })
  await transport.consumer('something-else', { group: 'another' }).init()
  return transport
}

/** curl writes; a plain server, which knows nothing of Streamswitch, reads. */
const foreign: ForeignClient = {
  name: 'curl or a plain server',
  raw: 'ids',
  async write(topic, { body, key, raw }, group) {
    const headers = [
      '-H',
      'content-type: application/json',
      '-H',
      `idempotency-key: ${raw?.id ?? randomUUID()}`,
      ...(key === undefined ? [] : ['-H', `streamswitch-key: ${key}`]),
    ]
    const { status } = await curl(
      [...headers, '--retry', '3', '--retry-delay', '1', '--data-binary', '@-', `${base}/${topic}/${group}`],
      body,
    )
    if (status !== 204) throw new Error(`status ${status}`)
  },
  async read(_topic, count) {
    const requests = (await receiver?.received(count)) ?? []
    await receiver?.[Symbol.asyncDispose]()
    return requests.slice(0, count).map(({ body, headers }) => ({ body, key: String(headers['streamswitch-key']) }))
  },
}

function declare(title: string, routes: (topology: Topology) => Record<string, unknown>): void {
  describe(title, () => {
    conformance({
      adapter: http,
      url: () => base,
      async openOptions(topology) {
        base = `http://127.0.0.1:${await findFreePort()}`
        await elsewhere?.close()
        elsewhere = undefined
        // Where nobody consumes the topic, somebody must still be listening: a server that is down is another case.
        if (topology.groups.length === 0) elsewhere = await serveSomethingElse()
        if (topology.purpose !== 'foreign-read') return { options: { maxPayloadBytes, ...routes(topology) } }
        receiver = await PlainReceiver.listen()
        return {
          options: {
            maxPayloadBytes,
            endpoints: Object.fromEntries(topology.topics.map((topic) => [topic, receiver?.url])),
          },
        }
      },
      limits: { maxPayloadBytes },
      partitions: 1,
      redelivery: 'sender',
      shortTimeouts: { transport: { responseTimeoutMs: 500, keepAliveTimeoutMs: 200 }, handlerMs: 1_500 },
      foreign,
    })
  })
}

afterAll(() => elsewhere?.close())

declare('behind one base URL', () => ({}))
declare('by routes', ({ topics, groups }) => ({
  routes: Object.fromEntries(
    topics.map((topic) => [topic, Object.fromEntries(groups.map((group) => [group, [base]]))]),
  ),
}))
