import type { Outgoing } from '../message.js'
import type { Refusal } from './refusal.js'

/** One record in flight to one subscriber, and the receiver of its outcome. */
export interface Parcel extends Outgoing {
  readonly topic: string
  readonly contentType: string | undefined
  /** Called once: with the reason, or with `undefined` when the subscriber has accepted it. */
  settle(refusal: Refusal | undefined): void
}

/** Parcels that must arrive in this order: the next is not sent before the one ahead of it was accepted, or travels behind it in one request. */
export class Run {
  readonly parcels: readonly Parcel[]
  readonly queuedAt = performance.now()
  /** Position of the first parcel that was not sent yet. */
  next = 0
  /** Its producer has closed. */
  cancelled = false

  constructor(parcels: readonly Parcel[]) {
    this.parcels = parcels
  }

  get left(): number {
    return this.parcels.length - this.next
  }
}

/** A part of a run within one request. */
export interface Slice {
  readonly run: Run
  /** Positions within the request, the end excluded. */
  readonly start: number
  readonly end: number
}
