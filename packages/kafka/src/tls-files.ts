import { type Logger, messageOf, readTls, type TlsSettings } from '@streamswitch/core/driver'
import type { KafkaValues } from './options.js'

/**
 * The certificates of one kafkajs client, which connects again by itself where a broker has closed an idle connection. Each connection gets what was
 * read last and has the files read again: kafkajs's next try has what they hold by then.
 */
export class TlsFiles {
  readonly #options: KafkaValues
  readonly #logger: Logger
  #settings: TlsSettings
  #reading = false
  #failing = false

  private constructor(options: KafkaValues, logger: Logger, settings: TlsSettings) {
    this.#options = options
    this.#logger = logger
    this.#settings = settings
  }

  /** Reads the files. Rejects with INVALID_ARGUMENT. */
  static async read(options: KafkaValues, logger: Logger): Promise<TlsFiles> {
    return new TlsFiles(options, logger, await readTls(options, 'kafka'))
  }

  /** What a new connection begins with. */
  take(): TlsSettings {
    if (!this.#reading) {
      this.#reading = true
      readTls(this.#options, 'kafka')
        .then(
          (settings) => {
            this.#settings = settings
            this.#failing = false
          },
          (error: unknown) => {
            if (!this.#failing) this.#logger.warn(`kafka: the certificates in use stay: ${messageOf(error)}`)
            this.#failing = true
          },
        )
        .finally(() => {
          this.#reading = false
        })
    }
    return this.#settings
  }
}
