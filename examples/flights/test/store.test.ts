import { describe, expect, it } from 'vitest'
import type { StoreRequest } from '../src/child-messages.js'
import { answerStoreRequest, RemoteStores } from '../src/remote-store.js'
import { type AirportState, NO_ALERTS } from '../src/statistics.js'
import { CachedStore, MapStore, StaleStateError, type Store } from '../src/store.js'

const stateOf = (version: number): AirportState => ({ ...NO_ALERTS, version })

/** A store of another process, with messages that are copied on their way. */
function remote(store: Store<AirportState>): Store<AirportState> {
  const stores = new RemoteStores((request) => {
    void answerStoreRequest(store, structuredClone(request) as StoreRequest).then((answer) =>
      stores.answered(structuredClone(answer)),
    )
  })
  return stores.store('alerts')
}

describe.each([
  ['in this process', (store: MapStore<AirportState>) => store],
  ['with a cache', (store: MapStore<AirportState>) => new CachedStore(store)],
  ['of another process', remote],
])('a store %s', (_name, open) => {
  it('gives back what was saved, and nothing for what was not', async () => {
    const store = open(new MapStore())
    await store.save('DFW', stateOf(1))
    expect(await store.load('DFW')).toEqual(stateOf(1))
    expect(await store.load('ORD')).toBeUndefined()
  })

  it('refuses a change of a state that is no longer the stored one', async () => {
    const store = open(new MapStore())
    await store.save('DFW', stateOf(1))
    await expect(store.save('DFW', stateOf(1))).rejects.toBeInstanceOf(StaleStateError)
    await expect(store.save('DFW', stateOf(3))).rejects.toBeInstanceOf(StaleStateError)
    await store.save('DFW', stateOf(2))
  })
})

describe('a cache before a store', () => {
  it('forgets what it has when somebody else has changed it', async () => {
    const shared = new MapStore<AirportState>()
    const [mine, other] = [new CachedStore(shared), new CachedStore(shared)]
    await mine.save('DFW', stateOf(1))
    await other.save('DFW', stateOf(2))
    await expect(mine.save('DFW', stateOf(2))).rejects.toBeInstanceOf(StaleStateError)
    expect(await mine.load('DFW')).toEqual(stateOf(2))
  })

  it('reads again after it was cleared', async () => {
    const shared = new MapStore<AirportState>()
    const cache = new CachedStore(shared)
    await cache.save('DFW', stateOf(1))
    await shared.save('DFW', stateOf(2))
    expect(await cache.load('DFW')).toEqual(stateOf(1))
    cache.clear()
    expect(await cache.load('DFW')).toEqual(stateOf(2))
  })
})
