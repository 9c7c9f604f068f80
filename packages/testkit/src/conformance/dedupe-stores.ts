import {
  type ClaimAnswer,
  type CompletionAnswer,
  type DedupeClaim,
  type DedupeStore,
  StreamError,
} from '@streamswitch/core'

/** A store that refuses its first calls. */
export class FalteringStore implements DedupeStore {
  readonly #store: DedupeStore
  /** Calls that are still to be refused. */
  refusals = 4

  constructor(store: DedupeStore) {
    this.#store = store
  }

  async claim(claims: readonly DedupeClaim[], claimMs: number): Promise<readonly ClaimAnswer[]> {
    this.#refuse(2)
    return this.#store.claim(claims, claimMs)
  }

  async extend(claims: readonly DedupeClaim[], claimMs: number): Promise<readonly boolean[]> {
    return this.#store.extend(claims, claimMs)
  }

  async complete(claims: readonly DedupeClaim[]): Promise<readonly CompletionAnswer[]> {
    this.#refuse(0)
    return this.#store.complete(claims)
  }

  async release(claims: readonly DedupeClaim[]): Promise<void> {
    return this.#store.release(claims)
  }

  #refuse(downTo: number): void {
    if (this.refusals <= downTo) return
    this.refusals -= 1
    throw new StreamError('this store is out of order', { code: 'UNAVAILABLE', operation: 'dedupe' })
  }
}

/** A store that counts how often claims were extended. */
export function countingExtensions(store: DedupeStore): DedupeStore & { readonly extensions: number } {
  let extensions = 0
  return altered(store, (name) => {
    if (name === 'extensions') return extensions
    if (name !== 'extend') return undefined
    return async (held: readonly DedupeClaim[], claimMs: number) => {
      extensions += 1
      return store.extend(held, claimMs)
    }
  })
}

/** A store whose claims are never extended, and their holders never told: what a process sees that was stopped for too long. `claims`: the last ones asked for. */
export function withoutExtending(store: DedupeStore): DedupeStore & { readonly claims: readonly DedupeClaim[] } {
  let claims: readonly DedupeClaim[] = []
  return altered(store, (name) => {
    if (name === 'claims') return claims
    if (name === 'extend') return async (held: readonly DedupeClaim[]) => held.map(() => true)
    if (name !== 'claim') return undefined
    return (asked: readonly DedupeClaim[], claimMs: number) => {
      claims = asked
      return store.claim(asked, claimMs)
    }
  })
}

/** The store with other members; of the same class, so that a driver that knows it sees no difference. */
function altered<Altered extends DedupeStore>(store: DedupeStore, member: (name: string | symbol) => unknown): Altered {
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = member(name) ?? Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  }) as Altered
}
