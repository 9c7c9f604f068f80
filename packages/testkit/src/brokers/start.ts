import { openDataFolder } from './data-folder.js'
import { BROKER_NAMES, type BrokerDefinition, type BrokerName, type PortMap } from './definition.js'
import { BrokerError } from './errors.js'
import type { BrokerHandle } from './handle.js'
import type { InstallLog } from './install.js'
import { kafka } from './kafka.js'
import type { Lifetime } from './launch.js'
import { type BrokerProcesses, LocalBroker } from './local-broker.js'
import { findFreePort } from './ports.js'
import { rabbitmq } from './rabbitmq.js'
import { redis, valkey } from './redis.js'

const DEFINITIONS: Readonly<Record<BrokerName, BrokerDefinition>> = { redis, valkey, rabbitmq, kafka }

/** The definition of a broker; throws INVALID_ARGUMENT for an unknown name. */
export function brokerDefinition(name: string): BrokerDefinition {
  const known = BROKER_NAMES.find((candidate) => candidate === name)
  if (known === undefined)
    throw new BrokerError('INVALID_ARGUMENT', `unknown broker ${name}; there are ${BROKER_NAMES.join(', ')}`)
  return DEFINITIONS[known]
}

/** Options of `startBroker`. */
export interface StartBrokerOptions {
  /**
   * A version (`4.0.5`), a series (`4.3`, `8`: its newest version) or, except for Kafka, a suite of Debian (`forky`:
   * the version in it). Default: the version in the suite `trixie`, and Kafka 4.3.1.
   */
  readonly version?: string
  /** The main port (Redis, AMQP, Kafka). Default: a free one between 20000 and 31999. */
  readonly port?: number
  /** Further ports by purpose, such as `{ stream: 21552 }`; others are free ones. */
  readonly ports?: PortMap
  /** Where data, configuration and log go. Default: a new temporary folder, removed by `remove()`. */
  readonly dataDir?: string
  /** Empties `dataDir` first. Default false. */
  readonly fresh?: boolean
  /** Extra lines for redis.conf, rabbitmq.conf or server.properties; they override the launcher's. */
  readonly config?: readonly string[]
  /** Default `process`: the broker is killed when this process ends, however it ends. */
  readonly lifetime?: Lifetime
  /** Receives progress of an installation, line by line. Default: nothing is logged. */
  readonly log?: InstallLog
}

/**
 * Starts a separate broker on 127.0.0.1, installing it first if this machine has none yet (up to a minute), and
 * resolves when it answers. Several can run at the same time. Rejects with NOT_FOUND for an unknown version (the
 * message lists the known ones) and when a tool for the installation is missing (the message says what to install),
 * CONFLICT when a port is in use or `dataDir` contains something else, INVALID_ARGUMENT, UNAVAILABLE or TIMEOUT when
 * the start fails.
 */
export async function startBroker(name: BrokerName, options: StartBrokerOptions = {}): Promise<BrokerHandle> {
  const broker = await createBroker(name, options)
  try {
    await broker.start()
  } catch (error) {
    await broker.remove()
    throw error
  }
  return broker
}

/** Installs a broker and prepares one without starting it; `onProcesses` is called with its processes. */
export async function createBroker(
  name: BrokerName,
  options: StartBrokerOptions,
  onProcesses?: (broker: LocalBroker, processes: BrokerProcesses) => void,
): Promise<LocalBroker> {
  requireLinux()
  return createDefined(brokerDefinition(name), options, onProcesses)
}

/** As `createBroker`, from a definition that may be one of several of its kind. */
export async function createDefined(
  definition: BrokerDefinition,
  options: StartBrokerOptions,
  onProcesses?: (broker: LocalBroker, processes: BrokerProcesses) => void,
): Promise<LocalBroker> {
  const wantedPorts = requestedPorts(definition, options)
  const installation = await definition.install(options.version, options.log ?? (() => undefined))
  const ports = await completePorts(definition, wantedPorts)
  const data = await openDataFolder(definition.name, options.dataDir, options.fresh ?? false)
  const broker: LocalBroker = new LocalBroker({
    definition,
    instance: { installation, ports, dataDir: data.path, config: options.config ?? [] },
    temporary: data.temporary,
    lifetime: options.lifetime ?? 'process',
    onProcesses: (processes) => onProcesses?.(broker, processes),
  })
  return broker
}

/** Throws NOT_FOUND when brokers can't run as local processes. */
export function requireLinux(): void {
  if (process.platform !== 'linux') {
    throw new BrokerError(
      'NOT_FOUND',
      'brokers run as local processes on Linux only; start Docker and use docker-compose.yml instead',
    )
  }
}

function requestedPorts(definition: BrokerDefinition, options: StartBrokerOptions): PortMap {
  const main = Object.keys(definition.clientPorts)[0] ?? ''
  const ports = { ...options.ports, ...(options.port === undefined ? {} : { [main]: options.port }) }
  const known = [...Object.keys(definition.clientPorts), ...definition.internalPorts]
  for (const [purpose, port] of Object.entries(ports)) {
    if (!known.includes(purpose))
      throw new BrokerError('INVALID_ARGUMENT', `${definition.name} has no ${purpose} port, only ${known.join(', ')}`)
    if (!Number.isInteger(port) || port < 1 || port > 65_535)
      throw new BrokerError('INVALID_ARGUMENT', `${purpose} port ${port}: must be between 1 and 65535`)
  }
  return ports
}

async function completePorts(definition: BrokerDefinition, wanted: PortMap): Promise<PortMap> {
  const ports: Record<string, number> = {}
  for (const purpose of [...Object.keys(definition.clientPorts), ...definition.internalPorts]) {
    ports[purpose] = wanted[purpose] ?? (await findFreePort())
  }
  return ports
}
