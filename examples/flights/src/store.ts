import type { AirportState } from './statistics.js'

/**
 * Where a service keeps its state per airport: its database. The state outlives the service's process and goes along when a
 * partition moves to another member.
 */
export interface Store<State extends AirportState> {
  load(airport: string): Promise<State | undefined>
  /**
   * Replaces the state whose version is one less. Rejects with {@link StaleStateError} when another one is stored: a member that
   * has lost its partition without knowing it can't overwrite what its successor has written.
   */
  save(airport: string, state: State): Promise<void>
}

/** A change was based on a state that is no longer the stored one. */
export class StaleStateError extends Error {
  override readonly name = 'StaleStateError'

  constructor(airport: string) {
    super(`the state of ${airport} has been changed by somebody else`)
  }
}

/** A store in this process. */
export class MapStore<State extends AirportState> implements Store<State> {
  readonly states = new Map<string, State>()

  async load(airport: string): Promise<State | undefined> {
    return this.states.get(airport)
  }

  async save(airport: string, state: State): Promise<void> {
    if (state.version !== (this.states.get(airport)?.version ?? 0) + 1) throw new StaleStateError(airport)
    this.states.set(airport, state)
  }
}

/** Keeps what was loaded or saved, so that a member reads each airport once while it has it. */
export class CachedStore<State extends AirportState> implements Store<State> {
  readonly #store: Store<State>
  readonly #cache = new Map<string, State>()

  constructor(store: Store<State>) {
    this.#store = store
  }

  async load(airport: string): Promise<State | undefined> {
    const cached = this.#cache.get(airport)
    if (cached !== undefined) return cached
    const state = await this.#store.load(airport)
    if (state !== undefined) this.#cache.set(airport, state)
    return state
  }

  async save(airport: string, state: State): Promise<void> {
    try {
      await this.#store.save(airport, state)
      this.#cache.set(airport, state)
    } catch (error) {
      this.#cache.delete(airport)
      throw error
    }
  }

  /** Forgets everything: other members may write from now on. */
  clear(): void {
    this.#cache.clear()
  }
}
