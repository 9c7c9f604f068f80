import { randomBytes } from 'node:crypto'
import type { ConsumerSpec } from '@streamswitch/core/driver'

/** One loop of one process, across its reconnects. */
export interface Incarnation {
  /** Names the loop among all that ever ran, also under the same member name. */
  readonly id: string
  /** It has been a member before: a group that is missing now was lost, not new. */
  joined: boolean
  /** How many partitions its topics had when they were there last. */
  readonly partitions: Map<string, number>
}

/** Tells loops of this process apart from earlier holders of their names. */
export class Incarnations {
  readonly #known = new WeakMap<ConsumerSpec, Incarnation>()

  of(spec: ConsumerSpec): Incarnation {
    let incarnation = this.#known.get(spec)
    if (incarnation === undefined) {
      incarnation = { id: `${spec.member}#${randomBytes(6).toString('hex')}`, joined: false, partitions: new Map() }
      this.#known.set(spec, incarnation)
    }
    return incarnation
  }
}
