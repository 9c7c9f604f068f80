import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BrokerError } from '../brokers/errors.js'
import { type LaunchExit, lastLines, launch } from '../brokers/launch.js'
import { isRunning, killAndWait, type ProcessIdentity, signalProcess } from '../brokers/process.js'
import { LedgerReader, LedgerWriter } from '../ledger/index.js'
import { WORKER_VARIABLE, type WorkerSpec } from './worker-spec.js'

const MAIN = fileURLToPath(new URL('./worker-main.js', import.meta.url))
const POLL_MS = 10

/**
 * A separate process that sends or handles messages, and records what it does. It ends with the process that started
 * it, however that one ends.
 */
export class Worker implements AsyncDisposable {
  readonly spec: WorkerSpec
  /** Its output, over all lives. */
  readonly logFile: string
  readonly #reader: LedgerReader
  readonly #witness: LedgerWriter
  #identity: ProcessIdentity | undefined
  #exit: Promise<LaunchExit> | undefined
  #failed = false

  constructor(spec: WorkerSpec) {
    this.spec = spec
    mkdirSync(spec.ledger, { recursive: true })
    this.logFile = join(spec.ledger, `${spec.name}.log`)
    this.#reader = new LedgerReader(spec.ledger)
    // A file of its own: two processes must not write to one.
    this.#witness = new LedgerWriter(spec.ledger, `${spec.name}.witness`)
  }

  get name(): string {
    return this.spec.name
  }

  /** Undefined while it doesn't run. */
  get pid(): number | undefined {
    return this.running ? this.#identity?.pid : undefined
  }

  get running(): boolean {
    return this.#identity !== undefined && isRunning(this.#identity)
  }

  /** It has ended on its own, with an error. */
  get failed(): boolean {
    return this.#failed
  }

  /** The end of its log. */
  get lastWords(): string {
    return lastLines(this.logFile)
  }

  /** Starts it, or restarts it after its end: with the same name and ledger. Throws CONFLICT while it runs. */
  async start(): Promise<void> {
    if (this.running) throw new BrokerError('CONFLICT', `worker ${this.name} runs already`)
    const command = {
      file: process.execPath,
      args: [MAIN],
      env: { ...process.env, [WORKER_VARIABLE]: JSON.stringify(this.spec) },
    }
    let ended: (exit: LaunchExit) => void = () => {}
    this.#failed = false
    this.#exit = new Promise((resolve) => {
      ended = (exit) => {
        this.#failed = exit.code !== null && exit.code !== 0
        resolve(exit)
      }
    })
    this.#identity = await launch(command, this.spec.ledger, this.logFile, 'process', ended)
    this.#note('launched')
  }

  /**
   * Resolves once this life of it has connected: joined its group, or can send. Rejects with UNAVAILABLE and the end of
   * its log when it ends before, TIMEOUT after `timeoutMs` (default 20,000).
   */
  async ready(timeoutMs = 20_000): Promise<void> {
    const deadline = performance.now() + timeoutMs
    const life = this.#identity?.pid
    const isReady = (): boolean =>
      this.#reader
        .refresh()
        .processes.some((line) => line.did === 'ready' && line.process === this.name && line.life === life)
    while (!isReady()) {
      if (!this.running) throw this.#failure('UNAVAILABLE', 'ended before it was ready')
      if (performance.now() > deadline) throw this.#failure('TIMEOUT', `was not ready within ${timeoutMs} ms`)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  /** SIGKILL; resolves when it has ended. Does nothing when it doesn't run. */
  async kill(): Promise<void> {
    if (this.#identity === undefined || !this.running) return
    await killAndWait(this.#identity)
    this.#note('killed')
  }

  /** SIGSTOP: its connections stay open, and nothing happens in it. Throws NOT_FOUND when it doesn't run. */
  freeze(): void {
    this.#signal('SIGSTOP')
    this.#note('frozen')
  }

  /** SIGCONT. Throws NOT_FOUND when it doesn't run. */
  resume(): void {
    this.#note('resumed')
    this.#signal('SIGCONT')
  }

  /** SIGUSR2: from now on its handlers take no time, including running ones. Throws NOT_FOUND when it doesn't run. */
  hurry(): void {
    this.#signal('SIGUSR2')
    this.#note('hurried')
  }

  /** SIGTERM: asks it to stop cleanly. Throws NOT_FOUND when it doesn't run. */
  terminate(): void {
    this.#signal('SIGTERM')
  }

  /** Resolves with how it ended; rejects with TIMEOUT and the end of its log when it still runs after `timeoutMs`. */
  async ended(timeoutMs: number): Promise<LaunchExit> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(this.#failure('TIMEOUT', `still runs after ${timeoutMs} ms`)), timeoutMs)
    })
    try {
      return await Promise.race([this.#exit ?? Promise.reject(this.#failure('NOT_FOUND', 'was not started')), late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** Kills it if it still runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#identity === undefined || !signalProcess(this.#identity, signal))
      throw new BrokerError('NOT_FOUND', `worker ${this.name} is not running`)
  }

  #note(did: 'launched' | 'killed' | 'frozen' | 'resumed' | 'hurried'): void {
    this.#witness.writeOf(this.name, this.#identity?.pid ?? 0, { did })
  }

  #failure(code: 'UNAVAILABLE' | 'TIMEOUT' | 'NOT_FOUND', what: string): BrokerError {
    return new BrokerError(code, `worker ${this.name} ${what}. The end of its log:\n${this.lastWords}`)
  }
}

/** Starts a worker and resolves when it is ready; see {@link Worker.ready} for its errors. */
export async function startWorker(spec: WorkerSpec): Promise<Worker> {
  const worker = new Worker(spec)
  await worker.start()
  try {
    await worker.ready()
  } catch (error) {
    await worker.kill()
    throw error
  }
  return worker
}
