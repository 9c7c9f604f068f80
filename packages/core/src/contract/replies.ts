import type { Headers } from '../message.js'
import type { Provision } from './adapter.js'
import type { ProducerDriver, ProducerSink } from './producer-driver.js'

/** A reply as it came in. */
export interface IncomingReply {
  /** Which request it answers, where the transport has a place of its own for that (AMQP's correlation-id); else it is in the headers. */
  readonly requestId?: string | undefined
  /** All headers of the record, core's reserved ones included. */
  readonly headers: Headers
  /** `undefined` where the record has none: an end without a part. */
  readonly payload: Buffer | undefined
  /** When it was sent, in milliseconds since the epoch. */
  readonly timestamp: number
}

/** What a reply inbox is made from. */
export interface ReplyInboxSpec {
  /** Unique among all processes, the same in every driver of one inbox: `[a-z0-9]`, at most 40 characters. */
  readonly instance: string
  /** What inboxes of this prefix have in common on the broker: a name for a shared topic, or the beginning of the inbox's own. */
  readonly brokerName: string
  /** How long a reply is of use, and how long an inbox whose process was killed may stay on the broker, in milliseconds. */
  readonly ttlMs: number
  readonly provision: Provision
  /** Kept by core from one driver of the inbox to the next: how far it has been read, in the driver's own words. */
  readonly progress: { position: string | number | undefined }
}

/** Core's side of a reply inbox. Cheap, never throws; ignored after `close`. */
export interface ReplyInboxSink {
  /**
   * A reply has come. Replies of one request come in the order of sending; what comes twice is recognised by core. Returns whether anything more of the same
   * request's reply is wanted: a driver that receives it apart from others may stop otherwise.
   */
  reply(reply: IncomingReply): boolean
  /** The connection is gone for good. As in {@link ProducerSink.lost}. */
  lost(error: unknown): void
}

/**
 * Where the replies to one process come in. Like other drivers it lives for one connection; core opens a fresh one after a loss,
 * which goes on where the one before had been, as far as the broker keeps what came in between.
 */
export interface ReplyInboxDriver {
  /**
   * Makes the inbox and starts reading. Resolves with its address, which requests carry to those who answer: up to 500 printable
   * ASCII characters without spaces and `#`. What is sent there once this has resolved arrives. Rejects with a classified error.
   */
  open(signal: AbortSignal): Promise<string>
  /** As in {@link ProducerDriver.probe}; also the time to renew what would expire on the broker. */
  probe?(): Promise<void>
  /** Stops reading. `final`: the inbox won't be opened again, remove it. Never rejects, never hangs longer than a few seconds. */
  close(final: boolean): Promise<void>
}

/** What a reply sender is made from. */
export interface ReplySenderSpec {
  /** As in {@link ReplyInboxSpec}. */
  readonly brokerName: string
  readonly ttlMs: number
  readonly provision: Provision
}

/** Where a message asks for its reply. */
export interface ReplyTarget {
  /** An address as {@link ReplyInboxDriver.open} returns it, or in another system's words. */
  readonly inbox: string
  /** Whether it is another system's: only where the channel takes those. */
  readonly isForeign: boolean
  /** As in {@link ReplyInboxSpec}. */
  readonly brokerName: string
}

/**
 * How replies travel on a transport. An adapter that leaves it out gets request and reply all the same, by ordinary topics: one per
 * caller, which stays behind when the caller is killed. One that has it keeps what it makes from outliving its process by much
 * more than `ttlMs`.
 */
export interface ReplyChannel {
  /** One per transport and process, made at its first request. */
  inbox(spec: ReplyInboxSpec, sink: ReplyInboxSink): ReplyInboxDriver
  /**
   * One per transport and process, made at its first answer. An ordinary {@link ProducerDriver}, but for this: a record's `key` is the
   * address of the inbox that it goes to. Records with the same address must keep their order. An address where nobody reads any
   * more fails with NOT_FOUND where the transport can tell; the record may else be dropped.
   */
  sender(spec: ReplySenderSpec, sink: ProducerSink): ProducerDriver
  /**
   * Says why nothing is sent to an address, for errors and logs; `undefined`: the address may be used. Whoever can write to a topic chooses the addresses in
   * its messages, and the sender may write where they can't. So only what {@link isInboxBelow} finds below this channel's own names may be used, and of other systems'
   * addresses what the user has allowed. Never throws.
   */
  refusalOf(target: ReplyTarget): string | undefined
  /**
   * Whether this transport can answer at an address that came with a foreign request, one that isn't Streamswitch's. Left out: no.
   */
  readonly takesForeignAddresses?: boolean
  /**
   * Replies come with the responses to this transport's own requests (HTTP), so that it can't carry those of another one this way: where it is
   * the feedback transport of another, core uses ordinary topics. Left out: no.
   */
  readonly ownRequestsOnly?: boolean
}
