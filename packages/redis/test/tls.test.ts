import { inspect } from 'node:util'
import {
  type BrokerHandle,
  type Certificates,
  findFreePort,
  makeCertificates,
  startBroker,
} from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openRedis, unique, until } from './bench.js'

const PASSWORD = 'right-secret'

let certificates: Certificates
let broker: BrokerHandle
let tlsPort: number

beforeAll(async () => {
  certificates = await makeCertificates()
  tlsPort = await findFreePort()
  broker = await startBroker('redis', {
    config: [
      `requirepass ${PASSWORD}`,
      `tls-port ${tlsPort}`,
      `tls-ca-cert-file ${certificates.caFile}`,
      `tls-cert-file ${certificates.certFile}`,
      `tls-key-file ${certificates.keyFile}`,
      'tls-auth-clients no',
    ],
  })
})

afterAll(async () => {
  await broker?.remove()
  await certificates?.remove()
})

const urlOf = (scheme: 'redis' | 'rediss', port: number | undefined, password = PASSWORD): string =>
  `${scheme}://:${password}@127.0.0.1:${port}`

type Options = Readonly<Record<string, unknown>>

async function roundTrip(options: Options, host = '127.0.0.1'): Promise<void> {
  const topic = unique('tls')
  const transport = openRedis(urlOf('rediss', tlsPort).replace('127.0.0.1', host), options)
  await transport.producer<string>(topic).send('through')
  const loop = transport.consumer<string>(topic, { group: 'g' })
  const seen: string[] = []
  loop.handle((message) => void seen.push(message.value))
  const running = loop.run()
  await until(() => seen.length > 0)
  expect(seen).toEqual(['through'])
  await loop.close()
  await running
}

interface Refusals {
  readonly errors: readonly unknown[]
  /** Core tells there why it tries again; the error of a time limit that strikes during a try doesn't. */
  readonly log: string
}

/** What a producer and a loop are refused with; both must fail alike, and within `connectTimeoutMs` and a second. */
async function refusals(url: string, options: Options, connectTimeoutMs = 10_000): Promise<Refusals> {
  const transport = openRedis(url, options)
  const loop = transport.consumer('orders', { group: 'g', connectTimeoutMs })
  loop.handle(() => {})
  const started = performance.now()
  const results = await Promise.allSettled([transport.producer('orders', { connectTimeoutMs }).init(), loop.init()])
  expect(performance.now() - started).toBeLessThan(connectTimeoutMs + 1_000)
  const errors = results.map((result) => (result.status === 'rejected' ? result.reason : 'connected'))
  expect(inspect([errors, transport.lines], { depth: 10, showHidden: true })).not.toMatch(/(right|wrong)-secret/)
  return { errors, log: transport.lines.join('\n') }
}

/** A password that counts how often a connection was tried. */
function countedPassword(text: string): { readonly options: Options; asked: number } {
  const counted = { asked: 0, options: {} as Options }
  counted.options = {
    password: () => {
      counted.asked += 1
      return text
    },
  }
  return counted
}

test('sends and receives where the authority is trusted', async () => {
  for (const host of ['127.0.0.1', 'localhost']) await roundTrip({ tlsCaFile: certificates.caFile }, host)
})

test('sends and receives unverified, for experiments', async () => {
  await roundTrip({ tlsVerify: false })
})

test.each([
  ['no authority given', () => ({})],
  ['another authority', () => ({ tlsCaFile: certificates.strangerCaFile })],
  ['another name', () => ({ tlsCaFile: certificates.caFile, tlsServerName: 'elsewhere.example' })],
])('%s: refused at the first try, naming the certificate and what to check', async (_, options) => {
  const counted = countedPassword(PASSWORD)
  const url = `rediss://127.0.0.1:${tlsPort}`
  for (const error of (await refusals(url, { ...counted.options, ...options() })).errors) {
    expect(error).toMatchObject({
      code: 'UNAUTHENTICATED',
      retryable: false,
      message: expect.stringMatching(/certificate.*tlsCaFile/),
    })
  }
  expect(counted.asked, 'by the producer and by the loop').toBe(2)
})

test('a wrong password over TLS is UNAUTHENTICATED, at the first try, and in no error or log', async () => {
  const counted = countedPassword('wrong-secret')
  const url = `rediss://127.0.0.1:${tlsPort}`
  for (const error of (await refusals(url, { ...counted.options, tlsCaFile: certificates.caFile })).errors) {
    expect(error).toMatchObject({
      code: 'UNAUTHENTICATED',
      retryable: false,
      message: expect.stringContaining('WRONGPASS'),
    })
  }
  expect(counted.asked, 'by the producer and by the loop').toBe(2)
})

// Redis takes the handshake for the beginning of a command and waits for the rest: only the time limit ends it.
test('TLS to a port without it is not waited for longer than callTimeoutMs', async () => {
  const { errors, log } = await refusals(urlOf('rediss', broker.ports['redis']), { callTimeoutMs: 300 }, 1_500)
  for (const error of errors) expect(error).toMatchObject({ name: 'StreamError', code: 'UNAVAILABLE' })
  expect(log).toContain('the server did not answer in time')
})

test('no TLS to a port with it is UNAVAILABLE, tried again until connectTimeoutMs', async () => {
  const { errors, log } = await refusals(urlOf('redis', tlsPort), {}, 1_500)
  for (const error of errors) expect(error).toMatchObject({ name: 'StreamError', code: 'UNAVAILABLE' })
  expect(log).toContain('the connection is gone')
})
