import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Transport } from '@streamswitch/core'
import { brokerTool } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import kafka from '../src/index.js'
import { uniqueTopic } from './support/member.js'
import { type SecureBroker, startSecureBroker } from './support/secure-broker.js'

let broker: SecureBroker

beforeAll(async () => {
  broker = await startSecureBroker()
})

afterAll(async () => {
  await broker?.handle.remove()
})

const seen: string[] = []

function open(url: string, options: Readonly<Record<string, unknown>> = {}): Transport {
  const keep = (message: string): void => {
    seen.push(message)
  }
  const logger = { debug: keep, info: keep, warn: keep, error: keep }
  const transport = new Transport(kafka, url, { environment: {}, logger, options })
  onTestFinished(() => transport.close({ timeoutMs: 1_000 }))
  return transport
}

const sasl = (user: string, password = `${user}-secret`, query = ''): string =>
  `kafka://${user}:${password}@127.0.0.1:${broker.saslPort}${query}`

/** One message there and back. */
async function roundTrip(transport: Transport, topic: string, group = 'g'): Promise<void> {
  await transport.producer<string>(topic).send('through')
  const loop = transport.consumer<string>(topic, { group })
  const handled = new Promise<string>((resolve) => loop.handle((message) => resolve(message.value)))
  const running = loop.run()
  expect(await handled).toBe('through')
  await loop.close()
  await running
}

describe('SASL', () => {
  it('plain: the right password opens', async () => {
    await roundTrip(open(sasl('admin')), uniqueTopic())
  })

  it.each(['plain', 'scram-sha-256', 'scram-sha-512'])(
    '%s: a wrong password is UNAUTHENTICATED, at once and unseen',
    async (mechanism) => {
      const transport = open(sasl('admin', 'wrong-secret', `?saslMechanism=${mechanism}`))
      const started = Date.now()
      const error: unknown = await transport
        .producer('t')
        .init()
        .catch((failure: unknown) => failure)
      expect(error).toMatchObject({ code: 'UNAUTHENTICATED', retryable: false })
      expect(Date.now() - started).toBeLessThan(5_000)
      const loop = transport.consumer('t', { group: 'g' })
      loop.handle(() => {})
      await expect(loop.init()).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
      expect(`${String(error)} ${JSON.stringify(error)} ${seen.join()}`).not.toContain('wrong-secret')
    },
  )

  it.each(['scram-sha-256', 'scram-sha-512'])('%s: the right password opens', async (mechanism) => {
    const user = `user-${mechanism}`
    const name = mechanism.toUpperCase()
    await promisify(execFile)(await brokerTool('kafka-configs'), [
      ...[
        '--bootstrap-server',
        `127.0.0.1:${broker.plainPort}`,
        '--alter',
        '--entity-type',
        'users',
        '--entity-name',
        user,
      ],
      ...['--add-config', `${name}=[password=scram-secret]`],
    ])
    // Known, but allowed nothing: what is refused now is no longer the password.
    const transport = open(sasl(user, 'scram-secret', `?saslMechanism=${mechanism}`))
    await expect(transport.producer('t').init()).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
  })

  it('reads the password anew for each connection', async () => {
    let asked = 0
    const password = (): string => {
      asked += 1
      return 'admin-secret'
    }
    const transport = open(`kafka://127.0.0.1:${broker.saslPort}`, { username: 'admin', password })
    await transport.admin.topics()
    await transport.admin.topics()
    expect(asked).toBe(2)
  })

  it('needs both user and password', () => {
    expect(() => open(`kafka://127.0.0.1:${broker.saslPort}`, { username: 'admin' })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringContaining('KAFKA_PASSWORD') }),
    )
  })
})

describe('permissions', () => {
  it('that are missing are PERMISSION_DENIED, saying which', async () => {
    const transport = open(sasl('stranger'))
    await expect(transport.producer('orders').init()).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      retryable: false,
      message: expect.stringMatching(/CREATE if it is to be created, on topic 'orders'.*docs\/rights.md/),
    })
  })
})
