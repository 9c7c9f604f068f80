import { StreamError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { CloseOptions } from '../options/call-options.js'
import { describeType } from '../options/problems.js'
import type { OfficialName } from '../registry/official-adapters.js'
import { loadAdapterNow } from '../registry/registry.js'
import { addressOf, transportTarget } from '../transport/open-transport.js'
import { Transport } from '../transport/transport.js'

/**
 * Where something runs: a transport's registered name, at the address that its own variables say (`redis`), a URL
 * (`kafka://b1:9092`), or an open transport, which then isn't closed by who was given it.
 */
export type TransportChoice = OfficialName | (string & {}) | Transport

/** What the transports of a pool have in common. */
export interface PoolSettings {
  readonly environment: NodeJS.ProcessEnv
  readonly logger: Logger | undefined
  /** Given to the transports that don't keep dead letters themselves. */
  readonly deadLetterTransport: TransportChoice | undefined
}

/** Opens one transport per address, however often it is asked for, and closes those that it opened. */
export class TransportPool {
  readonly #settings: PoolSettings
  readonly #opened = new Map<string, Transport>()

  constructor(settings: PoolSettings) {
    this.#settings = settings
  }

  /**
   * The transport of a choice; left out, the one that the environment names. No I/O. Throws as `openTransport` rejects.
   *
   * @param optionsFor - options of the transport, by its adapter's name; looked at where it is opened by this call.
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
    // Options without a name are those of the one transport that was asked for.
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

  /** Closes what the pool opened, those last that take the dead letters of others. Never rejects. */
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
