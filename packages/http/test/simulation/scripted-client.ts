import type { SimulatedProcess } from '@streamswitch/testkit/simulation'
import type { Dispatcher, Pool } from 'undici'
import { ScriptedConnection, type ScriptedNetwork, type ScriptedRequest } from './scripted-server.js'

interface Waiting {
  readonly request: ScriptedRequest
  readonly handler: Dispatcher.DispatchHandler
}

/** What of undici's pool the adapter uses: so many requests at a time to one origin, the others wait in order. */
export class ScriptedPool {
  readonly #network: ScriptedNetwork
  readonly #client: SimulatedProcess
  readonly #origin: string
  readonly #connections: number
  readonly #waiting: Waiting[] = []
  #open = 0

  constructor(network: ScriptedNetwork, client: SimulatedProcess, origin: string, connections: number) {
    this.#network = network
    this.#client = client
    this.#origin = origin
    this.#connections = connections
  }

  /** As undici's: typed as such where it is handed over. */
  get pool(): Pool {
    return this as unknown as Pool
  }

  dispatch({ path, headers, body }: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const request = { path, headers: headers as string[], body: Buffer.isBuffer(body) ? body : Buffer.alloc(0) }
    this.#waiting.push({ request, handler })
    this.#pump()
    return true
  }

  async destroy(): Promise<void> {}

  #pump(): void {
    while (this.#open < this.#connections && this.#waiting.length > 0) this.#start(this.#waiting.shift() as Waiting)
  }

  #start({ request, handler }: Waiting): void {
    const { world, servers } = this.#network
    this.#open += 1
    const receiver = servers.get(this.#origin)?.process ?? this.#client
    let connection: ScriptedConnection | undefined
    let over = false
    const end = (): void => {
      over = true
      this.#open -= 1
      this.#pump()
    }
    const controller = {
      aborted: false,
      reason: null,
      paused: false,
      pause() {},
      resume() {},
      abort: (reason: Error) => {
        if (over) return
        connection?.abandon()
        end()
        handler.onResponseError?.(controller, reason)
      },
    } as unknown as Dispatcher.DispatchController
    const fail = (code: string): void => {
      if (over) return
      end()
      handler.onResponseError?.(controller, Object.assign(new Error(code), { code }))
    }
    // There and back, before the request goes out.
    world.clock.schedule(2 * world.latency(receiver), this.#client, () => {
      if (over) return
      const server = servers.get(this.#origin)
      if (server === undefined || this.#network.down) return fail('ECONNREFUSED')
      handler.onRequestStart?.(controller, undefined)
      if (over) return
      connection = new ScriptedConnection(this.#network, this.#client, server, request, {
        start: (status, headers) => {
          if (!over) handler.onResponseStart?.(controller, status, headers)
        },
        data: (chunk) => {
          if (!over) handler.onResponseData?.(controller, chunk)
        },
        end: () => {
          if (over) return
          end()
          handler.onResponseEnd?.(controller, {})
        },
        failed: fail,
      })
    })
  }
}
