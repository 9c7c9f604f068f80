/** A message of a group, for which a mark is stored. Names are those on the broker, `prefix` included. */
export interface DedupeMark {
  readonly topic: string
  readonly group: string
  readonly id: string
}

/**
 * One member's claim on a message while it is handling it. Created by core; the delivery carries it until it is
 * settled.
 */
export interface DedupeClaim extends DedupeMark {
  /**
   * Where the mark must be stored, as {@link MarkSettlement.place} returns it; `undefined`: with its topic. The same
   * for every claim of a message.
   */
  readonly place: string | undefined
  /**
   * Fencing token, different for every claim: only the holder of the claim with this token may extend, complete or
   * release it.
   */
  readonly token: string
  /** How long the mark is kept once the message is done, in milliseconds. */
  readonly ttlMs: number
}

/**
 * Result of claiming a message.
 * - `claimed`: this claim now holds it.
 * - `done`: the group has already handled it.
 * - `busyForMs`: another claim holds it, for this long unless it is extended.
 */
export type ClaimAnswer = 'claimed' | 'done' | { readonly busyForMs: number }

/**
 * Result of completing a claim.
 * - `completed`: the message is done, by this claim.
 * - `done`: another claim has completed it.
 * - `busy`: this claim expired, and another member is handling the message.
 */
export type CompletionAnswer = 'completed' | 'done' | 'busy'

/**
 * Remembers, per topic, group and message id, which messages are done and which are being handled. Implement it to
 * store marks elsewhere than in memory or Redis.
 * Every call takes a list and answers in its order, each message decided independently and atomically: two calls at the
 * same time, from any process, must never both get `claimed` or both get `completed` for one message. A list may
 * contain the same message twice. Calls may overlap; core keeps one of each kind in flight and gathers further requests
 * meanwhile. They reject when the store is unavailable; core repeats them if the error is retryable, and a call that
 * was carried out before must then return the same answer (by its token).
 */
export interface DedupeStore {
  /**
   * True: waiting messages are claimed ahead of their start, so that they needn't wait for an answer; worthwhile if a
   * call takes a while. A claim may then be released, or expire, without its message having been started, and is
   * requested again with its own token if it has waited long. Default false: a message is claimed when it starts.
   */
  readonly claimsAhead?: boolean
  /** Claims, for `claimMs`, messages that are neither done nor held by an unexpired claim. */
  claim(claims: readonly DedupeClaim[], claimMs: number): Promise<readonly ClaimAnswer[]>
  /** Extends claims to `claimMs` from now. Returns `false` for one that is no longer held. */
  extend(claims: readonly DedupeClaim[], claimMs: number): Promise<readonly boolean[]>
  /**
   * Marks messages as done, for their `ttlMs`, if the claim is still held or no other claim has taken the message since
   * it expired.
   */
  complete(claims: readonly DedupeClaim[]): Promise<readonly CompletionAnswer[]>
  /** Releases claims for other members. Claims that are no longer held are unchanged. */
  release(claims: readonly DedupeClaim[]): Promise<void>
}

/**
 * For drivers whose broker can store marks: mark, committed offset and ack are then one atomic step on the server, so
 * that no crash separates them. Core reads `ConsumerDriver.marks`; without it core completes the claim before the
 * message is acked.
 */
export interface MarkSettlement {
  /** Returns true when this store keeps its marks on the server that receives this driver's acks. */
  takes(store: DedupeStore): boolean
  /**
   * Returns where the mark of a message of this partition must be stored so that one step covers it and the ack, for
   * {@link DedupeClaim.place}. A resend must return the same value.
   */
  place(topic: string, partition: number): string
}
