import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrokerHandle, findFreePort, startBroker } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openStream, type Seen, seenOf, unique, until } from './support/bench.js'

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

let folder = ''
let broker: BrokerHandle
let url: string
const file = (name: string): string => join(folder, name)

function openssl(...args: string[]): void {
  const { status, stderr } = spawnSync('openssl', args, { cwd: folder })
  if (status !== 0) throw new Error(`openssl ended with ${status}: ${stderr?.toString()}`)
}

function authority(name: string): void {
  openssl(
    'req',
    '-x509',
    ...NEW_KEY,
    '-days',
    '2',
    '-subj',
    `/CN=${name}`,
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.crt`,
  )
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'streamswitch-tls-'))
  authority('ca')
  authority('stranger')
  const extension = ['-addext', 'subjectAltName=IP:127.0.0.1']
  openssl('req', ...NEW_KEY, '-subj', '/CN=broker', '-keyout', 'broker.key', '-out', 'broker.csr', ...extension)
  const signing = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-copy_extensions', 'copy']
  openssl('x509', '-req', '-in', 'broker.csr', ...signing, '-days', '2', '-out', 'broker.crt')
  const port = await findFreePort()
  broker = await startBroker('rabbitmq', {
    config: [
      `ssl_options.cacertfile = ${file('ca.crt')}`,
      `ssl_options.certfile = ${file('broker.crt')}`,
      `ssl_options.keyfile = ${file('broker.key')}`,
      `stream.listeners.ssl.1 = 127.0.0.1:${port}`,
      'stream.advertised_tls_host = 127.0.0.1',
      `stream.advertised_tls_port = ${port}`,
    ],
  })
  url = `rabbitmq-stream+tls://guest:guest@127.0.0.1:${port}`
})

afterAll(async () => {
  await broker?.remove()
  rmSync(folder, { recursive: true, force: true })
})

describe('TLS', () => {
  test('sends and receives by TLS, the certificate verified against the given authority', async () => {
    const topic = unique('topic')
    const transport = openStream({ tlsCaFile: file('ca.crt') }, url)
    await transport.producer<number>(topic, { partitions: 2 }).send(1)
    const seen: Seen[] = []
    const loop = transport.consumer<number>(topic, { group: unique('group') })
    loop.handle((message) => void seen.push(seenOf(message)))
    const run = loop.run()
    await until(() => seen.length === 1)
    await loop.close()
    await run
  })

  test.each([
    ['a certificate of an authority that is not trusted', {}],
    ['a certificate of another authority', { tlsCaFile: 'stranger.crt' }],
    ['a certificate for another name', { tlsCaFile: 'ca.crt', tlsServerName: 'elsewhere.example' }],
  ])('%s is refused', async (_, options) => {
    const files = Object.fromEntries(
      Object.entries(options).map(([name, value]) => [name, name === 'tlsCaFile' ? file(value) : value]),
    )
    const producer = openStream(files, url).producer('orders')
    await expect(producer.init()).rejects.toMatchObject({ code: 'UNAUTHENTICATED', retryable: false })
  })

  test('without verification, for experiments', async () => {
    await openStream({ tlsVerify: false }, url).producer(unique('topic')).init()
  })

  test('a port that speaks no TLS is named as such', async () => {
    const plain = `rabbitmq-stream+tls://guest:guest@127.0.0.1:${broker.ports['stream']}`
    await expect(openStream({}, plain).producer('orders', { connectTimeoutMs: 2_000 }).init()).rejects.toMatchObject({
      name: 'StreamError',
    })
  })
})
