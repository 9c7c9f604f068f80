import { inspect } from 'node:util'
import { type Logger, Transport } from '@streamswitch/core'
import {
  type BrokerHandle,
  type Certificates,
  findFreePort,
  makeCertificates,
  startBroker,
} from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import adapter from '../src/index.js'
import { uniqueName } from './support/member.js'

let certificates: Certificates
let broker: BrokerHandle
let tlsPort: number

beforeAll(async () => {
  certificates = await makeCertificates()
  tlsPort = await findFreePort()
  broker = await startBroker('rabbitmq', {
    config: [
      `listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
      `ssl_options.cacertfile = ${certificates.caFile}`,
      `ssl_options.certfile = ${certificates.certFile}`,
      `ssl_options.keyfile = ${certificates.keyFile}`,
      'ssl_options.verify = verify_none',
    ],
  })
})

afterAll(async () => {
  await broker?.remove()
  await certificates?.remove()
})

type Options = Readonly<Record<string, unknown>>

/** A transport that is closed with the test, and what it logged. */
function open(url: string, options: Options): { readonly transport: Transport; readonly lines: readonly string[] } {
  const lines: string[] = []
  const note = (message: string): void => void lines.push(message)
  const logger: Logger = { debug: note, info: note, warn: note, error: note }
  const transport = new Transport(adapter, url, { environment: {}, logger, options })
  onTestFinished(() => transport.close({ timeoutMs: 1_000 }))
  return { transport, lines }
}

async function roundTrip(options: Options): Promise<void> {
  const topic = uniqueName('tls')
  const { transport } = open(`amqps://guest:guest@127.0.0.1:${tlsPort}`, options)
  const loop = transport.consumer<string>(topic, { group: 'g' })
  const handled = new Promise<string>((resolve) => loop.handle((message) => resolve(message.value)))
  await loop.init()
  const running = loop.run()
  await transport.producer<string>(topic).send('through')
  expect(await handled).toBe('through')
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
  const { transport, lines } = open(url, options)
  const loop = transport.consumer('orders', { group: 'g', connectTimeoutMs })
  loop.handle(() => {})
  const started = performance.now()
  const results = await Promise.allSettled([transport.producer('orders', { connectTimeoutMs }).init(), loop.init()])
  expect(performance.now() - started).toBeLessThan(connectTimeoutMs + 1_000)
  const errors = results.map((result) => (result.status === 'rejected' ? result.reason : 'connected'))
  expect(inspect([errors, lines], { depth: 10, showHidden: true })).not.toMatch(/wrong-secret/)
  return { errors, log: lines.join('\n') }
}

/** A password that counts how often a connection was tried. */
function countedPassword(text: string): { asked: number; readonly password: () => string } {
  const counted = {
    asked: 0,
    password: () => {
      counted.asked += 1
      return text
    },
  }
  return counted
}

test('sends and receives where the authority is trusted', async () => {
  await roundTrip({ tlsCaFile: certificates.caFile })
})

test('sends and receives unverified, for experiments', async () => {
  await roundTrip({ tlsVerify: false })
})

test.each([
  ['no authority given', () => ({})],
  ['another authority', () => ({ tlsCaFile: certificates.strangerCaFile })],
  ['another name', () => ({ tlsCaFile: certificates.caFile, tlsServerName: 'elsewhere.example' })],
])('%s: refused at the first try, naming the certificate and what to check', async (_, options) => {
  const counted = countedPassword('guest')
  const { password } = counted
  for (const error of (await refusals(`amqps://127.0.0.1:${tlsPort}`, { password, ...options() })).errors) {
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
  const { password } = counted
  const options = { password, tlsCaFile: certificates.caFile }
  for (const error of (await refusals(`amqps://127.0.0.1:${tlsPort}`, options)).errors) {
    expect(error).toMatchObject({
      code: 'UNAUTHENTICATED',
      retryable: false,
      message: expect.stringContaining('password'),
    })
  }
  expect(counted.asked, 'by the producer and by the loop').toBe(2)
})

test('TLS to a port without it is INVALID_ARGUMENT', async () => {
  const url = `amqps://127.0.0.1:${broker.ports['amqp']}`
  for (const error of (await refusals(url, { tlsCaFile: certificates.caFile })).errors)
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining('speaks no TLS') })
})

test('no TLS to a port with it is UNAVAILABLE, tried again until connectTimeoutMs', async () => {
  const { errors, log } = await refusals(`amqp://127.0.0.1:${tlsPort}`, {}, 1_500)
  for (const error of errors) expect(error).toMatchObject({ name: 'StreamError', code: 'UNAVAILABLE' })
  expect(log).toContain('closed abruptly')
})
