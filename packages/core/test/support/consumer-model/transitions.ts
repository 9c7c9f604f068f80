import { type Delivery, DeliveryState } from '../../../src/consumer/delivery.js'

type Name = keyof typeof DeliveryState

/**
 * Every change of a message's state that there may be, as the table above `DeliveryState` says it. Left out: what an ack does that is to
 * make its mark, and is refused; the model's driver makes no marks.
 */
const TRANSITIONS: Readonly<Record<Name, readonly Name[]>> = {
  Waiting: ['Running', 'Settled', 'Dropped'],
  Running: ['Waiting', 'Retrying', 'GivenUp', 'Settled', 'Dropped'],
  Retrying: ['Waiting', 'Dropped'],
  GivenUp: ['Settled', 'Dropped'],
  Settled: ['Acked', 'Dropped'],
  Acked: [],
  Dropped: [],
}

const NAMES = Object.keys(DeliveryState) as Name[]

/** Tells each change of a delivery's state that the table doesn't know. */
export function watchState(delivery: Delivery, violation: (what: string) => void): void {
  let state: DeliveryState = delivery.state
  Object.defineProperty(delivery, 'state', {
    get: () => state,
    set: (next: DeliveryState) => {
      const from = NAMES[state] as Name
      const to = NAMES[next] as Name
      if (from === to) violation(`message ${delivery.id} became ${to} twice`)
      else if (!TRANSITIONS[from].includes(to)) violation(`message ${delivery.id} went from ${from} to ${to}`)
      state = next
    },
  })
}
