import { StreamError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { CloseOptions } from '../options/call-options.js'
import { describeType } from '../options/problems.js'
import type { OfficialName } from '../registry/official-adapters.js'
import { loadAdapterNow } from '../registry/registry.js'
import { addressOf, transportTarget } from '../transport/open-transport.js'
import { Transport } from '../transport/transport.js'

/**
 * A transport: its registered name, with the address from its environment variables (`redis`), a URL
 * (`kafka://b1:9092`), or an open transport, which stays open when its user is closed.
 */
export type TransportChoice = OfficialName | (string & {}) | Transport

/** Settings that the transports of a pool share. */
export interface PoolSettings {
  readonly environment: NodeJS.ProcessEnv
  readonly logger: Logger | undefined
  /** Passed to the transports that can't store dead letters. */
  readonly deadLetterTransport: TransportChoice | undefined
}

/** Opens one transport per address, however often it is requested, and closes those that it opened. */
export class TransportPool {
  readonly #settings: PoolSettings
  readonly #opened = new Map<string, Transport>()

  constructor(settings: PoolSettings) {
    this.#settings = settings
  }

  /**
   * Returns the transport of a choice, by default the one that the environment names. No I/O. Throws as `openTransport`
   * rejects.
   *
   * @param optionsFor - options of the transport, by its adapter's name; used only if this call opens it.
   */
  get(choice: TransportChoice | undefined, optionsFor: (adapter: string) => unknown = () => undefined): Transport {
    if (typeof choice === 'object' && choice !== null) return choice
    if (choice !== undefined && typeof choice !== 'string') throw noChoice(choice)
    const { environment } = this.#settings
    const isUrl = choice === undefined || choice.includes('://')
    const target = isUrl ? transportTarget(choice, environment) : { wanted: { name: choice }, url: undefined }
    const adapter = loadAdapterNow(target.wanted)
    const url = target.url ?? addressOf(adapter, environment)
    const key = `${adapter.name} ${url}`
    const known = this.#opened.get(key)
    if (known !== undefined) return known
    const { deadLetterTransport, logger } = this.#settings
    // Options without a name belong to the one transport that was requested.
    const deadLetterOptions = optionsFor.length === 0 ? undefined : optionsFor
    const needsDeadLetters = deadLetterTransport !== undefined && adapter.capabilities.deadLetters !== true
    const transport = new Transport(adapter, url, {
      environment,
      options: (optionsFor(adapter.name) ?? {}) as Readonly<Record<string, unknown>>,
      ...(logger === undefined ? {} : { logger }),
      ...(needsDeadLetters ? { deadLetterTransport: this.get(deadLetterTransport, deadLetterOptions) } : {}),
    })
    this.#opened.set(key, transport)
    return transport
  }

  /** Closes what the pool opened; transports that receive the dead letters of others last. Never rejects. */
  async close(options: CloseOptions = {}): Promise<void> {
    const keepers = new Set([...this.#opened.values()].map((transport) => transport.deadLetterTransport))
    const all = [...this.#opened.values()]
    await Promise.all(all.filter((one) => !keepers.has(one)).map((one) => one.close(options)))
    await Promise.all(all.filter((one) => keepers.has(one)).map((one) => one.close(options)))
  }
}

function noChoice(choice: unknown): StreamError {
  return new StreamError(
    `the transport must be a registered name, a URL or an open transport, got ${describeType(choice)}`,
    { code: 'INVALID_ARGUMENT', operation: 'configure' },
  )
}
