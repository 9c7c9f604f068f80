import type { BrokerName, PortMap } from './definition.js'

/** A broker that was started and can be killed, frozen, stopped and started again on the same data and ports. */
export interface BrokerHandle extends AsyncDisposable {
  readonly name: BrokerName
  readonly version: string
  /** The main address, without TLS: `redis://…`, `amqp://…` or `kafka://…`. */
  readonly url: string
  /** All addresses by URL scheme; for RabbitMQ `amqp`, `rabbitmq-stream` and `management`. */
  readonly urls: Readonly<Record<string, string>>
  /** Ports on 127.0.0.1 by purpose: `redis`; `amqp`, `stream`, `management`, …; `kafka`, `controller`. */
  readonly ports: PortMap
  readonly dataDir: string
  /** Everything that the broker has written to its output, over all starts. */
  readonly logFile: string
  /** The broker's own process, never a wrapper: SIGKILL to it is the death of the broker. Undefined while it is not running. */
  readonly pid: number | undefined
  readonly running: boolean

  /**
   * Starts the broker again on its data and resolves when it is ready; while it runs, the same as `ready`. Rejects with
   * CONFLICT when a port is in use, UNAVAILABLE with the log's end when the broker ends, TIMEOUT.
   */
  start(): Promise<void>
  /** Resolves when the broker answers in its own protocol on every client port. `timeoutMs` defaults to the start's limit. */
  ready(timeoutMs?: number): Promise<void>
  /** One check of what `ready` waits for; never rejects. Default 2000 ms. */
  healthy(timeoutMs?: number): Promise<boolean>
  /**
   * Stops the broker as an operator would, after its deadline with SIGKILL. The data stays. Does nothing when stopped.
   */
  stop(): Promise<void>
  /** SIGKILL; resolves when the process has ended. The data stays. Does nothing when it is not running. */
  kill(): Promise<void>
  /** Freezes the broker (SIGSTOP): connections stay open and nothing answers. Throws NOT_FOUND when it is not running. */
  pause(): void
  /** Resumes a frozen broker (SIGCONT). Throws NOT_FOUND when it is not running. */
  resume(): void
  /** `stop`, then removes the data folder if nobody chose it; also what `await using` does at the end. */
  remove(): Promise<void>
  /** The path of one of the broker's tools, such as `rabbitmqctl`, which then acts on this very broker. */
  tool(name: string): string
}
