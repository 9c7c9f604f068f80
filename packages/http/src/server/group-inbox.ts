import { arrivedId, ROUTING_HEADERS } from '@streamswitch/core/driver'
import { hashText, rendezvous } from '../client/rendezvous.js'
import { attemptFor, type InboundRecord } from '../message.js'
import { type Outcome, problems } from '../wire/problem.js'
import type { HttpDestination } from './authorization.js'
import { Recent } from './recent.js'

/** Messages per group whose outcome is remembered at least, the latest: of failed ones and of accepted ones. */
const REMEMBERED = 10_000

export type Answer = (outcome: Outcome) => void

/** One record being handled in one group: passed to a member, and answered once, to all requests that wait for it. */
export class Entry {
  readonly record: InboundRecord
  readonly member: GroupMember
  readonly #inbox: GroupInbox
  readonly #answer: Answer
  /** Of those who have sent it again meanwhile. */
  #others: Answer[] | undefined
  #settled = false

  constructor(record: InboundRecord, member: GroupMember, inbox: GroupInbox, answer: Answer) {
    this.record = record
    this.member = member
    this.#inbox = inbox
    this.#answer = answer
  }

  /** The same message was received again while it is being handled: it waits for the same outcome. */
  join(answer: Answer): void {
    this.#others ??= []
    this.#others.push(answer)
  }

  settle(outcome: Outcome): void {
    if (this.#settled) return
    this.#settled = true
    this.#inbox.settled(this, outcome)
    this.#answer(outcome)
    for (const answer of this.#others ?? []) answer(outcome)
  }
}

/** A loop, as a group sees it. */
export interface GroupMember {
  readonly hash: number
  readonly ordering: 'key' | 'none'
  /** False while it stops. */
  readonly open: boolean
  readonly takesGet: boolean
  /** Takes requests that browsers send for any page. */
  readonly takesBrowsers: boolean
  /** What topic and group are called by the loop. */
  readonly destination: HttpDestination
  /** Takes the entry and settles it at some time. */
  take(entry: Entry): void
}

/** The loops of one group of a topic in this process, and the messages they are handling. */
export class GroupInbox {
  readonly group: string
  readonly topic: string
  readonly #members: GroupMember[] = []
  readonly #byId = new Map<string, Entry>()
  /** Keys with running messages: meanwhile their messages go to the same member, whatever members join. */
  readonly #byKey = new Map<string, { readonly member: GroupMember; count: number }>()
  /** Accepted messages: a sender that never got the answer, and sends again, gets it without another handling. */
  readonly #accepted = new Recent<number>(REMEMBERED)
  /** Handler starts of messages that failed, for senders that repeat without counting. */
  readonly #starts = new Recent<number>(REMEMBERED)
  #turn = 0
  /** Number of messages that were passed to a member and have no outcome yet. */
  messages = 0
  unsettled = 0
  /** Whether any message was accepted. */
  hasAccepted = false

  constructor(topic: string, group: string) {
    this.topic = topic
    this.group = group
  }

  get members(): readonly GroupMember[] {
    return this.#members
  }

  /** Whether messages of a key are handled one after the other. */
  get ordered(): boolean {
    return this.#members.some((member) => member.ordering === 'key')
  }

  add(member: GroupMember): void {
    this.#members.push(member)
  }

  remove(member: GroupMember): void {
    const index = this.#members.indexOf(member)
    if (index >= 0) this.#members.splice(index, 1)
  }

  /** Hands a record to a member. `answer` is called once; perhaps before this returns. */
  submit(record: InboundRecord, answer: Answer): void {
    // A first sending is a message of its own, whatever its id; a resend, or a foreign sender's repetition, is the same one.
    const id = identityOf(record)
    if (id !== undefined && record.resend !== 0) {
      const atWork = this.#byId.get(id)
      if (atWork !== undefined && isSame(record, atWork.record.timestamp)) return atWork.join(answer)
      const acceptedAt = this.#accepted.get(id)
      if (acceptedAt !== undefined && isSame(record, acceptedAt)) return answer('accepted')
    }
    const member = this.#choose(record)
    if (member === undefined || !member.open) return answer(problems.closing())
    this.messages += 1
    this.unsettled += 1
    const entry = new Entry(this.#withStarts(record), member, this, answer)
    this.#track(entry)
    member.take(entry)
  }

  /** @internal By the entry. */
  settled(entry: Entry, outcome: Outcome): void {
    this.unsettled -= 1
    this.hasAccepted ||= outcome === 'accepted'
    const { key } = entry.record
    const id = identityOf(entry.record)
    if (id !== undefined && this.#byId.get(id) === entry) this.#byId.delete(id)
    if (id !== undefined) this.#remember(id, entry.record.timestamp, outcome)
    const atWork = key === undefined ? undefined : this.#byKey.get(key)
    if (key === undefined || atWork === undefined) return
    atWork.count -= 1
    if (atWork.count === 0) this.#byKey.delete(key)
  }

  #withStarts(record: InboundRecord): InboundRecord {
    const id = identityOf(record)
    const starts = id === undefined ? undefined : this.#starts.get(id)
    if (starts === undefined || attemptFor(record.attempt, this.group) > starts) return record
    return { ...record, attempt: starts + 1 }
  }

  #remember(id: string, timestamp: number, outcome: Outcome): void {
    this.#starts.delete(id)
    if (outcome === 'accepted') this.#accepted.set(id, timestamp)
    else if (outcome.retryable && outcome.attempt !== undefined) this.#starts.set(id, outcome.attempt)
  }

  #track(entry: Entry): void {
    const { key } = entry.record
    const id = identityOf(entry.record)
    if (id !== undefined && !this.#byId.has(id)) this.#byId.set(id, entry)
    if (key === undefined) return
    const atWork = this.#byKey.get(key)
    if (atWork === undefined) this.#byKey.set(key, { member: entry.member, count: 1 })
    else atWork.count += 1
  }

  #choose({ key }: InboundRecord): GroupMember | undefined {
    const atWork = key === undefined ? undefined : this.#byKey.get(key)
    if (atWork !== undefined) return atWork.member
    if (this.#members.length === 1) return this.#members[0]
    const open = this.#members.filter((member) => member.open)
    if (open.length < 2) return open[0]
    this.#turn += 1
    return key === undefined ? open[this.#turn % open.length] : rendezvous(hashText(key), open)
  }
}

/**
 * Identifies messages, so that a sender can't use up another sender's ids. A message replayed from dead letters has
 * been accepted before under its id, and is a different one now.
 */
function identityOf({ id, headers, sender }: InboundRecord): string | undefined {
  if (id === undefined) return undefined
  const replayed = headers[ROUTING_HEADERS.replayed]
  // Bounded like the id: it is remembered with it.
  const own = replayed === undefined ? id : `${id}\n${arrivedId(replayed)}`
  return sender === undefined ? own : `${own}\n${sender}`
}

/**
 * Whether a repetition is of the message with this timestamp. Ours keeps its timestamp in each resend, which
 * distinguishes it from an earlier message with the same id; a foreign sender only has the id.
 */
function isSame(record: InboundRecord, timestamp: number): boolean {
  return record.resend === undefined || record.timestamp === timestamp
}
