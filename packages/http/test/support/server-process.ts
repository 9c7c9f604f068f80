import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { findFreePort } from '@streamswitch/testkit/brokers'

export interface ServerSpec {
  readonly url: string
  readonly options?: Readonly<Record<string, unknown>>
  readonly environment?: Readonly<Record<string, string>>
  /** `handler`: one of those that server-worker.mjs lists; the rest are settings of the loop. */
  readonly loops: readonly ({ readonly topic: unknown; readonly handler?: string } & Readonly<
    Record<string, unknown>
  >)[]
}

export interface ServerStats {
  /** Starts of handlers. */
  readonly handled: number
  /** `error` events of the loops. */
  readonly errors: number
  readonly connections: number
  /** Of replies, once there was one. */
  readonly kept?: { readonly bytes: number; readonly replies: number }
  /** Processor time since the start. */
  readonly cpuMs: number
  /** Most processor time between two turns of the event loop since the last question. */
  readonly longestTurnMs: number
  /** Largest resident set since the start. */
  readonly peakMib: number
  readonly rssMib: number
  /** What the heap holds. */
  readonly heapMib: number
}

interface Event {
  readonly log?: string
  readonly up?: true
  readonly failed?: { readonly code: string; readonly message: string }
  readonly ask?: number
  readonly stats?: ServerStats
}

/** A process that serves real loops over HTTP. It ends with this object. */
export class ServerProcess implements AsyncDisposable {
  readonly url: string
  readonly log: string[] = []
  readonly #child: ChildProcess
  readonly #ended: Promise<void>
  readonly #asked = new Map<number, (stats: ServerStats) => void>()
  #asks = 0

  private constructor(spec: ServerSpec) {
    this.url = spec.url
    this.#child = fork(fileURLToPath(new URL('server-worker.mjs', import.meta.url)), [JSON.stringify(spec)], {
      execArgv: ['--expose-gc'],
    })
    this.#ended = new Promise((resolve) => this.#child.once('close', () => resolve()))
    this.#child.on('message', ({ log, ask, stats }: Event) => {
      if (log !== undefined) this.log.push(log)
      if (ask !== undefined && stats !== undefined) this.#asked.get(ask)?.(stats)
    })
  }

  /** Resolves when its loops have joined. Rejects with the error of a server that can't start. */
  static async start(spec: Omit<ServerSpec, 'url'> & { readonly url?: string }): Promise<ServerProcess> {
    const scheme = spec.options?.listenTlsCertFile === undefined ? 'http' : 'https'
    const server = new ServerProcess({ ...spec, url: spec.url ?? `${scheme}://127.0.0.1:${await findFreePort()}` })
    const failed = await new Promise<Event['failed']>((resolve, reject) => {
      server.#child.on('message', ({ up, failed: why }: Event) => {
        if (up === true || why !== undefined) resolve(why)
      })
      void server.#ended.then(() => reject(new Error('the server ended before it was up')))
    })
    if (failed === undefined) return server
    await server[Symbol.asyncDispose]()
    throw Object.assign(new Error(failed.message), { code: failed.code })
  }

  get port(): number {
    return Number(new URL(this.url).port)
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Rejects when the process has ended. */
  stats(): Promise<ServerStats> {
    this.#asks += 1
    const ask = this.#asks
    return new Promise((resolve, reject) => {
      this.#asked.set(ask, resolve)
      void this.#ended.then(() => reject(new Error('the server has ended')))
      this.#child.send({ ask }, (error) => {
        if (error !== null) reject(error)
      })
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }
}
