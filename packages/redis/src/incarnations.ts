import { randomBytes } from 'node:crypto'
import type { ConsumerSpec } from '@streamswitch/core/driver'

/** One loop of one process, across its reconnects. */
export interface Incarnation {
  /** Identifies the loop among all that ever ran, also under the same member name. */
  readonly id: string
  /** It has been a member before: a group that is missing now was lost, not new. */
  joined: boolean
  /** The last known partition counts of its topics. */
  readonly partitions: Map<string, number>
}

/** Distinguishes loops of this process from earlier holders of their names. */
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
