import type { ConsumerSink, ConsumerSpec, Logger, TopicSearch } from '@streamswitch/core/driver'
import { findFreePort } from '@streamswitch/testkit/brokers'
import { expect, test } from 'vitest'
import { HttpConnection } from '../src/connection.js'
import { HttpConsumerDriver } from '../src/consumer.js'
import type { HttpConsumerOptionValues, HttpOptionValues } from '../src/options.js'
import { Hub } from '../src/server/hub.js'
import type { Lease } from '../src/server/listener.js'

test('a loop that is closed while it opens joins nothing: another one of the address would be asked in vain', async () => {
  const hub = new Hub()
  let listening: (lease: Lease) => void = () => {}
  const lease = new Promise<Lease>((resolve) => {
    listening = resolve
  })
  const released: string[] = []
  const spec = {
    topics: [{ topic: 't', brokerTopic: 't' }],
    brokerGroup: 'g',
    member: 'm',
    ordering: 'key',
    options: { method: 'POST' },
  } as unknown as ConsumerSpec<HttpConsumerOptionValues>
  const sink = { assigned: () => {} } as unknown as ConsumerSink
  const driver = new HttpConsumerDriver(spec, sink, '', () => lease)
  const opening = driver.open(new AbortController().signal)
  const closing = driver.close()
  listening({ hub, release: async () => void released.push('lease') } as unknown as Lease)
  await expect(opening).rejects.toMatchObject({ code: 'CLOSED' })
  await closing
  expect(hub.find('/t/g')?.inboxes).toEqual([])
  expect(released).toEqual(['lease'])
})

test('a search for topics that is given up while it opens listens no longer', async () => {
  const port = await findFreePort()
  const logger = { debug() {}, info() {}, warn() {}, error() {} } as unknown as Logger
  const connection = new HttpConnection(
    {
      baseUrls: [`http://127.0.0.1:${port}`],
      routes: {},
      endpoints: {},
      listen: { host: '127.0.0.1', port },
      allowedOrigins: [],
      trustedProxies: [],
      maxPayloadBytes: 1024,
      maxRequestBytes: 1024,
      maxConnections: 10,
      requestTimeoutMs: 1_000,
      headersTimeoutMs: 1_000,
      keepAliveTimeoutMs: 1_000,
    } as unknown as HttpOptionValues,
    {
      logger,
      clientId: 'c',
      prefix: '',
      environment: {},
      nativeTopics: {},
      nativeGroups: {},
      requires: [],
    },
  )
  const giveUp = new AbortController()
  const discovering = connection.discover({} as unknown as TopicSearch, giveUp.signal)
  giveUp.abort(new Error('given up'))
  await expect(discovering).rejects.toThrow('given up')
  // It may still begin to listen, but ends that.
  const answers = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${port}/healthz`).then(
      () => true,
      () => false,
    )
  const heard: boolean[] = []
  await expect
    .poll(
      async () => {
        heard.push(await answers())
        return heard.slice(-3)
      },
      { timeout: 10_000, interval: 50 },
    )
    .toEqual([false, false, false])
  await connection.close()
})
