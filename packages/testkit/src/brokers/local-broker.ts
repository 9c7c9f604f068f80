import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { launchCompanion } from './companion.js'
import { isWarm, markWarm, removeDataFolder } from './data-folder.js'
import type { BrokerDefinition, BrokerInstance, BrokerName, PortMap } from './definition.js'
import { BrokerError, messageOf } from './errors.js'
import type { BrokerHandle } from './handle.js'
import { type Lifetime, lastLines, launch } from './launch.js'
import { Patience } from './patience.js'
import { describePortHolder, isPortFree } from './ports.js'
import { isRunning, killAndWait, type ProcessIdentity, signalProcess, terminateAndWait } from './process.js'
import type { BrokerRecord } from './state.js'

/** The processes of a broker that were started and not yet ended. */
export interface BrokerProcesses {
  readonly broker?: ProcessIdentity
  readonly companion?: ProcessIdentity
}

/** What a `LocalBroker` is made of. */
export interface LocalBrokerParts {
  readonly definition: BrokerDefinition
  readonly instance: BrokerInstance
  readonly temporary: boolean
  readonly lifetime: Lifetime
  readonly processes?: BrokerProcesses
  /** Called with the processes whenever they change, before anything waits for them. */
  readonly onProcesses?: (processes: BrokerProcesses) => void
}

/** A broker that runs as processes of this machine, or will again. */
export class LocalBroker implements BrokerHandle {
  readonly #parts: LocalBrokerParts
  #processes: BrokerProcesses

  constructor(parts: LocalBrokerParts) {
    this.#parts = parts
    this.#processes = parts.processes ?? {}
  }

  get name(): BrokerName {
    return this.#parts.definition.name
  }

  get version(): string {
    return this.#parts.instance.installation.version
  }

  get ports(): PortMap {
    return this.#parts.instance.ports
  }

  get urls(): Readonly<Record<string, string>> {
    return this.#parts.definition.urls(this.ports)
  }

  get url(): string {
    return Object.values(this.urls)[0] ?? ''
  }

  get dataDir(): string {
    return this.#parts.instance.dataDir
  }

  get logFile(): string {
    return join(this.dataDir, 'broker.log')
  }

  get pid(): number | undefined {
    return this.running ? this.#processes.broker?.pid : undefined
  }

  get running(): boolean {
    return this.#processes.broker !== undefined && isRunning(this.#processes.broker)
  }

  tool(name: string): string {
    const own = this.#parts.definition.tools?.(this.#parts.instance)
    return own?.[name] ?? join(this.#parts.instance.installation.folder, 'bin', name)
  }

  /** What another process needs to take this broker over. */
  toRecord(processes: BrokerProcesses = this.#processes): BrokerRecord {
    const { instance, temporary } = this.#parts
    const { installation, ports, dataDir, config } = instance
    return { name: this.name, installation, ports, dataDir, temporary, config, processes }
  }

  async start(): Promise<void> {
    if (this.running) return this.ready()
    const { definition, instance, lifetime } = this.#parts
    await definition.prepare(instance)
    await this.#startCompanion()
    await this.#requireFreePorts()
    const broker = await launch(definition.command(instance), this.dataDir, this.logFile, lifetime)
    this.#remember({ ...this.#processes, broker })
    try {
      await this.#untilReady(new Patience(definition.startTimeoutMs, this.logFile))
      const deadline = performance.now() + definition.startTimeoutMs
      if (isWarm(this.dataDir)) {
        await definition.recover?.(instance, deadline)
      } else {
        await definition.warmUp?.(instance, deadline)
        await markWarm(this.dataDir, this.name)
      }
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  async ready(timeoutMs: number = this.#parts.definition.startTimeoutMs): Promise<void> {
    return this.#untilReady(new Patience(timeoutMs))
  }

  async healthy(timeoutMs = 2000): Promise<boolean> {
    if (!this.running) return false
    return this.#parts.definition.check(this.ports, timeoutMs).then(
      () => true,
      () => false,
    )
  }

  async stop(): Promise<void> {
    const { broker, companion } = this.#processes
    if (broker !== undefined) await terminateAndWait(broker, this.#parts.definition.stopTimeoutMs)
    if (companion !== undefined) await terminateAndWait(companion, 2000)
    this.#remember({})
  }

  async kill(): Promise<void> {
    const { broker, companion } = this.#processes
    if (broker === undefined) return
    await killAndWait(broker)
    this.#remember(companion === undefined ? {} : { companion })
  }

  pause(): void {
    this.#signal('SIGSTOP')
  }

  resume(): void {
    this.#signal('SIGCONT')
  }

  async remove(): Promise<void> {
    await this.stop()
    if (this.#parts.temporary) await removeDataFolder(this.dataDir, this.name)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.remove()
  }

  async #untilReady(patience: Patience): Promise<void> {
    for (;;) {
      try {
        return await this.#parts.definition.check(this.ports, Math.max(1, Math.min(5000, patience.leftMs())))
      } catch (error) {
        if (!this.running) throw this.#failure('UNAVAILABLE', 'ended', error)
        if (patience.leftMs() <= 0) throw this.#failure('TIMEOUT', patience.describe(), error)
      }
      await delay(50)
    }
  }

  #signal(signal: NodeJS.Signals): void {
    const { broker } = this.#processes
    if (broker === undefined || !signalProcess(broker, signal))
      throw new BrokerError('NOT_FOUND', `${this.name} is not running`)
  }

  #remember(processes: BrokerProcesses): void {
    this.#processes = processes
    this.#parts.onProcesses?.(processes)
  }

  async #startCompanion(): Promise<void> {
    const { definition, instance, lifetime } = this.#parts
    const wanted = definition.companion?.(instance)
    const current = this.#processes.companion
    if (wanted === undefined || (current !== undefined && isRunning(current))) return
    const companion = await launchCompanion(wanted, this.dataDir, lifetime)
    this.#remember({ ...this.#processes, companion })
  }

  async #requireFreePorts(): Promise<void> {
    const companionPort = this.#parts.definition.companion?.(this.#parts.instance).port
    for (const [purpose, port] of Object.entries(this.ports)) {
      if (port === companionPort || (await isPortFree(port))) continue
      const { companion } = this.#processes
      if (companion !== undefined) await this.stop()
      throw new BrokerError('CONFLICT', `${this.name} can't have its ${purpose} port: ${describePortHolder(port)}`)
    }
  }

  #failure(code: 'UNAVAILABLE' | 'TIMEOUT', what: string, cause: unknown): BrokerError {
    return new BrokerError(
      code,
      `${this.name} ${what} (${messageOf(cause)}). The end of ${this.logFile}:\n${lastLines(this.logFile)}`,
      { cause },
    )
  }
}
