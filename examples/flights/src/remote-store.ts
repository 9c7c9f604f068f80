import type { StoreRequest, ToChild } from './child-messages.js'
import type { AirportState } from './statistics.js'
import { StaleStateError, type Store } from './store.js'

type Answer = Extract<ToChild, { kind: 'stored' }>

/** A service's side of stores that another process holds. */
export class RemoteStores {
  readonly #ask: (request: StoreRequest) => void
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #requests = 0

  /** @param ask - sends a request; the answer comes back through {@link RemoteStores.answered}. */
  constructor(ask: (request: StoreRequest) => void) {
    this.#ask = ask
  }

  answered(answer: Answer): void {
    this.#waiting.get(answer.request)?.(answer)
    this.#waiting.delete(answer.request)
  }

  store<State extends AirportState>(store: 'delays' | 'alerts'): Store<State> {
    return {
      load: async (airport) => (await this.#call({ store, airport })).state as State | undefined,
      save: async (airport, state) => {
        const { isStale } = await this.#call({ store, airport, state })
        if (isStale) throw new StaleStateError(airport)
      },
    }
  }

  #call(call: Omit<StoreRequest, 'kind' | 'request'>): Promise<Answer> {
    this.#requests += 1
    const request = this.#requests
    return new Promise((resolve) => {
      this.#waiting.set(request, resolve)
      this.#ask({ kind: 'store', request, ...call })
    })
  }
}

/** The launcher's side: carries out a request on the store that it holds. */
export async function answerStoreRequest(
  store: Store<AirportState>,
  { request, airport, state }: StoreRequest,
): Promise<Answer> {
  if (state === undefined) {
    const found = await store.load(airport)
    return { kind: 'stored', request, isStale: false, ...(found === undefined ? {} : { state: found }) }
  }
  try {
    await store.save(airport, state)
    return { kind: 'stored', request, isStale: false }
  } catch (error) {
    if (!(error instanceof StaleStateError)) throw error
    return { kind: 'stored', request, isStale: true }
  }
}
