import { everyInStep, type Logger } from '@streamswitch/core/driver'
import type { Channel } from 'amqplib'
import type { AmqpConnection } from './connection.js'
import type { ControlChannel } from './control-channel.js'
import { classifyError } from './errors.js'
import type { GroupNames } from './names.js'
import { type Notice, parseNotice, writeNotice } from './notice.js'

/** Number of its own intervals after which a silent member counts as gone. */
const SILENT_INTERVALS = 4
/**
 * A member that knows no other announces itself less often, once in so many intervals: a new member sends it a greeting, and
 * gets an immediate answer.
 */
const ALONE_INTERVALS = 10
/** Maximum wait for the other members to announce themselves, in milliseconds. */
const GREETING_MS = 500

interface Peer {
  lastSeen: number
  everyMs: number
  /** Its consumers are registered: it can take over. */
  ready: boolean
  readonly owns: Set<number>
  /** Partitions that the broker gave to this member since the peer last spoke. */
  readonly passed: Set<number>
}

/** What a membership asks of the member it belongs to. */
interface MemberState {
  readonly instance: string
  /** Its consumers are registered with the broker. */
  ready(): boolean
  /** Partitions that it holds. */
  owns(): readonly number[]
  /** Unacked deliveries by partition. */
  unacked(): Readonly<Record<number, number>>
  /** Members came, went, or hold something else than before. */
  changed(): void
}

export interface MembershipSettings {
  readonly names: GroupNames
  readonly connection: AmqpConnection
  readonly control: ControlChannel
  readonly intervalMs: number
  readonly prefetch: number
  readonly member: MemberState
  readonly logger: Logger
  /** The member can't hear the others any more. */
  readonly deaf: (error: unknown) => void
}

/**
 * Tracks the other members of the group. The broker picks one active consumer per queue and doesn't report it; so the
 * members announce themselves and what they hold, and each computes from that which member should have which partition.
 */
export class Membership {
  readonly #settings: MembershipSettings
  readonly #peers = new Map<string, Peer>()
  #endTicks: () => void = () => {}
  /** Intervals since this member spoke. */
  #silent = 0
  #greeted: (() => void) | undefined
  #joined = false
  #announcing = false
  #closed = false
  #channel: Channel | undefined

  constructor(settings: MembershipSettings) {
    this.#settings = settings
  }

  /** Starts to listen, introduces this member, and waits a moment for the others' answers where there may be any. */
  async join(others: boolean): Promise<void> {
    const { connection, names, member, intervalMs } = this.#settings
    const channel = await connection.openChannel((error, connectionGone) => {
      if (!this.#closed && !connectionGone && this.#joined) this.#settings.deaf(error)
    })
    this.#channel = channel
    const queue = names.memberQueue(member.instance)
    await connection.call(
      'join the group',
      listenOn(channel, queue, names.members, (body) => this.#hear(parseNotice(body))),
    )
    this.#joined = true
    const answers = others ? this.#greetings() : undefined
    await this.#say('hello')
    await answers
    this.#endTicks = everyInStep(intervalMs, () => this.#tick(), true)
  }

  /** Tells the others what has changed here, once for all that does in this turn of the event loop. */
  announce(): void {
    if (this.#announcing) return
    this.#announcing = true
    setImmediate(() => {
      this.#announcing = false
      if (!this.#closed) void this.#say('here')
    })
  }

  /** Members besides this one. */
  get peers(): readonly string[] {
    return [...this.#peers.keys()]
  }

  /** Who should share the partitions: this member, and the others that can take over. */
  get sharers(): readonly string[] {
    return [
      this.#settings.member.instance,
      ...[...this.#peers].filter(([, peer]) => peer.ready).map(([instance]) => instance),
    ]
  }

  /** Whether another member says that it holds the partition. */
  isHeld(partition: number): boolean {
    for (const peer of this.#peers.values()) if (peer.owns.has(partition)) return true
    return false
  }

  /** Whether that member, as far as is known, would take the partition if it could. */
  takes(instance: string, partition: number): boolean {
    const peer = this.#peers.get(instance)
    return peer !== undefined && !peer.passed.has(partition)
  }

  /**
   * The broker gave the partition to this member, so no other member holds or takes it, unless that one announces it
   * again.
   */
  passedOver(partition: number): void {
    for (const peer of this.#peers.values()) {
      peer.passed.add(partition)
      peer.owns.delete(partition)
    }
  }

  /** Says goodbye. Never rejects. */
  async leave(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#endTicks()
    this.#greeted?.()
    await this.#say('bye')
  }

  /** Forgets everything without a word. */
  drop(): void {
    this.#closed = true
    this.#endTicks()
    this.#greeted?.()
  }

  /** Ends without a word and lets the connection live: the topic is gone. Never rejects. */
  async end(): Promise<void> {
    this.drop()
    const { connection } = this.#settings
    if (this.#channel !== undefined && !connection.gone)
      await connection.call('close a channel', this.#channel.close()).catch(() => {})
  }

  #greetings(): Promise<void> {
    return new Promise((resolve) => {
      let timer = setTimeout(resolve, GREETING_MS)
      this.#greeted = () => {
        // After the first answer the others' are not far.
        clearTimeout(timer)
        timer = setTimeout(resolve, GREETING_MS / 5)
      }
    })
  }

  #hear(notice: Notice | undefined): void {
    const { member } = this.#settings
    if (notice === undefined || notice.instance === member.instance || this.#closed) return
    if (notice.type === 'bye') {
      if (this.#peers.delete(notice.instance)) member.changed()
      return
    }
    if (notice.type === 'ask') return void this.#answer(notice.instance)
    if (notice.type !== 'hello' && notice.type !== 'here') return
    const peer = this.#peers.get(notice.instance)
    const known = peer !== undefined
    if (peer !== undefined && notice.type === 'here' && saysTheSame(notice, peer)) {
      peer.lastSeen = performance.now()
      return
    }
    if (!known) this.#compare(notice)
    this.#peers.set(notice.instance, {
      lastSeen: performance.now(),
      everyMs: notice.everyMs,
      ready: notice.ready,
      owns: new Set(notice.owns),
      passed: new Set(),
    })
    if (notice.type === 'hello' || !known) this.announce()
    this.#greeted?.()
    member.changed()
  }

  /** What a killed member held must fit into the next one's hands at once: a queue that gets back more in two parts mixes them up. */
  #compare({ instance, prefetch }: Notice): void {
    const { logger, prefetch: mine, names } = this.#settings
    if (prefetch === undefined || prefetch === mine) return
    logger.warn(
      `${names.members}: ${instance} has a prefetch of ${prefetch}, this member one of ${mine}: with different values, the order of keys is not guaranteed when members are killed shortly after each other`,
    )
  }

  #answer(asker: string): Promise<void> {
    return this.#publish({ ...this.#notice('count'), to: asker, unacked: this.#settings.member.unacked() })
  }

  #tick(): void {
    this.#silent += 1
    if (this.#peers.size > 0 || this.#silent >= ALONE_INTERVALS) void this.#say('here')
    // Members can't announce themselves while the broker blocks publishers: silence means nothing then.
    if (this.#settings.control.connection?.blocked === true) {
      for (const peer of this.#peers.values()) peer.lastSeen = performance.now()
      return
    }
    const others = this.#peers.size > 0
    for (const [instance, peer] of this.#peers) {
      if (performance.now() - peer.lastSeen < SILENT_INTERVALS * Math.max(peer.everyMs, this.#settings.intervalMs))
        continue
      this.#peers.delete(instance)
    }
    // Also where nobody has gone: what could not be done at once is tried again.
    if (others) this.#settings.member.changed()
  }

  #say(type: 'hello' | 'here' | 'bye'): Promise<void> {
    this.#silent = 0
    return this.#publish(this.#notice(type))
  }

  #notice(type: Notice['type']): Notice {
    const { member, intervalMs, prefetch } = this.#settings
    return {
      prefetch,
      type,
      instance: member.instance,
      everyMs: intervalMs,
      ready: member.ready(),
      owns: [...member.owns()],
    }
  }

  async #publish(notice: Notice): Promise<void> {
    try {
      await this.#settings.control.publish(this.#settings.names.members, '', writeNotice(notice), { persistent: false })
    } catch (error) {
      if (!this.#closed)
        this.#settings.logger.debug(
          `the group's members could not be notified: ${classifyError(error, 'announce').message}`,
        )
    }
  }
}

/** Whether a member that is known says nothing new. */
function saysTheSame(notice: Notice, { everyMs, ready, owns, passed }: Peer): boolean {
  if (passed.size > 0 || notice.ready !== ready || notice.everyMs !== everyMs) return false
  return notice.owns.length === owns.size && notice.owns.every((partition) => owns.has(partition))
}

/** Hears everything that members of a group say. */
export async function listenOn(
  channel: Channel,
  queue: string,
  exchange: string,
  hear: (body: Buffer) => void,
): Promise<void> {
  await channel.assertQueue(queue, {
    exclusive: true,
    autoDelete: true,
    durable: false,
    arguments: { 'x-queue-type': 'classic' },
  })
  await channel.bindQueue(queue, exchange, '')
  await channel.consume(queue, (message) => (message === null ? undefined : hear(message.content)), { noAck: true })
}
