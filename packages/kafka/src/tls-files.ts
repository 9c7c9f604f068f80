import { type Logger, messageOf, readTls, type TlsSettings } from '@streamswitch/core/driver'
import type { KafkaValues } from './options.js'

/**
 * The certificates of one kafkajs client, which reconnects automatically when a broker has closed an idle connection.
 * Each connection uses what was read last and triggers another read: kafkajs's next attempt has the current contents.
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

  /** Returns the settings of a new connection. */
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
            if (!this.#failing) this.#logger.warn(`kafka: keeping the current certificates: ${messageOf(error)}`)
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
