import { execFile } from 'node:child_process'
import { inspect, promisify } from 'node:util'
import { type Logger, Transport } from '@streamswitch/core'
import {
  type BrokerHandle,
  brokerTool,
  type Certificates,
  findFreePort,
  makeCertificates,
  startBroker,
} from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import kafka from '../src/index.js'
import { uniqueTopic } from './support/member.js'

const PASSWORD = 'right-secret'
const MODULES = 'org.apache.kafka.common.security'

let certificates: Certificates
let broker: BrokerHandle
let plainPort: number
let tlsPort: number

beforeAll(async () => {
  certificates = await makeCertificates()
  plainPort = await findFreePort()
  tlsPort = await findFreePort()
  const controllerPort = await findFreePort()
  const listeners = `PLAINTEXT://127.0.0.1:${plainPort},SECURE://127.0.0.1:${tlsPort}`
  broker = await startBroker('kafka', {
    port: plainPort,
    ports: { controller: controllerPort },
    config: [
      `listeners=${listeners},CONTROLLER://127.0.0.1:${controllerPort}`,
      `advertised.listeners=${listeners}`,
      'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL',
      'listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512',
      `listener.name.secure.plain.sasl.jaas.config=${MODULES}.plain.PlainLoginModule required user_app="${PASSWORD}";`,
      `listener.name.secure.scram-sha-512.sasl.jaas.config=${MODULES}.scram.ScramLoginModule required;`,
      'ssl.keystore.type=PEM',
      `ssl.keystore.location=${certificates.keyStoreFile}`,
      'ssl.truststore.type=PEM',
      `ssl.truststore.location=${certificates.caFile}`,
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
  const transport = new Transport(kafka, url, { environment: {}, logger, options })
  onTestFinished(() => transport.close({ timeoutMs: 1_000 }))
  return { transport, lines }
}

async function roundTrip(options: Options): Promise<void> {
  const topic = uniqueTopic()
  const { transport } = open(`kafka://127.0.0.1:${tlsPort}?tls=true`, {
    username: 'app',
    password: PASSWORD,
    ...options,
  })
  await transport.producer<string>(topic).send('through')
  const loop = transport.consumer<string>(topic, { group: 'g' })
  const handled = new Promise<string>((resolve) => loop.handle((message) => resolve(message.value)))
  const running = loop.run()
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
  expect(inspect([errors, lines], { depth: 10, showHidden: true })).not.toMatch(/(right|wrong)-secret/)
  return { errors, log: lines.join('\n') }
}

/** A password that counts how often a client was made with it. */
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

test('sends and receives with SCRAM over TLS', async () => {
  await promisify(execFile)(await brokerTool('kafka-configs'), [
    ...['--bootstrap-server', `127.0.0.1:${plainPort}`, '--alter', '--entity-type', 'users', '--entity-name', 'scram'],
    ...['--add-config', `SCRAM-SHA-512=[password=${PASSWORD}]`],
  ])
  await roundTrip({ username: 'scram', saslMechanism: 'scram-sha-512', tlsCaFile: certificates.caFile })
})

test.each([
  ['no authority given', () => ({})],
  ['another authority', () => ({ tlsCaFile: certificates.strangerCaFile })],
  ['another name', () => ({ tlsCaFile: certificates.caFile, tlsServerName: 'elsewhere.example' })],
])('%s: refused at the first try, naming the certificate and what to check', async (_, options) => {
  const counted = countedPassword(PASSWORD)
  const { password } = counted
  const url = `kafka://app@127.0.0.1:${tlsPort}?tls=true`
  for (const error of (await refusals(url, { password, ...options() })).errors) {
    expect(error).toMatchObject({
      code: 'UNAUTHENTICATED',
      retryable: false,
      message: expect.stringMatching(/certificate.*tlsCaFile/),
    })
  }
  expect(counted.asked, 'by the producer and by the loop').toBe(2)
})

test.each(['plain', 'scram-sha-512'])(
  'a wrong password by %s over TLS is UNAUTHENTICATED, at the first try, and in no error or log',
  async (saslMechanism) => {
    const counted = countedPassword('wrong-secret')
    const { password } = counted
    const options = { password, saslMechanism, tlsCaFile: certificates.caFile }
    for (const error of (await refusals(`kafka://app@127.0.0.1:${tlsPort}?tls=true`, options)).errors) {
      expect(error).toMatchObject({
        code: 'UNAUTHENTICATED',
        retryable: false,
        message: expect.stringContaining('password'),
      })
    }
    expect(counted.asked, 'by the producer and by the loop').toBe(2)
  },
)

test.each([
  ['TLS to a port without it', () => `${plainPort}?tls=true`, 'before secure TLS connection was established'],
  ['no TLS to a port with it', () => `${tlsPort}`, 'Closed connection'],
])('%s is UNAVAILABLE, tried again until connectTimeoutMs', async (_, address, reason) => {
  const { errors, log } = await refusals(`kafka://127.0.0.1:${address()}`, {}, 1_500)
  for (const error of errors) expect(error).toMatchObject({ name: 'StreamError', code: 'UNAVAILABLE' })
  expect(log).toContain(reason)
})
