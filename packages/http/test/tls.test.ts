import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Bed, consume } from './support/bed.js'
import { curl } from './support/curl.js'
import { freePort } from './support/ports.js'

let folder = ''
const file = (name: string): string => join(folder, name)

function openssl(...args: string[]): void {
  const { status, stderr } = spawnSync('openssl', args, { cwd: folder })
  if (status !== 0) throw new Error(`openssl ended with ${status}: ${stderr?.toString()}`)
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** A certificate authority of that name. */
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

/** A certificate for 127.0.0.1, signed by the authority. */
function certificate(name: string, by: string): void {
  const extension = ['-addext', 'subjectAltName=IP:127.0.0.1']
  openssl('req', ...NEW_KEY, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`, ...extension)
  const signer = ['-CA', `${by}.crt`, '-CAkey', `${by}.key`]
  openssl(
    'x509',
    '-req',
    '-in',
    `${name}.csr`,
    ...signer,
    '-days',
    '2',
    '-copy_extensions',
    'copy',
    '-out',
    `${name}.crt`,
  )
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'streamswitch-tls-'))
  authority('authority')
  authority('stranger')
  certificate('server', 'authority')
  certificate('client', 'authority')
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('TLS', () => {
  it('serves and sends over TLS; who trusts another authority, or none, is told so at once', async () => {
    await using bed = new Bed()
    const base = `https://127.0.0.1:${await freePort()}`
    const server = { listenTlsCertFile: file('server.crt'), listenTlsKeyFile: file('server.key') }
    const transport = await bed.open({ ...server, tlsCaFile: file('authority.crt') }, base)
    const values: unknown[] = []
    await consume(transport, 'orders', 'g', (message) => void values.push(message.value))
    await transport.producer('orders').send('ours')
    expect(
      (
        await curl([
          '--cacert',
          file('authority.crt'),
          '-H',
          'content-type: application/json',
          '-d',
          '"theirs"',
          `${base}/orders/g`,
        ])
      ).status,
    ).toBe(204)
    expect(values).toEqual(['ours', 'theirs'])
    for (const options of [{}, { tlsCaFile: file('stranger.crt') }]) {
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

  it('lets in only clients with a certificate of the authority, where one is named', async () => {
    await using bed = new Bed()
    const base = `https://127.0.0.1:${await freePort()}`
    const server = {
      listenTlsCertFile: file('server.crt'),
      listenTlsKeyFile: file('server.key'),
      listenTlsCaFile: file('authority.crt'),
    }
    const receiving = await bed.open(server, base)
    await consume(receiving, 'orders', 'g', () => {})
    const known = await bed.open(
      { tlsCaFile: file('authority.crt'), tlsCertFile: file('client.crt'), tlsKeyFile: file('client.key') },
      base,
    )
    await known.producer('orders').send(1)
    const unknown = await bed.open({ tlsCaFile: file('authority.crt') }, base)
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
