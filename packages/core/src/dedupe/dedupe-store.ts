/** A message of a group: what a mark is kept for. Names are those on the broker, `prefix` included. */
export interface DedupeMark {
  readonly topic: string
  readonly group: string
  readonly id: string
}

/** One member's hold on a message while it is at work on it. Made by core; the delivery carries it until it is settled. */
export interface DedupeClaim extends DedupeMark {
  /** What the mark must lie beside, as {@link MarkSettlement.place} says; `undefined`: its topic. The same for every claim of a message. */
  readonly place: string | undefined
  /** Fencing token, different for every claim: only who holds the claim with this token may extend, complete or release it. */
  readonly token: string
  /** How long the mark is to be kept once the message is done, in milliseconds. */
  readonly ttlMs: number
}

/**
 * What became of a wish to claim a message.
 * - `claimed`: it is this claim's now.
 * - `done`: the group has handled it.
 * - `busyForMs`: another claim holds it, for so long unless it is extended.
 */
export type ClaimAnswer = 'claimed' | 'done' | { readonly busyForMs: number }

/**
 * What became of a wish to complete a claim.
 * - `completed`: the message is done, by this claim.
 * - `done`: another claim has completed it.
 * - `busy`: this claim ran out, and another one is at work on it.
 */
export type CompletionAnswer = 'completed' | 'done' | 'busy'

/**
 * Remembers, per topic, group and message id, what is done and who is at work on what. Written for core, by packages and users who
 * have another place for marks than memory or Redis.
 *
 * Every call takes a list and answers in its order, each message decided for itself and in one step: two calls at the same time, from
 * any process, must never both get `claimed` or both get `completed` for one message. A list may hold the same message twice. Calls
 * may overlap; core keeps one of each kind on its way and gathers what comes meanwhile. They reject where the store can't answer; core
 * repeats them where the error is retryable, and one that was carried out before must then answer the same (by its token).
 */
export interface DedupeStore {
  /**
   * True: messages that wait in a loop are claimed ahead of their start, so that it needn't wait for an answer; worth it where a
   * call takes a while. A claim may then be given back, or run out, without its message having been started, and is asked for again by
   * its own token where it has waited long. Default false: a message is claimed when it starts.
   */
  readonly claimsAhead?: boolean
  /** Claims for `claimMs` what is neither done nor held by a claim that hasn't run out. */
  claim(claims: readonly DedupeClaim[], claimMs: number): Promise<readonly ClaimAnswer[]>
  /** Holds claims for `claimMs` from now on. `false` for one that isn't held any more. */
  extend(claims: readonly DedupeClaim[], claimMs: number): Promise<readonly boolean[]>
  /** Marks messages as done, for their `ttlMs`, where the claim is still held or nobody else has taken the message since it ran out. */
  complete(claims: readonly DedupeClaim[]): Promise<readonly CompletionAnswer[]>
  /** Gives claims back, for anybody to take. What isn't held any more is left as it is. */
  release(claims: readonly DedupeClaim[]): Promise<void>
}

/**
 * For drivers whose broker can hold marks: the mark, the checkpoint and the ack are then one step on the server, so that no crash
 * comes between them. Core asks `ConsumerDriver.marks` for it; without it core completes the claim before the message is acked.
 */
export interface MarkSettlement {
  /** True where this store keeps its marks on the very server that this driver acks at. */
  takes(store: DedupeStore): boolean
  /** Where the mark of a message of this partition must lie so that one step reaches it and the ack, for {@link DedupeClaim.place}. A resend must come to the same place. */
  place(topic: string, partition: number): string
}
