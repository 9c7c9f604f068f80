/**
 * Names of the headers that Streamswitch itself sends, where a transport has no field for the value. The table per
 * transport is in `docs/wire-format.md`. Users may not set headers that begin with {@link RESERVED_PREFIX}.
 */
export const RESERVED_PREFIX = 'streamswitch-'

export const WIRE_HEADERS = {
  id: 'streamswitch-id',
  key: 'streamswitch-key',
  /** Milliseconds since the epoch. */
  timestamp: 'streamswitch-timestamp',
  /** Present, with value `1`, on a record without payload, if the transport can't distinguish it from an empty one. */
  tombstone: 'streamswitch-tombstone',
  replyTo: 'streamswitch-reply-to',
} as const

/**
 * On a message that was forwarded from another kind of transport: what of the original this one can't carry. `key
 * bytes, header 'tags' (list)`.
 */
export const NOT_CARRIED_HEADER = 'streamswitch-not-carried'

/** Headers of a dead letter, in addition to the original's payload and headers. */
export const DEAD_LETTER_HEADERS = {
  /** The failure's code or name, and its message. */
  error: 'streamswitch-error',
  errorCode: 'streamswitch-error-code',
  attempts: 'streamswitch-attempts',
  topic: 'streamswitch-origin-topic',
  partition: 'streamswitch-origin-partition',
  offset: 'streamswitch-origin-offset',
  group: 'streamswitch-origin-group',
  timestamp: 'streamswitch-origin-timestamp',
  /** When it was dead-lettered, in milliseconds since the epoch. */
  failedAt: 'streamswitch-failed-at',
  /**
   * What of the original the dead-letter topic could not accept, and its size: `payload 3145728 bytes, headers 40000
   * bytes`.
   */
  incomplete: 'streamswitch-incomplete',
} as const

/** Headers that core evaluates in loops, on every transport. Drivers pass them on like any other. */
export const ROUTING_HEADERS = {
  /**
   * Name of the only group that handles the message; loops of other groups ack it without handling it. Set on messages
   * replayed from dead letters.
   */
  onlyGroup: 'streamswitch-only-group',
  /** Sent along with it: distinguishes replays of a message from each other, and from its first send. */
  replayed: 'streamswitch-replayed',
  /**
   * On a record of a dead-letter topic: `partition/offset` of a dead letter there that is removed, if the log can't
   * drop it.
   */
  settles: 'streamswitch-settles',
} as const

/** Headers of a reply, in addition to its part. */
export const REPLY_HEADERS = {
  /** Format version, always present: `1`. A newer one is refused. */
  version: 'streamswitch-reply',
  /** The request that it answers. */
  requestId: 'streamswitch-request-id',
  /** Group whose handler answers. */
  from: 'streamswitch-reply-from',
  /** The handler start that it comes from: its number, a dash, and a random string. */
  run: 'streamswitch-reply-run',
  /** Number of the part within its run, from 1. An end without a part has the number after the last. */
  part: 'streamswitch-reply-part',
  /** 1` on the last record of a run, which may contain a part. */
  end: 'streamswitch-reply-end',
  /** The failure that ended the run: message and code. */
  error: 'streamswitch-error',
  errorCode: 'streamswitch-error-code',
} as const
