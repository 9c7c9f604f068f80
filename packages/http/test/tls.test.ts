import { once } from 'node:events'
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type StreamError, Transport } from '@streamswitch/core'
import { type Certificates, findFreePort, makeCertificates } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import http from '../src/index.js'
import { Bed, consume } from './support/bed.js'
import { curl } from './support/curl.js'

let certificates: Certificates

beforeAll(async () => {
  certificates = await makeCertificates()
})

afterAll(() => certificates?.remove())

describe('a redirect', () => {
  it('is not followed, and the error names where it leads, without the query', async () => {
    await using bed = new Bed()
    const server = createServer((_request, response) => {
      response.writeHead(308, { location: '/elsewhere/orders?token=secret' }).end()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const error: unknown = await (await bed.open({}, base))
      .producer('orders')
      .send(1)
      .catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ message: expect.stringContaining(`redirects to ${base}/elsewhere/orders, `) })
    expect(String(error)).not.toContain('secret')
    server.close()
  })
})

describe('TLS', () => {
  it('serves and sends over TLS; who trusts another authority, or none, is told so at once', async () => {
    await using bed = new Bed()
    const base = `https://127.0.0.1:${await findFreePort()}`
    const server = { listenTlsCertFile: certificates.certFile, listenTlsKeyFile: certificates.keyFile }
    const transport = await bed.open({ ...server, tlsCaFile: certificates.caFile }, base)
    const values: unknown[] = []
    await consume(transport, 'orders', 'g', (message) => void values.push(message.value))
    await transport.producer('orders').send('ours')
    expect(
      (
        await curl([
          '--cacert',
          certificates.caFile,
          '-H',
          'content-type: application/json',
          '-d',
          '"theirs"',
          `${base}/orders/g`,
        ])
      ).status,
    ).toBe(204)
    expect(values).toEqual(['ours', 'theirs'])
    for (const options of [{}, { tlsCaFile: certificates.strangerCaFile }]) {
      const distrustful = await bed.open(options, base)
      await expect(distrustful.producer('orders').send(1)).rejects.toMatchObject({
        code: 'UNAUTHENTICATED',
        retryable: false,
        message: expect.stringContaining('tlsCaFile'),
      })
    }
    const careless = await bed.open({ tlsVerify: false }, base)
    await careless.producer('orders').send('unverified')
    const plain = await bed.open({}, base.replace('https', 'http'))
    await expect(plain.producer('orders', { sendTimeoutMs: 300 }).send(1)).rejects.toMatchObject({
      name: 'StreamError',
    })
  })

  it('takes new certificate files up without a restart: the server, and a running sender', async () => {
    await using bed = new Bed()
    await using others = await makeCertificates()
    const folder = await mkdtemp(join(tmpdir(), 'streamswitch-rotation-'))
    const files = { cert: join(folder, 'cert'), key: join(folder, 'key'), ca: join(folder, 'ca') }
    const put = async ({ certFile, keyFile }: Certificates): Promise<void> => {
      await copyFile(certFile, files.cert)
      await copyFile(keyFile, files.key)
    }
    await put(certificates)
    await copyFile(certificates.caFile, files.ca)
    const base = `https://127.0.0.1:${await findFreePort()}`
    const server = { listenTlsCertFile: files.cert, listenTlsKeyFile: files.key }
    const receiving = await bed.open({ ...server, keepAliveTimeoutMs: 50 }, base)
    const values: unknown[] = []
    await consume(receiving, 'orders', 'g', (message) => void values.push(message.value))
    const running = (await bed.open({ tlsCaFile: files.ca }, base)).producer('orders')
    await running.send('before')

    await put(others)
    const next = (await bed.open({ tlsCaFile: others.caFile }, base)).producer('orders')
    await expect
      .poll(() => next.send('to the new certificate').then(() => 'sent', String), { timeout: 20_000 })
      .toBe('sent')
    // Once the connection that it has kept is closed.
    await expect
      .poll(() => running.send('refused').then(String, (error: StreamError) => error.code), { timeout: 20_000 })
      .toBe('UNAUTHENTICATED')
    await copyFile(others.caFile, files.ca)
    await running.send('after')
    expect(values).toContain('after')

    // Another transport may share the listener though the files have changed; a pair that doesn't fit is not taken.
    await copyFile(certificates.keyFile, files.key)
    await consume(await bed.open({ ...server, keepAliveTimeoutMs: 50 }, base), 'payments', 'g', () => {})
    await next.send('still')
    await rm(folder, { recursive: true })
  })

  it('takes the authority from the environment, and the token from a file that is read anew after a 401', async () => {
    await using bed = new Bed()
    const base = `https://127.0.0.1:${await findFreePort()}`
    const server = { listenTlsCertFile: certificates.certFile, listenTlsKeyFile: certificates.keyFile }
    const receiving = await bed.open({ ...server, listenToken: 'new' }, base)
    const values: unknown[] = []
    await consume(receiving, 'orders', 'g', (message) => void values.push(message.value))
    const file = join(dirname(certificates.caFile), 'token')
    await writeFile(file, 'old\n')
    const environment = { STREAMSWITCH_TLS_CA_FILE: certificates.caFile }
    await using sending = new Transport(http, base, { environment, options: { token: { file } } })
    const producer = sending.producer('orders')
    await producer.init()
    await writeFile(file, 'new\n')
    await producer.send('through')
    expect(values).toEqual(['through'])
  })

  it('lets in only clients with a certificate of the authority, where one is named', async () => {
    await using bed = new Bed()
    const base = `https://127.0.0.1:${await findFreePort()}`
    const server = {
      listenTlsCertFile: certificates.certFile,
      listenTlsKeyFile: certificates.keyFile,
      listenTlsCaFile: certificates.caFile,
    }
    const receiving = await bed.open(server, base)
    await consume(receiving, 'orders', 'g', () => {})
    const known = await bed.open(
      { tlsCaFile: certificates.caFile, tlsCertFile: certificates.certFile, tlsKeyFile: certificates.keyFile },
      base,
    )
    await known.producer('orders').send(1)
    const unknown = await bed.open({ tlsCaFile: certificates.caFile }, base)
    await expect(unknown.producer('orders').send(1)).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
      message: expect.stringContaining('tlsCertFile'),
    })
  })

  it('names the file that can not be read', async () => {
    await using bed = new Bed()
    const receiving = await bed.open({ listenTlsCertFile: '/nowhere/a.crt', listenTlsKeyFile: '/nowhere/a.key' })
    await expect(receiving.consumer('orders', { group: 'g' }).init()).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('/nowhere/a.'),
    })
    const sending = await bed.open({ tlsCaFile: '/nowhere/ca.crt' }, 'https://127.0.0.1:1')
    await expect(sending.producer('orders').send(1)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('tlsCaFile'),
    })
  })
})
