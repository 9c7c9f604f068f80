import { type Logger, messageOf, readTls, type TlsSettings } from '@streamswitch/core/driver'
import { buildConnector } from 'undici'
import type { HttpOptionValues } from '../options.js'

/** How long certificates are used before the files are read again while requests are running, in milliseconds. */
const REREAD_MS = 5_000

/** Opens connections with what the certificate files hold: they are read again from time to time, and when a certificate was refused. */
export class TlsConnector {
  readonly connect: buildConnector.connector = (options, callback) => this.#connect(options, callback)
  readonly #options: HttpOptionValues
  readonly #logger: Logger
  #settings: TlsSettings = { rejectUnauthorized: true }
  #connect: buildConnector.connector
  #version = 0
  #readAt = 0
  #reading: Promise<void> | undefined
  #failing = false

  constructor(options: HttpOptionValues, logger: Logger) {
    this.#options = options
    this.#logger = logger
    this.#connect = this.#build()
  }

  /** Counts the changes of the files. */
  get version(): number {
    return this.#version
  }

  /** Reads the files for the first time. Rejects with INVALID_ARGUMENT. */
  async read(): Promise<void> {
    this.#use(await readTls(this.#options, 'http'))
  }

  /** Reads the files again. Resolves with true where they differ from those of `version`. Never rejects: without new ones the old ones stay. */
  async renew(version: number): Promise<boolean> {
    if (this.#version !== version) return true
    await this.#reread()
    return this.#version !== version
  }

  /** Reads the files again where that is due. */
  refresh(): void {
    const { tlsCaFile, tlsCertFile, tlsKeyFile } = this.#options
    const named = tlsCaFile ?? tlsCertFile ?? tlsKeyFile
    if (named !== undefined && performance.now() - this.#readAt >= REREAD_MS) void this.#reread()
  }

  #reread(): Promise<void> {
    this.#reading ??= readTls(this.#options, 'http')
      .then(
        (settings) => {
          this.#failing = false
          if (JSON.stringify(settings) !== JSON.stringify(this.#settings)) this.#use(settings)
        },
        (error: unknown) => {
          if (!this.#failing) this.#logger.warn(`http: keeping the current certificates: ${messageOf(error)}`)
          this.#failing = true
        },
      )
      .finally(() => {
        this.#readAt = performance.now()
        this.#reading = undefined
      })
    return this.#reading
  }

  #use(settings: TlsSettings): void {
    this.#settings = settings
    this.#readAt = performance.now()
    this.#version += 1
    this.#connect = this.#build()
  }

  #build(): buildConnector.connector {
    return buildConnector({ timeout: this.#options.connectionTimeoutMs, ...this.#settings })
  }
}
