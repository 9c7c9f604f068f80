import { readFile } from 'node:fs/promises'
import type { Server } from 'node:https'
import { createSecureContext } from 'node:tls'
import { exhaustion, messageOf, StreamError } from '@streamswitch/core/driver'

/** How often the files are looked at while the server listens, in milliseconds. */
const REREAD_MS = 5_000
/** Shortest time between two reads after failed handshakes, in milliseconds: clients can't cause more. */
const MIN_REREAD_MS = 1_000

/** Where a server's certificates are. */
export interface CertificateFiles {
  readonly listenTlsCertFile: string
  readonly listenTlsKeyFile: string
  /** With it, clients must show a certificate of this authority. */
  readonly listenTlsCaFile?: string
}

interface Certificates {
  readonly cert: string
  readonly key: string
  readonly ca?: string
}

/**
 * The certificates of a listening server. The files are read again every few seconds and after a failed handshake; new connections get what they hold.
 * Files that can't be read or don't go together, as in the middle of a change, are reported once and leave the present certificates in use.
 */
export class ListenCertificates {
  readonly #files: CertificateFiles
  readonly #report: (error: StreamError) => void
  #current: Certificates
  #readAt = performance.now()
  #reading: Promise<void> | undefined
  #failing = false

  private constructor(files: CertificateFiles, current: Certificates, report: (error: StreamError) => void) {
    this.#files = files
    this.#current = current
    this.#report = report
  }

  /** Reads the files. Rejects with INVALID_ARGUMENT where one can't be read or they don't go together. */
  static async read(files: CertificateFiles, report: (error: StreamError) => void): Promise<ListenCertificates> {
    return new ListenCertificates(files, await readAll(files), report)
  }

  get current(): Certificates {
    return this.#current
  }

  /** Clients must show a certificate. */
  get asksClients(): boolean {
    return this.#files.listenTlsCaFile !== undefined
  }

  /** Keeps a server's certificates up to date until it closes. */
  attach(server: Server, secureOptions: number): void {
    const reread = (): void => {
      this.#reading ??= this.#reread(server, secureOptions).finally(() => {
        this.#reading = undefined
      })
    }
    let timer: NodeJS.Timeout | undefined
    server.once('listening', () => {
      timer = setInterval(reread, REREAD_MS)
      timer.unref()
    })
    // A client that doesn't trust the certificate, or whose own isn't trusted.
    server.on('tlsClientError', () => {
      if (performance.now() - this.#readAt >= MIN_REREAD_MS) reread()
    })
    server.once('close', () => clearInterval(timer))
  }

  async #reread(server: Server, secureOptions: number): Promise<void> {
    this.#readAt = performance.now()
    try {
      const found = await readAll(this.#files)
      this.#failing = false
      if (JSON.stringify(found) === JSON.stringify(this.#current)) return
      this.#current = found
      server.setSecureContext({ ...found, secureOptions })
    } catch (cause) {
      if (!this.#failing) this.#report(invalid(`${messageOf(cause)}; the certificates in use stay`, cause))
      this.#failing = true
    }
  }
}

async function readAll({
  listenTlsCertFile,
  listenTlsKeyFile,
  listenTlsCaFile,
}: CertificateFiles): Promise<Certificates> {
  const [cert, key, ca] = await Promise.all([
    readPem('listenTlsCertFile', listenTlsCertFile),
    readPem('listenTlsKeyFile', listenTlsKeyFile),
    listenTlsCaFile === undefined ? undefined : readPem('listenTlsCaFile', listenTlsCaFile),
  ])
  const certificates: Certificates = { cert, key, ...(ca === undefined ? {} : { ca }) }
  try {
    createSecureContext(certificates)
  } catch (cause) {
    throw invalid(`${listenTlsCertFile} and ${listenTlsKeyFile} can't be used together: ${messageOf(cause)}`, cause)
  }
  return certificates
}

async function readPem(name: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw invalid(`${name}: ${file} can't be read: ${messageOf(cause)}`, cause)
  }
}

function invalid(message: string, cause: unknown): StreamError {
  return new StreamError(message, {
    code: exhaustion(cause) ?? 'INVALID_ARGUMENT',
    transport: 'http',
    operation: 'listen',
    cause,
  })
}
