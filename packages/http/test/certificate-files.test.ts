import { once } from 'node:events'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { type Certificates, findFreePort, makeCertificates } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { Bed, consume, gate, until } from './support/bed.js'
import { TlsClient } from './support/tls-client.js'

let ours: Certificates
let others: Certificates

beforeAll(async () => {
  ours = await makeCertificates()
  others = await makeCertificates()
})

afterAll(async () => {
  await ours?.remove()
  await others?.remove()
})

/** Files in a folder of their own, which hold what `ours` holds until a test replaces them. */
async function makeFiles() {
  const folder = await mkdtemp(join(tmpdir(), 'streamswitch-certificate-files-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const files = { certFile: join(folder, 'cert'), keyFile: join(folder, 'key'), caFile: join(folder, 'ca') }
  const replace = async (by: Certificates): Promise<void> => {
    for (const name of ['certFile', 'keyFile', 'caFile'] as const) await copyFile(by[name], files[name])
  }
  await replace(ours)
  return { ...files, replace }
}

const SPOILT = {
  'half written': (whole: string) => whole.slice(0, Math.floor(whole.length / 2)),
  empty: () => '',
  'of another kind': () => 'not a certificate\n',
}

/** Longer than the files are left alone. */
const REREAD = { timeout: 20_000 }

describe('certificate files of the listening side', () => {
  it.each(
    (['certFile', 'keyFile', 'caFile'] as const).flatMap((name) =>
      Object.entries(SPOILT).map(([how, spoil]) => ({ name, how, spoil })),
    ),
  )('a $name that is $how leaves the present ones in use and is reported', async ({ name, spoil }) => {
    const files = await makeFiles()
    await using bed = new Bed()
    const base = `https://127.0.0.1:${await findFreePort()}`
    const listen = {
      listenTlsCertFile: files.certFile,
      listenTlsKeyFile: files.keyFile,
      listenTlsCaFile: files.caFile,
    }
    const loop = await consume(await bed.open({ ...listen, keepAliveTimeoutMs: 50 }, base), 'orders', 'g', () => {})
    const errors: unknown[] = []
    loop.on('error', (error) => errors.push(error))
    const client = { tlsCaFile: ours.caFile, tlsCertFile: ours.certFile, tlsKeyFile: ours.keyFile }
    const producer = (await bed.open(client, base)).producer('orders')
    await producer.send('before')

    const whole = await readFile(files[name], 'utf8')
    await writeFile(files[name], spoil(whole))
    await expect.poll(() => errors, REREAD).toHaveLength(1)
    expect(errors[0]).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/listenTls\w+File.*keeping the current certificates/),
    })
    // On a connection of its own.
    const next = (await bed.open(client, base)).producer('orders')
    await next.send('after')

    await files.replace(others)
    const renewed = { tlsCaFile: others.caFile, tlsCertFile: others.certFile, tlsKeyFile: others.keyFile }
    const last = (await bed.open(renewed, base)).producer('orders')
    await expect.poll(() => last.send('renewed').then(() => 'sent', String), REREAD).toBe('sent')
  })

  it('connections that another authority let in are ended: idle ones at once, others with their response', async () => {
    const files = await makeFiles()
    await using bed = new Bed()
    const port = await findFreePort()
    const listen = {
      listenTlsCertFile: files.certFile,
      listenTlsKeyFile: files.keyFile,
      listenTlsCaFile: files.caFile,
    }
    const { opened, open } = gate()
    let handling = 0
    const receiving = await bed.open(listen, `https://127.0.0.1:${port}`)
    await consume(receiving, 'orders', 'billing', () => {
      handling += 1
      return handling === 1 ? undefined : opened
    })
    const [ca, cert, key] = await Promise.all([readFile(ours.caFile), readFile(ours.certFile), readFile(ours.keyFile)])
    const client = { port, ca, cert, key }
    using idle = await TlsClient.connect(client)
    expect(await idle.post()).toBe('204')
    using busy = await TlsClient.connect(client)
    const answer = busy.post()
    await until(() => handling === 2, 'the second message')

    await copyFile(others.caFile, files.caFile)
    await expect.poll(() => idle.socket.destroyed, REREAD).toBe(true)
    expect(busy.socket.destroyed).toBe(false)
    open()
    expect(await answer).toBe('204')
    await expect.poll(() => busy.socket.destroyed).toBe(true)
    using again = await TlsClient.connect(client)
    expect(await again.post()).toBe('401')
  })
})

describe('certificate files of a sender', () => {
  it.each(Object.entries(SPOILT))('authorities that are %s: refused at the start, ignored later', async (_, spoil) => {
    const files = await makeFiles()
    await using bed = new Bed()
    const base = `https://127.0.0.1:${await findFreePort()}`
    const listen = { listenTlsCertFile: ours.certFile, listenTlsKeyFile: ours.keyFile }
    await consume(await bed.open({ ...listen, keepAliveTimeoutMs: 50 }, base), 'orders', 'g', () => {})
    const running = (await bed.open({ tlsCaFile: files.caFile }, base)).producer('orders')
    await running.send('before')
    await writeFile(files.caFile, spoil(await readFile(files.caFile, 'utf8')))
    const starting = (await bed.open({ tlsCaFile: files.caFile }, base)).producer('orders')
    await expect(starting.send('start')).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/^tlsCaFile: /),
    })
    await expect
      .poll(async () => {
        await running.send('after')
        return bed.log.filter((line) => /tlsCaFile.*/.test(line) && line.includes('keeping the current certificates'))
      }, REREAD)
      .toHaveLength(1)
  })

  it.each([
    ['the name of the host', 'localhost', {}, 'localhost'],
    ['no address of a host', '127.0.0.1', {}, false],
    ['the expected name in place of an address', '127.0.0.1', { tlsServerName: 'localhost' }, 'localhost'],
    ['the name of the host where an address is expected', 'localhost', { tlsServerName: '127.0.0.1' }, 'localhost'],
  ])('sends the server %s', async (_, host, options, expected) => {
    await using bed = new Bed()
    const names: unknown[] = []
    const [cert, key] = await Promise.all([readFile(ours.certFile), readFile(ours.keyFile)])
    const server = createServer({ cert, key }, (socket) => {
      names.push(socket.servername)
      socket.end('HTTP/1.1 422 no\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
    }).listen(0, '127.0.0.1')
    onTestFinished(() => void server.close())
    await once(server, 'listening')
    const url = `https://${host}:${(server.address() as AddressInfo).port}`
    const sending = await bed.open({ tlsCaFile: ours.caFile, ...options }, url)
    await expect(sending.producer('orders').send(1)).rejects.toMatchObject({ message: expect.stringContaining('422') })
    expect(new Set(names)).toEqual(new Set([expected]))
  })
})
