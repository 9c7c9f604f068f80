import { expect } from 'vitest'
import { findFreePort } from '../brokers/ports.js'
import { TcpProxy } from '../faults/tcp-proxy.js'
import type { Bench } from './bench.js'
import { within } from './collect.js'
import { descriptors } from './descriptors.js'
import { rejection, shownForms } from './expect-error.js'
import type { Suite } from './suite.js'

const SECRET = 'wrong-secret'

/** What may pass between a deadline and its error, on a busy machine. */
const SLACK_MS = 3_000

/** A server that is absent or turns us away: found in time, said clearly, without the secret. */
export function unreachable(suite: Suite): void {
  if (!suite.has('multiProcess')) return
  suite.describe('a server that is absent or refuses', () => {
    absent(suite)
    // Where there is a server, it listens at a port.
    if (suite.settings.adapter.reconnects === 'core' && suite.settings.absentUrl === undefined) late(suite)
    descriptors(suite)
    const { badCredentialsUrl } = suite.settings
    if (badCredentialsUrl !== undefined) badCredentials(suite, badCredentialsUrl)
  })
}

function absent(suite: Suite): void {
  suite.test(
    'absent: init and run reject with UNAVAILABLE within connectTimeoutMs, sends within their own time, and both say why',
    {},
    async (bench) => {
      const transport = bench.transport({}, await absentUrl(suite, bench))
      const producer = bench.producer({ transport, connectTimeoutMs: 700, sendTimeoutMs: 2_000 })
      const buffered = rejection(producer.send(0), 'UNAVAILABLE', 'TIMEOUT')
      const started = performance.now()
      if (suite.settings.adapter.reconnects === 'core') {
        const error = await rejection(producer.init(), 'UNAVAILABLE')
        expect(error).toMatchObject({ retryable: true, transport: suite.settings.adapter.name, topic: bench.topic })
        expect(producer.stats(), 'the send still waits').toMatchObject({ buffered: 1, failed: 0 })
        expect(performance.now() - started).toBeLessThan(700 + SLACK_MS)
        const loop = transport.consumer(bench.topic, { group: bench.group, connectTimeoutMs: 700 })
        loop.handle(() => {})
        await rejection(loop.init(), 'UNAVAILABLE')
        await rejection(loop.run(), 'UNAVAILABLE')
      }
      const sending = performance.now()
      if (suite.settings.adapter.reconnects === 'core')
        expect(await buffered).toMatchObject({
          code: 'TIMEOUT',
          message: expect.stringMatching(/sendTimeoutMs.*not connected.*the last failure was: /),
        })
      await rejection(producer.send(1), 'UNAVAILABLE', 'TIMEOUT')
      expect(performance.now() - sending).toBeLessThan(2_000 + SLACK_MS)
      const signal = AbortSignal.timeout(20)
      await rejection(producer.send(2, { signal }), 'ABORTED')
      await within(transport.close(), 'close without a server')
      expect(producer.stats()).toMatchObject({ accepted: 0, buffered: 0, connected: false })
    },
  )
}

function late(suite: Suite): void {
  suite.test('a server that starts after init has failed: what was sent meanwhile is accepted', {}, async (bench) => {
    const at = Number(/^[^:]+:\/\/[^/?]*?:(\d+)(?:[/?]|$)/.exec(bench.url)?.[1])
    // Its group keeps what is sent, where topics keep nothing without one.
    await bench.member()
    expect(at, 'the port in the URL of the suite').toBeGreaterThan(0)
    const port = await findFreePort()
    const transport = bench.transport({}, bench.url.replace(`:${at}`, `:${port}`))
    const producer = bench.producer({ transport, connectTimeoutMs: 300, sendTimeoutMs: 25_000 })
    const sent = Array.from({ length: 3 }, (_, index) => bench.ledger.send(producer, index, { key: 'k' }))
    await rejection(producer.init(), 'UNAVAILABLE')
    await using _server = await TcpProxy.start({ port: at, listenPort: port })
    await within(Promise.all(sent), 'the sends', 25_000)
    expect(producer.stats()).toMatchObject({ accepted: 3, failed: 0 })
    await bench.handledCount(3)
  })
}

function badCredentials(suite: Suite, url: string): void {
  suite.test('wrong credentials: UNAUTHENTICATED at once, without the password', {}, async (bench) => {
    expect(url, 'the wrong password must read like this').toContain(SECRET)
    const transport = bench.transport({}, url)
    const producer = bench.producer({ transport, connectTimeoutMs: 10_000 })
    const started = performance.now()
    const error = await rejection(producer.init(), 'UNAUTHENTICATED', 'PERMISSION_DENIED')
    expect(performance.now() - started, 'retrying would not help').toBeLessThan(8_000)
    expect(error.retryable).toBe(false)
    const loop = transport.consumer(bench.topic, { group: bench.group })
    const second = await rejection(loop.init(), 'UNAUTHENTICATED', 'PERMISSION_DENIED')
    const third = await rejection(producer.send(1), 'UNAUTHENTICATED', 'PERMISSION_DENIED')
    for (const one of [error, second, third]) expect(shownForms(one)).not.toContain(SECRET)
    expect(bench.log.join('\n')).not.toContain(SECRET)
  })
}

/** The suite's own URL with a port of this machine in place of its hosts, at which nobody listens. */
export async function absentUrl(suite: Suite, bench: Bench): Promise<string> {
  if (suite.settings.absentUrl !== undefined) return suite.settings.absentUrl
  const match = /^([^:]+:\/\/)(?:[^@/?]*@)?[^/?]*(.*)$/.exec(bench.url)
  return `${match?.[1] ?? ''}127.0.0.1:${await findFreePort()}${match?.[2] ?? ''}`
}
