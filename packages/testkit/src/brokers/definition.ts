import { BrokerError } from './errors.js'
import type { Installation, InstallLog } from './install.js'

/** The brokers that can be started. */
export type BrokerName = 'redis' | 'valkey' | 'rabbitmq' | 'kafka'

/** All broker names, in the order in which commands treat them. */
export const BROKER_NAMES: readonly BrokerName[] = ['redis', 'valkey', 'rabbitmq', 'kafka']

/** What `up` starts where it is given no names. Valkey listens on Redis's usual port. */
export const DEFAULT_BROKERS: readonly BrokerName[] = ['redis', 'rabbitmq', 'kafka']

/** A broker's ports on 127.0.0.1 by purpose; each definition says which purposes it has. */
export type PortMap = Readonly<Record<string, number>>

/** The port for a purpose; throws INVALID_ARGUMENT when the broker has no such port. */
export function portOf(ports: PortMap, purpose: string): number {
  const port = ports[purpose]
  if (port === undefined)
    throw new BrokerError(
      'INVALID_ARGUMENT',
      `there is no port for ${purpose}, only for ${Object.keys(ports).join(', ')}`,
    )
  return port
}

/** One broker that is to run: what is installed, where it listens and where its data is. */
export interface BrokerInstance {
  readonly installation: Installation
  readonly ports: PortMap
  readonly dataDir: string
  /** Extra lines of the broker's own configuration file; they win over the launcher's. */
  readonly config: readonly string[]
}

/** How a process is started. */
export interface LaunchCommand {
  readonly file: string
  readonly args: readonly string[]
  /** The whole environment; nothing is inherited. */
  readonly env: NodeJS.ProcessEnv
}

/** A process beside a broker, ready when the port accepts. */
export interface CompanionCommand {
  readonly command: LaunchCommand
  readonly port: number
}

/** What the launcher has to know about one kind of broker. */
export interface BrokerDefinition {
  readonly name: BrokerName
  /** The ports that clients use, with the defaults of the adapters and of docker-compose.yml; the main one first. */
  readonly clientPorts: PortMap
  /** Further ports, always chosen freely. */
  readonly internalPorts: readonly string[]
  /** How long a start may go on without a sign of progress, which is a longer log, until the broker is ready; see `LocalBroker.start`. */
  readonly startTimeoutMs: number
  /** How long a regular stop may take before SIGKILL. */
  readonly stopTimeoutMs: number
  /**
   * Installs the version, series or suite that is asked for, or finds it installed. Undefined: the usual one. Rejects with NOT_FOUND,
   * listing what there is, for an unknown one.
   */
  install(version: string | undefined, log: InstallLog): Promise<Installation>
  /** The addresses for clients by URL scheme (or purpose, where it has no scheme of its own); the main one first. */
  urls(ports: PortMap): Readonly<Record<string, string>>
  /** Writes configuration into the data folder, before every start. */
  prepare(instance: BrokerInstance): Promise<void>
  /** The process to start; it must become the broker itself. */
  command(instance: BrokerInstance): LaunchCommand
  /** A process that has to run beside the broker and outlives its death. */
  companion?(instance: BrokerInstance): CompanionCommand
  /** One exchange in the broker's own protocol on every client port; rejects when an answer is missing or wrong. */
  check(ports: PortMap, timeoutMs: number): Promise<void>
  /** Work that is due once on a fresh data folder, after the broker first answers. */
  warmUp?(instance: BrokerInstance, deadline: number): Promise<void>
  /** Work that is due on every later start, after the broker first answers. */
  recover?(instance: BrokerInstance, deadline: number): Promise<void>
  /** The broker's tools that need to know the instance, by name; see `BrokerHandle.tool`. */
  tools?(instance: BrokerInstance): Readonly<Record<string, string>>
}
