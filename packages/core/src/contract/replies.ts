import type { Headers } from '../message.js'
import type { Provision } from './adapter.js'
import type { ProducerDriver, ProducerSink } from './producer-driver.js'

/** A received reply. */
export interface IncomingReply {
  /**
   * The request that it answers, if the transport has a field for that (AMQP's correlation-id); else it is in the
   * headers.
   */
  readonly requestId?: string | undefined
  /** All headers of the record, core's reserved ones included. */
  readonly headers: Headers
  /** undefined` when the record has none: an end without a part. */
  readonly payload: Buffer | undefined
  /** When it was sent, in milliseconds since the epoch. */
  readonly timestamp: number
}

/** Settings of a reply inbox. */
export interface ReplyInboxSpec {
  /** Unique among all processes, the same in every driver of one inbox: `[a-z0-9]`, at most 40 characters. */
  readonly instance: string
  /**
   * Common name of the inboxes of this prefix on the broker: a shared topic, or the beginning of the inbox's own name.
   */
  readonly brokerName: string
  /**
   * How long a reply is useful, and how long an inbox whose process was killed may stay on the broker, in milliseconds.
   */
  readonly ttlMs: number
  readonly provision: Provision
  /** Kept by core from one driver of the inbox to the next: how far it has been read, in the driver's own format. */
  readonly progress: { position: string | number | undefined }
}

/** Core's side of a reply inbox. Cheap, never throws; ignored after `close`. */
export interface ReplyInboxSink {
  /**
   * A reply was received. Replies of one request arrive in the order in which they were sent; core recognises
   * duplicates. Returns whether more of the same request's reply is wanted: a driver that receives it separately may
   * otherwise stop.
   */
  reply(reply: IncomingReply): boolean
  /** The connection is permanently lost. As in {@link ProducerSink.lost}. */
  lost(error: unknown): void
}

/**
 * Receives the replies to one process. Like other drivers it lives for one connection; core opens a fresh one after a
 * loss, which resumes where the previous one stopped, as far as the broker keeps what arrived in between.
 */
export interface ReplyInboxDriver {
  /**
   * Creates the inbox and starts reading. Resolves with its address, which requests carry to the responders: up to 500
   * printable ASCII characters without spaces and `#`. Replies sent to it after this has resolved are received. Rejects
   * with a classified error.
   */
  open(signal: AbortSignal): Promise<string>
  /** As in {@link ProducerDriver.probe}; also the time to renew what would expire on the broker. */
  probe?(): Promise<void>
  /** Stops reading. `final`: the inbox won't be opened again, remove it. Never rejects, never hangs longer than a few seconds. */
  close(final: boolean): Promise<void>
}

/** Settings of a reply sender. */
export interface ReplySenderSpec {
  /** As in {@link ReplyInboxSpec}. */
  readonly brokerName: string
  readonly ttlMs: number
  readonly provision: Provision
}

/** The address to which a message requests its reply. */
export interface ReplyTarget {
  /** An address as {@link ReplyInboxDriver.open} returns it, or in another system's format. */
  readonly inbox: string
  /** True when it belongs to another system: only if the channel supports those. */
  readonly isForeign: boolean
  /** As in {@link ReplyInboxSpec}. */
  readonly brokerName: string
}

/**
 * How replies travel on a transport. Without it, an adapter still supports request and reply, by ordinary topics: one
 * per caller, which stays on the broker when the caller is killed. An adapter that has it removes what it creates
 * within about `ttlMs` after its process has ended.
 */
export interface ReplyChannel {
  /** One per transport and process, created at its first request. */
  inbox(spec: ReplyInboxSpec, sink: ReplyInboxSink): ReplyInboxDriver
  /**
   * One per transport and process, created at its first answer. An ordinary {@link ProducerDriver}, except that a
   * record's `key` is the address of the inbox to send it to. Records with the same address must keep their order. An
   * address without a reader fails with NOT_FOUND if the transport can tell; otherwise the record may be dropped.
   */
  sender(spec: ReplySenderSpec, sink: ProducerSink): ProducerDriver
  /**
   * Returns why nothing is sent to an address, for errors and logs; `undefined`: the address may be used. Anyone who
   * can write to a topic chooses the reply addresses in its messages, and the sender of replies may have permissions
   * that they lack. Therefore only addresses that {@link isInboxBelow} finds below this channel's own names may be
   * used, and of other systems' addresses those that the user has allowed. Never throws.
   */
  refusalOf(target: ReplyTarget): string | undefined
  /**
   * Whether this transport can answer at the address of a foreign request, one that isn't Streamswitch's. Default: no.
   */
  readonly takesForeignAddresses?: boolean
  /**
   * Replies are returned with the responses to this transport's own requests (HTTP), so it can't carry those of another
   * transport: when it is the feedback transport of another, core uses ordinary topics. Default: no.
   */
  readonly ownRequestsOnly?: boolean
}
