import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { ToChild, ToLauncher } from './child-messages.js'
import { answerStoreRequest } from './remote-store.js'
import type { DemoSettings } from './service.js'
import type { ServiceName } from './services.js'
import type { AirportState } from './statistics.js'
import type { Store } from './store.js'

const ENTRY = fileURLToPath(new URL('./run-service.js', import.meta.url))
/** How long a process may take to stop before it is killed, in milliseconds. */
const STOP_MS = 30_000

/** What the launcher does for a service's process. */
export interface ProcessHost {
  readonly environment: NodeJS.ProcessEnv
  readonly stores: Readonly<Record<'delays' | 'alerts', Store<AirportState>>>
  readonly counted: (counts: Extract<ToLauncher, { kind: 'counts' }>['counts']) => void
  readonly failed: (error: Error) => void
}

/** A service in a process of its own. */
export class ServiceProcess {
  readonly #child: ChildProcess
  readonly #host: ProcessHost
  readonly #member: string
  #ready: () => void = () => {}
  #stopping = false

  /** @param member - names the process in errors: `delays-2`. */
  constructor(member: string, host: ProcessHost) {
    this.#member = member
    this.#host = host
    this.#child = fork(ENTRY, { env: host.environment, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child.on('message', (message: ToLauncher) => this.#received(message))
    this.#child.on('error', (error) => host.failed(error))
    this.#child.on('exit', (code, signal) => {
      if (!this.#stopping) host.failed(new Error(`the process of ${member} ended early (${signal ?? `code ${code}`})`))
    })
  }

  /** Starts the service. Resolves when it receives what is sent from now on. */
  start(service: ServiceName, settings: DemoSettings): Promise<void> {
    return new Promise((resolve) => {
      this.#ready = resolve
      this.#tell({ kind: 'start', service, settings })
    })
  }

  /** Stops the service cleanly and waits for the end of its process. */
  async stop(): Promise<void> {
    this.#stopping = true
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    const killer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS)
    this.#tell({ kind: 'stop' })
    await ended
    clearTimeout(killer)
  }

  #tell(message: ToChild): void {
    // A process that has ended is reported by its exit.
    if (this.#child.connected) this.#child.send(message, () => {})
  }

  #received(message: ToLauncher): void {
    if (message.kind === 'ready') this.#ready()
    else if (message.kind === 'counts') this.#host.counted(message.counts)
    else if (message.kind === 'failed') this.#host.failed(new Error(`${this.#member}: ${message.message}`))
    else {
      answerStoreRequest(this.#host.stores[message.store], message).then(
        (answer) => this.#tell(answer),
        (error: unknown) => this.#host.failed(error as Error),
      )
    }
  }
}
