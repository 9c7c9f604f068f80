import { once } from 'node:events'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { createServer } from 'node:tls'
import { inspect } from 'node:util'
import { type AdapterDefinition, type ErrorCode, type Logger, Transport } from '@streamswitch/core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Certificates, makeCertificates } from '../certificates/certificates.js'
import { within } from '../conformance/collect.js'
import { uniqueName } from '../conformance/names.js'

type Options = Readonly<Record<string, unknown>>

/** A TLS server of the suite. No URL contains credentials. */
export interface TlsServer {
  /** Addresses with TLS that are all in the certificate; the first is used where one is enough. */
  readonly urls: readonly [string, ...string[]]
  /** Address with TLS of a port that accepts only clients with a certificate of the authority. */
  readonly certifiedUrl: string
  /** Address with TLS of a port without TLS. */
  readonly plainPortUrl: string
  /** Address without TLS of the port with it. */
  readonly tlsPortUrl: string
  /**
   * Stops the server and starts it again on the same ports. Not by a kill: RabbitMQ doesn't recover a queue that was
   * created just before.
   */
  restart(): Promise<void>
  remove(): Promise<void>
}

/** How a transport fails when only one side uses TLS. */
export interface TlsMismatch {
  readonly code: ErrorCode
  /** What the errors or the log contain. */
  readonly says: string
  /** More options of the transport. */
  readonly options?: Options
}

/** Settings of the cases for an adapter. */
export interface TlsCasesSettings {
  readonly adapter: AdapterDefinition
  /** Starts the server with these certificates. Called once, before the first case. */
  serve(certificates: Certificates): Promise<TlsServer>
  /** Options with a user's name, and the user's password. */
  readonly credentials: { readonly options?: Options; readonly password: string }
  /**
   * The server has no port with TLS that accepts clients without a certificate: all cases present one. Default: only
   * the cases about it do.
   */
  readonly alwaysCertified?: boolean
  /**
   * Ways to log in, by name, each with its options: a wrong password is tried with all. Default: one without options.
   */
  readonly logins?: Readonly<Record<string, Options>>
  /** What the error of a wrong password contains. */
  readonly wrongPasswordSays: string
  readonly plainPort: TlsMismatch
  readonly tlsPort: TlsMismatch
}

const ONE_LOGIN: Readonly<Record<string, Options>> = { password: {} }
const WRONG_PASSWORD = 'wrong-secret'
/** Time for a first connection that is retried until it is over, in milliseconds. */
const SHORT_CONNECT_MS = 1_500
/** Time for a case that restarts the server, in milliseconds. */
const RESTART_MS = 30_000

/**
 * Declares the cases of TLS and of credentials for one adapter: call it at the top level of a vitest file. Trust by
 * file, by environment and not at all, certificates that must be refused, files that are empty or incomplete, the name
 * that is sent to the server, wrong passwords, ports with and without TLS, and passwords that are read again at each
 * connect.
 */
export function tlsCases(settings: TlsCasesSettings): void {
  describe(`${settings.adapter.name} by TLS`, () => {
    const bench = new TlsBench(settings)
    beforeAll(() => bench.start())
    afterAll(() => bench.stop())
    trusted(bench)
    refused(bench, settings)
    brokenFiles(bench)
    serverNames(bench)
    cleartext(bench)
    certified(bench)
    mismatched(bench, settings)
    credentials(bench, settings)
  })
}

function trusted(bench: TlsBench): void {
  test('sends and receives where the authority is trusted', async () => {
    for (const url of bench.server.urls) await bench.roundTrip(url, { tlsCaFile: bench.certificates.caFile })
  })

  test('takes the authority from the environment', async () => {
    const environment = { STREAMSWITCH_TLS_CA_FILE: bench.certificates.caFile }
    await bench.roundTrip(bench.server.urls[0], {}, environment)
  })

  test('sends and receives unverified, for experiments', async () => {
    await bench.roundTrip(bench.server.urls[0], { tlsVerify: false })
  })
}

function refused(bench: TlsBench, { logins = ONE_LOGIN, wrongPasswordSays }: TlsCasesSettings): void {
  test.each([
    ['no authority given', () => ({})],
    ['another authority', () => ({ tlsCaFile: bench.certificates.strangerCaFile })],
    ['another name', () => ({ tlsCaFile: bench.certificates.caFile, tlsServerName: 'elsewhere.example' })],
  ])('%s: refused at the first try, naming the certificate and what to check', async (_, options) => {
    const counted = countedPassword(bench.password)
    const { errors } = await bench.refusals(bench.server.urls[0], { ...options(), ...counted.options })
    for (const error of errors) {
      expect(error).toMatchObject({
        code: 'UNAUTHENTICATED',
        retryable: false,
        message: expect.stringMatching(/certificate.*tlsCaFile/),
      })
    }
    expect(counted.asked, 'by the producer and by the loop').toBe(2)
  })

  test.each(Object.entries(logins))(
    'a wrong %s over TLS is UNAUTHENTICATED, at the first try, and in no error or log',
    async (_, login) => {
      const counted = countedPassword(WRONG_PASSWORD)
      const options = { ...login, ...counted.options, tlsCaFile: bench.certificates.caFile }
      for (const error of (await bench.refusals(bench.server.urls[0], options)).errors) {
        expect(error).toMatchObject({
          code: 'UNAUTHENTICATED',
          retryable: false,
          message: expect.stringContaining(wrongPasswordSays),
        })
      }
      expect(counted.asked, 'by the producer and by the loop').toBe(2)
    },
  )
}

/**
 * Files that Node.js treats as no file at all, so that the system's authorities are trusted or no certificate is
 * presented.
 */
function brokenFiles(bench: TlsBench): void {
  test.each([
    ['empty', () => '', /is empty/],
    ['no certificate', () => 'nothing', /no certificate/],
    ['half written', (whole: string) => whole.slice(0, Math.floor(whole.length / 2)), /incomplete/],
    ['spoilt', (whole: string) => whole.replaceAll(/^[A-Za-z0-9+/=]{20,}$/gm, (line) => line.toLowerCase()), /decoded/],
  ])('a file of authorities that is %s is refused, naming the option', async (name, spoil, says) => {
    const whole = await readFile(bench.certificates.caFile, 'utf8')
    const file = join(dirname(bench.certificates.caFile), `${name.replaceAll(' ', '-')}.crt`)
    await writeFile(file, spoil(whole))
    const { errors } = await bench.refusals(bench.server.urls[0], { tlsCaFile: file })
    for (const error of errors) {
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(/^tlsCaFile: /) })
      expect(String(error)).toMatch(says)
    }
  })

  test('a client certificate with the key of another is refused, naming both', async () => {
    const { caFile, certFile, strangerCaFile } = bench.certificates
    const pair = { tlsCertFile: certFile, tlsKeyFile: strangerCaFile.replace(/crt$/, 'key') }
    const { errors } = await bench.refusals(bench.server.urls[0], { tlsCaFile: caFile, ...pair })
    for (const error of errors) {
      expect(error).toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringMatching(/tlsCertFile.*tlsKeyFile.*together/),
      })
    }
  })
}

function serverNames(bench: TlsBench): void {
  test.each([
    ['the name of the host', 'localhost', {}, 'localhost'],
    ['no address of a host', '127.0.0.1', {}, false],
    ['the expected name in place of an address', '127.0.0.1', { tlsServerName: 'localhost' }, 'localhost'],
    ['the name of the host where an address is expected', 'localhost', { tlsServerName: '127.0.0.1' }, 'localhost'],
  ])('sends the server %s', async (_, host, options, expected) => {
    const { caFile, certFile, keyFile } = bench.certificates
    const names: unknown[] = []
    const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)])
    const server = createServer({ cert, key }, (socket) => {
      names.push(socket.servername)
      socket.destroy()
    }).listen(0, '127.0.0.1')
    onTestFinished(() => void server.close())
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const url = bench.server.urls[0].replace(/:\/\/[^/?]*/, `://${host}:${port}`)
    const { transport } = bench.open(url, { tlsCaFile: caFile, password: bench.password, ...options })
    const init = transport.producer('orders', { connectTimeoutMs: SHORT_CONNECT_MS }).init()
    await expect(init).rejects.toMatchObject({ name: 'StreamError' })
    expect(new Set(names)).toEqual(new Set([expected]))
  })
}

function certified(bench: TlsBench): void {
  test('a server that wants a client certificate takes ours, and refuses none and a foreign one, naming the options', async () => {
    const { caFile, strangerCaFile } = bench.certificates
    const url = bench.server.certifiedUrl
    await bench.roundTrip(url, { tlsCaFile: caFile, ...bench.clientCertificate })
    const foreign = { tlsCertFile: strangerCaFile, tlsKeyFile: strangerCaFile.replace(/crt$/, 'key') }
    for (const shown of [{ tlsCertFile: undefined, tlsKeyFile: undefined }, foreign]) {
      const counted = countedPassword(bench.password)
      const { errors, log } = await bench.refusals(url, { tlsCaFile: caFile, ...shown, ...counted.options })
      for (const error of errors)
        expect(error, log).toMatchObject({
          code: 'UNAUTHENTICATED',
          retryable: false,
          message: expect.stringMatching(/tlsCertFile.*tlsKeyFile/),
        })
    }
  })
}

function mismatched(bench: TlsBench, { plainPort, tlsPort }: TlsCasesSettings): void {
  test.each([
    ['TLS to a port without it', () => bench.server.plainPortUrl, plainPort],
    ['no TLS to a port with it', () => bench.server.tlsPortUrl, tlsPort],
  ])('%s is told as such', async (_, url, { code, says, options = {} }) => {
    const given = { tlsCaFile: bench.certificates.caFile, ...options }
    const { errors, log } = await bench.refusals(url(), given, SHORT_CONNECT_MS)
    for (const error of errors) expect(error).toMatchObject({ name: 'StreamError', code })
    expect(`${errors.map(String).join('\n')}\n${log}`).toContain(says)
  })
}

function cleartext(bench: TlsBench): void {
  test('warns once of a password that would go to another machine without TLS, and of none else', async () => {
    const at = (url: string, host: string): string => url.replace(/:\/\/[^/?]*/, `://${host}:1`)
    const { urls, tlsPortUrl } = bench.server
    const warned = async (url: string, options: Options = { password: WRONG_PASSWORD }): Promise<readonly string[]> => {
      const { transport, lines } = bench.open(url, options)
      await Promise.allSettled([1, 2].map(() => transport.producer('orders', { connectTimeoutMs: 1 }).init()))
      expect(lines.join('\n')).not.toContain(WRONG_PASSWORD)
      return lines.filter((line) => line.includes('sent unencrypted'))
    }
    for (const host of ['broker.invalid', '[2001:db8::1]'])
      expect(await warned(at(tlsPortUrl, host))).toEqual([
        expect.stringContaining(`the password is sent unencrypted to ${host}: `),
      ])
    for (const host of ['127.0.0.1', 'localhost', '[::1]']) expect(await warned(at(tlsPortUrl, host))).toEqual([])
    expect(await warned(at(urls[0], 'broker.invalid'))).toEqual([])
  })
}

function credentials(bench: TlsBench, { logins = ONE_LOGIN }: TlsCasesSettings): void {
  test.each(Object.entries(logins))('sends and receives with the right %s', async (_, login) => {
    await bench.roundTrip(bench.server.urls[0], { ...login, tlsCaFile: bench.certificates.caFile })
  })

  test('takes the password from a file', async () => {
    const { caFile } = bench.certificates
    const file = join(dirname(caFile), 'password')
    await writeFile(file, `${bench.password}\n`)
    await bench.roundTrip(bench.server.urls[0], { tlsCaFile: caFile, password: { file } })
  })

  test('reads the password and the certificate files again at each reconnect', {
    timeout: 2 * RESTART_MS,
  }, async () => {
    const counted = countedPassword(bench.password)
    const { transport } = bench.open(bench.server.urls[0], {
      tlsCaFile: bench.certificates.caFile,
      ...counted.options,
    })
    const topic = uniqueName('tls')
    const producer = transport.producer<string>(topic, { sendTimeoutMs: RESTART_MS })
    const loop = transport.consumer<string>(topic, { group: 'g' })
    loop.handle(() => {})
    await Promise.all([producer.init(), loop.init()])
    const running = loop.run()
    const before = counted.asked
    const reconnected = new Promise<void>((resolve) => loop.on('ready', () => resolve()))
    // The server comes back with a certificate of another authority.
    await bench.replaceCertificates()
    await bench.server.restart()
    await within(producer.send('again'), 'a message after the restart', RESTART_MS)
    await within(reconnected, 'the loop to connect again', RESTART_MS)
    expect(counted.asked - before, 'by the producer and by the loop').toBeGreaterThanOrEqual(2)
    await loop.close()
    await running
  })
}

/** The server, and what the cases open there. */
class TlsBench {
  readonly #settings: TlsCasesSettings
  #certificates: Certificates | undefined
  #server: TlsServer | undefined

  constructor(settings: TlsCasesSettings) {
    this.#settings = settings
  }

  get certificates(): Certificates {
    if (this.#certificates === undefined) throw new Error('the certificates were not made')
    return this.#certificates
  }

  get server(): TlsServer {
    if (this.#server === undefined) throw new Error('the server was not started')
    return this.#server
  }

  /** The server's own certificate, which is one for clients as well. */
  get clientCertificate(): Options {
    return { tlsCertFile: this.certificates.certFile, tlsKeyFile: this.certificates.keyFile }
  }

  get password(): string {
    return this.#settings.credentials.password
  }

  async start(): Promise<void> {
    this.#certificates = await makeCertificates()
    this.#server = await this.#settings.serve(this.#certificates)
  }

  /** Replaces the authorities, certificates and keys in the existing files. */
  async replaceCertificates(): Promise<void> {
    await using others = await makeCertificates()
    for (const name of ['caFile', 'certFile', 'keyFile', 'keyStoreFile'] as const)
      await copyFile(others[name], this.certificates[name])
  }

  async stop(): Promise<void> {
    await this.#server?.remove()
    await this.#certificates?.remove()
  }

  /** Opens a transport that is closed with the test, and collects its log. */
  open(
    url: string,
    options: Options,
    environment: NodeJS.ProcessEnv = {},
  ): { readonly transport: Transport; readonly lines: readonly string[] } {
    const lines: string[] = []
    const note = (message: string): void => void lines.push(message)
    const logger: Logger = { debug: note, info: note, warn: note, error: note }
    const transport = new Transport(this.#settings.adapter, url, {
      environment,
      logger,
      options: {
        ...this.#settings.credentials.options,
        ...(this.#settings.alwaysCertified === true ? this.clientCertificate : {}),
        ...options,
      },
    })
    onTestFinished(() => transport.close({ timeoutMs: 1_000 }))
    return { transport, lines }
  }

  async roundTrip(url: string, options: Options, environment: NodeJS.ProcessEnv = {}): Promise<void> {
    const topic = uniqueName('tls')
    const { transport } = this.open(url, { password: this.password, ...options }, environment)
    const loop = transport.consumer<string>(topic, { group: 'g' })
    const handled = new Promise<string>((resolve) => loop.handle((message) => resolve(message.value)))
    await loop.init()
    const running = loop.run()
    await transport.producer<string>(topic).send('through')
    expect(await within(handled, 'a message by TLS')).toBe('through')
    await loop.close()
    await running
  }

  /** Returns the errors of a producer and a loop; both must fail alike, and within `connectTimeoutMs` and a second. */
  async refusals(
    url: string,
    options: Options,
    connectTimeoutMs = 10_000,
  ): Promise<{
    readonly errors: readonly unknown[]
    /** Core logs there why it retries; the error of a time limit during an attempt doesn't say it. */
    readonly log: string
  }> {
    const { transport, lines } = this.open(url, { password: this.password, ...options })
    const loop = transport.consumer('orders', { group: 'g', connectTimeoutMs })
    loop.handle(() => {})
    const started = performance.now()
    const results = await Promise.allSettled([transport.producer('orders', { connectTimeoutMs }).init(), loop.init()])
    expect(performance.now() - started).toBeLessThan(connectTimeoutMs + 1_000)
    const errors = results.map((result) => (result.status === 'rejected' ? result.reason : 'connected'))
    const shown = inspect([errors, lines], { depth: 10, showHidden: true })
    expect(shown).not.toContain(WRONG_PASSWORD)
    // The user's name may show; RabbitMQ's first user has it for a password too.
    if (this.#settings.credentials.options?.['username'] !== this.password) expect(shown).not.toContain(this.password)
    return { errors, log: lines.join('\n') }
  }
}

/** A password that counts how often it was read. */
function countedPassword(text: string): { asked: number; readonly options: Options } {
  const counted = {
    asked: 0,
    options: {
      password: () => {
        counted.asked += 1
        return text
      },
    },
  }
  return counted
}
