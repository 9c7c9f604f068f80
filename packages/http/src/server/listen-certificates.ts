import type { Server } from 'node:https'
import { checkTogether, exhaustion, messageOf, readPem, StreamError } from '@streamswitch/core/driver'

/** How often the files are looked at while the server listens, in milliseconds. */
const REREAD_MS = 5_000
/** Shortest time between two reads after failed handshakes, in milliseconds: clients can't cause more. */
const MIN_REREAD_MS = 1_000

/** For errors. */
const PLACE = { transport: 'http', operation: 'listen' }

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

  /**
   * Keeps a server's certificates up to date until it closes. `authoritiesChanged` is called once new connections are judged by other authorities
   * than those that are open.
   */
  attach(server: Server, secureOptions: number, authoritiesChanged: () => void): void {
    const reread = (): void => {
      this.#reading ??= this.#reread(server, secureOptions, authoritiesChanged).finally(() => {
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

  async #reread(server: Server, secureOptions: number, authoritiesChanged: () => void): Promise<void> {
    this.#readAt = performance.now()
    try {
      const found = await readAll(this.#files)
      this.#failing = false
      if (JSON.stringify(found) === JSON.stringify(this.#current)) return
      const { ca } = this.#current
      this.#current = found
      server.setSecureContext({ ...found, secureOptions })
      if (found.ca !== ca) authoritiesChanged()
    } catch (cause) {
      if (!this.#failing) this.#report(invalid(`${messageOf(cause)}; keeping the current certificates`, cause))
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
    readPem('listenTlsCertFile', listenTlsCertFile, PLACE),
    readPem('listenTlsKeyFile', listenTlsKeyFile, PLACE),
    readPem('listenTlsCaFile', listenTlsCaFile, PLACE),
  ])
  const certificates: Certificates = { cert, key, ...(ca === undefined ? {} : { ca }) }
  checkTogether(certificates, `${listenTlsCertFile} and ${listenTlsKeyFile}`, PLACE)
  return certificates
}

function invalid(message: string, cause: unknown): StreamError {
  return new StreamError(message, {
    code: exhaustion(cause) ?? 'INVALID_ARGUMENT',
    ...PLACE,
    cause,
  })
}
