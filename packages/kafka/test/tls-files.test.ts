import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { makeCertificates } from '@streamswitch/testkit/brokers'
import { expect, it, onTestFinished } from 'vitest'
import { BootstrapServers } from '../src/bootstrap.js'
import { KafkajsClient } from '../src/kafkajs-client.js'
import { type KafkaValues, kafkaFields } from '../src/options.js'

it('a client that connects again shows the certificate that its files hold by then, the last good one where they are broken', async () => {
  await using ours = await makeCertificates()
  await using others = await makeCertificates()
  const folder = await mkdtemp(join(tmpdir(), 'streamswitch-kafka-tls-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const files = { tlsCertFile: join(folder, 'cert'), tlsKeyFile: join(folder, 'key') }
  const put = async (from: typeof ours): Promise<void> => {
    await copyFile(from.certFile, files.tlsCertFile)
    await copyFile(from.keyFile, files.tlsKeyFile)
  }
  const serialOf = async (from: typeof ours): Promise<string> =>
    new X509Certificate(await readFile(from.certFile)).serialNumber
  await put(ours)

  const shown: (string | undefined)[] = []
  const [cert, key] = await Promise.all([readFile(ours.certFile), readFile(ours.keyFile)])
  const server = createServer({ cert, key, requestCert: true, rejectUnauthorized: false }, (socket) => {
    shown.push(socket.getPeerX509Certificate()?.serialNumber)
    socket.destroy()
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')

  const brokers = [`127.0.0.1:${(server.address() as AddressInfo).port}`]
  const defaults = Object.fromEntries(Object.entries(kafkaFields).map(([name, field]) => [name, field.defaultValue]))
  const options = { ...defaults, ...files, tlsCaFile: ours.caFile, tls: true, brokers } as unknown as KafkaValues
  const warnings: string[] = []
  const logger = { debug() {}, info() {}, warn: (line: string) => void warnings.push(line), error() {} }
  const client = await KafkajsClient.make(options, new BootstrapServers(brokers), 'test', logger)
  const admin = client.kafka.admin({ retry: { retries: 0 } })
  const connect = async (): Promise<string | undefined> => {
    const before = shown.length
    await expect(admin.connect()).rejects.toThrow()
    return shown.slice(before).at(-1)
  }
  expect(await connect()).toBe(await serialOf(ours))
  await put(others)
  await expect.poll(connect).toBe(await serialOf(others))
  await writeFile(files.tlsCertFile, '')
  expect(await connect()).toBe(await serialOf(others))
  await expect.poll(() => warnings[0]).toContain('kafka: keeping the current certificates: tlsCertFile: ')
  await put(ours)
  await expect.poll(connect).toBe(await serialOf(ours))
})
