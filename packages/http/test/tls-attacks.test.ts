import { readFile } from 'node:fs/promises'
import { type Certificates, makeCertificates } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Bed } from './support/bed.js'
import { ServerProcess } from './support/server-process.js'
import { TlsClient, type TlsClientOptions } from './support/tls-client.js'

let certificates: Certificates
let ca: Buffer
/** Of the authority that the server knows. */
let known: { readonly cert: Buffer; readonly key: Buffer }
/** Of another one. */
let stranger: { readonly cert: Buffer; readonly key: Buffer }

beforeAll(async () => {
  certificates = await makeCertificates()
  const read = async (cert: string, key: string) => ({ cert: await readFile(cert), key: await readFile(key) })
  ca = await readFile(certificates.caFile)
  known = await read(certificates.certFile, certificates.keyFile)
  stranger = await read(certificates.strangerCaFile, certificates.strangerCaFile.replace(/crt$/, 'key'))
})

afterAll(() => certificates?.remove())

async function serving() {
  const { caFile, certFile, keyFile } = certificates
  const listen = { listenTlsCertFile: certFile, listenTlsKeyFile: keyFile, listenTlsCaFile: caFile }
  const server = await ServerProcess.start({ options: listen, loops: [{ topic: 'orders', group: 'billing' }] })
  const bed = new Bed()
  const sending = await bed.open({ tlsCaFile: caFile, tlsCertFile: certFile, tlsKeyFile: keyFile }, server.url)
  const client = (options: Omit<TlsClientOptions, 'port' | 'ca'> = {}) =>
    TlsClient.connect({ port: server.port, ca, ...options })
  return {
    server,
    client,
    /** A client with a certificate is served, on a new connection and on the one it has. */
    async expectServed(): Promise<void> {
      await sending.producer('orders').send('honest')
      using fresh = await client(known)
      expect(await fresh.post()).toBe('204')
      expect(server.alive).toBe(true)
    },
    async handled(): Promise<number> {
      return (await server.stats()).handled
    },
    async [Symbol.asyncDispose]() {
      await bed[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}

describe('a server that asks for client certificates', () => {
  for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
    it(`${version}: refuses a session that began without a certificate each time it is resumed`, async () => {
      await using bed = await serving()
      using first = await bed.client({ version })
      expect(await first.post()).toBe('401')
      for (const session of first.sessions) {
        using again = await bed.client({ version, session })
        expect(await again.post()).toBe('401')
        // Once more, by the session that the resumed one got.
        for (const next of again.sessions) {
          using third = await bed.client({ version, session: next })
          expect(await third.post()).toBe('401')
        }
      }
      expect(await bed.handled()).toBe(0)
      await bed.expectServed()
    })

    it(`${version}: refuses a client without a certificate that shows the session of one that had it`, async () => {
      await using bed = await serving()
      using honest = await bed.client({ version, ...known })
      expect(await honest.post()).toBe('204')
      const handled = await bed.handled()
      for (const session of honest.sessions) {
        using thief = await bed.client({ version, session })
        expect(await thief.post()).toBe('401')
        // With its certificate it may: nothing hinges on whether the session was resumed.
        using back = await bed.client({ version, session, ...known })
        expect(await back.post()).toBe('204')
      }
      expect(await bed.handled()).toBe(handled + honest.sessions.length)
      await bed.expectServed()
    })

    it(`${version}: refuses a certificate of an unknown authority, and a session that began with one`, async () => {
      await using bed = await serving()
      using first = await bed.client({ version, ...stranger })
      expect(await first.post()).toBe('401')
      for (const session of first.sessions) {
        using again = await bed.client({ version, session, ...stranger })
        expect(await again.post()).toBe('401')
        using bare = await bed.client({ version, session })
        expect(await bare.post()).toBe('401')
      }
      expect(await bed.handled()).toBe(0)
      await bed.expectServed()
    })
  }

  it('TLS 1.2: takes nothing from a renegotiation, however often one is asked for', async () => {
    await using bed = await serving()
    using bare = await bed.client({ version: 'TLSv1.2' })
    for (let round = 0; round < 10 && !bare.socket.destroyed; round += 1) await bare.renegotiate()
    expect(['401', 'cut']).toContain(await bare.post())
    expect(await bed.handled()).toBe(0)
    using certified = await bed.client({ version: 'TLSv1.2', ...known })
    expect(await certified.post()).toBe('204')
    for (let round = 0; round < 10 && !certified.socket.destroyed; round += 1) await certified.renegotiate()
    await bed.expectServed()
  })

  it('refuses a session of a server with another authority', async () => {
    await using bed = await serving()
    const { certFile, keyFile, strangerCaFile } = certificates
    const listen = { listenTlsCertFile: certFile, listenTlsKeyFile: keyFile, listenTlsCaFile: strangerCaFile }
    await using other = await ServerProcess.start({ options: listen, loops: [{ topic: 'orders', group: 'billing' }] })
    using there = await TlsClient.connect({ port: other.port, ca, ...stranger })
    expect(await there.post()).toBe('204')
    for (const session of there.sessions) {
      using here = await bed.client({ session })
      expect(await here.post()).toBe('401')
    }
    expect(await bed.handled()).toBe(0)
    await bed.expectServed()
  })
})
