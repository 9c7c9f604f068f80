import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Transport } from '@streamswitch/core'
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
