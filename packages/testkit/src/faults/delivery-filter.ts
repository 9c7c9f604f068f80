import type { Direction } from './proxy-pipe.js'

/** Protocols in which deliveries can be told from everything else. */
export type FramedProtocol = 'amqp' | 'kafka' | 'rabbitmq-stream'

/** How the frames of a protocol are told apart. */
interface Framing {
  /** Bytes of a frame up to where its length is known. */
  readonly headBytes: number
  /** Bytes of the whole frame that begins here. */
  size(head: Buffer): number
  /** Looks at what a client sends. Returns the subscription that it ends. Left out: that tells nothing. */
  request?(frame: Buffer): string | undefined
  /** The subscription for which a frame of the server carries messages, or a part of one; `undefined` for all other frames. */
  subscription(frame: Buffer): string | undefined
  /** What goes out in place of a swallowed frame: a server that sends deliveries needs no heartbeats, and the client would miss them. Left out: nothing. */
  readonly substitute?: Buffer
}

const KAFKA_FETCH = 1
const STREAM_DELIVER = 8
const STREAM_UNSUBSCRIBE = 12
const AMQP_METHOD = 1
const AMQP_HEARTBEAT = Buffer.from([8, 0, 0, 0, 0, 0, 0, 0xce])
/** Class `basic` (60), method `deliver` (60). */
const AMQP_DELIVER = 0x003c003c

const FRAMINGS: Readonly<Record<FramedProtocol, () => Framing>> = {
  /** A length, and the id by which an answer finds its request; only the request says what it is about. */
  kafka: () => {
    const fetches = new Set<number>()
    return {
      headBytes: 4,
      size: (head) => 4 + head.readInt32BE(0),
      request: (frame) => {
        if (frame.readInt16BE(4) === KAFKA_FETCH) fetches.add(frame.readInt32BE(8))
        return undefined
      },
      subscription: (frame) => (fetches.delete(frame.readInt32BE(4)) ? 'fetches' : undefined),
    }
  },
  /** A length, what it is, its version; then a subscription's number, behind the request's where there is one. Numbers are used again. */
  'rabbitmq-stream': () => ({
    headBytes: 4,
    size: (head) => 4 + head.readUInt32BE(0),
    request: (frame) => (frame.readUInt16BE(4) === STREAM_UNSUBSCRIBE ? `${frame.readUInt8(12)}` : undefined),
    subscription: (frame) => (frame.readUInt16BE(4) === STREAM_DELIVER ? `${frame.readUInt8(8)}` : undefined),
  }),
  /** Type, channel, length, the content, an end mark. The header and the body of a delivery follow on its channel. */
  amqp: () => {
    const delivering = new Map<number, string>()
    return {
      headBytes: 7,
      substitute: AMQP_HEARTBEAT,
      size: (head) => 8 + head.readUInt32BE(3),
      subscription: (frame) => {
        const channel = frame.readUInt16BE(1)
        if (frame.readUInt8(0) === AMQP_METHOD) {
          delivering.delete(channel)
          if (frame.readUInt32BE(7) === AMQP_DELIVER) {
            const tag = frame.subarray(12, 12 + frame.readUInt8(11)).toString()
            delivering.set(channel, `${channel}/${tag}`)
          }
        }
        return delivering.get(channel)
      },
    }
  },
}

/**
 * Takes the deliveries for some subscriptions out of one connection, and lets everything else pass: answers, heartbeats, confirms. What
 * has not come whole yet is held back until it has.
 */
export class DeliveryFilter {
  /** Bytes of deliveries that were taken out. */
  swallowed = 0
  readonly #framing: Framing
  readonly #rests: Record<Direction, Buffer> = { 'to-server': Buffer.alloc(0), 'to-client': Buffer.alloc(0) }
  /** Subscriptions that have got something. */
  readonly #served = new Set<string>()
  readonly #deaf = new Set<string>()

  constructor(protocol: FramedProtocol) {
    this.#framing = FRAMINGS[protocol]()
  }

  /** The subscriptions that have got something get nothing more. */
  deafen(): void {
    for (const subscription of this.#served) this.#deaf.add(subscription)
  }

  /** Takes what comes and returns what passes. */
  sift(direction: Direction, bytes: Buffer): Buffer {
    if (direction === 'to-client')
      return Buffer.concat(this.#frames(direction, bytes).flatMap((frame) => this.#heard(frame) ?? []))
    if (this.#framing.request !== undefined)
      for (const frame of this.#frames(direction, bytes)) this.#end(this.#framing.request(frame))
    return bytes
  }

  #heard(frame: Buffer): Buffer | undefined {
    const subscription = this.#framing.subscription(frame)
    if (subscription === undefined) return frame
    this.#served.add(subscription)
    if (!this.#deaf.has(subscription)) return frame
    this.swallowed += frame.length
    return this.#framing.substitute
  }

  #end(subscription: string | undefined): void {
    if (subscription === undefined) return
    this.#served.delete(subscription)
    this.#deaf.delete(subscription)
  }

  #frames(direction: Direction, bytes: Buffer): Buffer[] {
    const { headBytes, size } = this.#framing
    const before = this.#rests[direction]
    let rest = before.length === 0 ? bytes : Buffer.concat([before, bytes])
    const frames: Buffer[] = []
    while (rest.length >= headBytes && rest.length >= size(rest)) {
      frames.push(rest.subarray(0, size(rest)))
      rest = rest.subarray(size(rest))
    }
    this.#rests[direction] = rest
    return frames
  }
}
