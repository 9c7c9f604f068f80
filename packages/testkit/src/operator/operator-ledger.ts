import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type AdapterDefinition,
  type ConsumerLoop,
  type DeadLetterBox,
  deadLetterTopic,
  type Logger,
  type SendReceipt,
  Transport,
  type TransportOptions,
} from '@streamswitch/core'
import type { BrokerHandle } from '../brokers/index.js'
import type { Operator } from './operator.js'

const PARTITIONS = 2
const KEYS = 8
/** A member that leaves starts no handler beyond these: a backlog stays behind, however busy the machine is. */
const HANDLED_BEFORE_LEAVING = 5
const HANDLER_MS = 5
/** Members that leave in good order with a backlog, one after the other, before the last one handles the rest. */
const LEAVING = 6
/** Between ten sends and the next ten: a backlog builds up, or sends go on for longer than what the operator does. */
const PAUSE_MS = 50
const DISTURBED_PAUSE_MS = 500
/** A ledger that has not changed for so long doesn't change any more. */
const QUIET_MS = 15_000
const POLL_MS = 100

/** The broker and the adapter that a ledger is kept for. */
export interface OperatorCase {
  readonly adapter: AdapterDefinition
  readonly url: string
  readonly broker: BrokerHandle
  readonly operator: Operator
  /** Options of the transports. */
  readonly options?: TransportOptions
}

/** What became of the messages of one case. */
export interface OperatorLedger {
  readonly sent: number
  readonly confirmed: number
  /** Sends that were rejected; what became of those messages is open. */
  readonly refused: number
  readonly handled: number
  /** Dead letters of the group, messages that its loops reported as dead letters, and those in a range that was reported as gone. */
  readonly reported: number
  /** Confirmed, neither handled nor reported. */
  readonly lost: readonly string[]
  /** What of the operator's doing was not in force, and what ended the loops. */
  readonly problems: readonly string[]
  /** The codes of refused sends, each once. */
  readonly refusals: readonly string[]
}

/** A topic under an operator: its sends and everything that is known of them. */
class Account {
  readonly topic = `operator-${randomBytes(6).toString('hex')}`
  readonly group = 'ledger'
  readonly confirmed = new Set<string>()
  readonly refused = new Map<string, string>()
  readonly handled = new Set<string>()
  readonly reported = new Set<string>()
  readonly problems: string[] = []
  /** Messages in ranges that were reported as gone, where receipts don't say which ones these are (streams). */
  #skipped = 0
  /** Where messages are, by the receipts of their sends. */
  readonly #places = new Map<string, { readonly partition: number; readonly offset: string }>()
  readonly #case: OperatorCase
  readonly #transports: Transport[] = []

  constructor(one: OperatorCase) {
    this.#case = one
  }

  transport(): Transport {
    const { adapter, url, options } = this.#case
    const transport = new Transport(adapter, url, { environment: {}, logger: QUIET, ...options })
    this.#transports.push(transport)
    return transport
  }

  /** A loop that pauses once it has handled `limit` messages. */
  member(limit: number): Member {
    const transport = this.transport()
    const loop = transport.consumer(this.topic, {
      group: this.group,
      partitions: PARTITIONS,
      concurrency: 4,
      retry: { attempts: 3, minDelayMs: 5, maxDelayMs: 50 },
    })
    loop.on('deadLetter', ({ id }) => this.reported.add(id))
    loop.on('dropped', ({ id }) => this.reported.add(id))
    loop.on('error', (error) => this.#noteSkip(error.message))
    let handled = 0
    loop.handle(async ({ id }) => {
      await delay(HANDLER_MS)
      this.handled.add(id)
      handled += 1
      if (handled === limit) loop.pause()
    })
    return { transport, loop, ended: undefined }
  }

  /** Starts a member again and again until one has joined: the operator may keep it out for a while. */
  async join(limit = Number.POSITIVE_INFINITY): Promise<Member> {
    const deadline = performance.now() + QUIET_MS
    for (;;) {
      const member = this.member(limit)
      try {
        await member.loop.init()
        member.loop.run().catch((error: unknown) => {
          member.ended = error
        })
        return member
      } catch (error) {
        await member.transport.close({ timeoutMs: 0 }).catch(() => undefined)
        if (performance.now() > deadline) throw error
        await delay(POLL_MS)
      }
    }
  }

  async list(box: DeadLetterBox): Promise<void> {
    let cursor: string | undefined
    do {
      const page = await box.list(cursor === undefined ? {} : { cursor })
      for (const { id } of page.letters) this.reported.add(id)
      cursor = page.cursor
    } while (cursor !== undefined)
  }

  /** A range of a partition that a loop reports as no longer there. */
  #noteSkip(text: string): void {
    const [, partition, first, offset] =
      /partition (\d+) of '[^']*' holds offsets (\d+) to \d+, and offset (\d+) is outside.*\(outOfRange\)/.exec(text) ??
      []
    if (partition === undefined || first === undefined || offset === undefined) return
    if (this.#places.size === 0) this.#skipped += Number(first) - Number(offset)
    for (const [id, place] of this.#places)
      if (
        place.partition === Number(partition) &&
        BigInt(place.offset) >= BigInt(offset) &&
        BigInt(place.offset) < BigInt(first)
      )
        this.reported.add(id)
  }

  confirm(id: string, { partition, offset }: SendReceipt): void {
    this.confirmed.add(id)
    if (partition !== undefined && offset !== undefined && /^\d+$/.test(offset))
      this.#places.set(id, { partition, offset })
  }

  missing(): string[] {
    return [...this.confirmed].filter((id) => !this.handled.has(id) && !this.reported.has(id)).slice(this.#skipped)
  }

  get reportedCount(): number {
    return this.reported.size + this.#skipped
  }

  /** What the ledger left on the broker would stand in the way of cases that follow. */
  async deleteTopics(): Promise<void> {
    const transport = this.transport()
    for (const topic of [this.topic, deadLetterTopic(this.topic, this.group)])
      await transport.admin.deleteTopic(transport.topicSpec(topic))
  }

  async close(): Promise<void> {
    await Promise.all(this.#transports.map((transport) => transport.close({ timeoutMs: 5000 }).catch(() => undefined)))
  }
}

interface Member {
  readonly transport: Transport
  readonly loop: ConsumerLoop
  ended: unknown
}

const QUIET: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/**
 * Sends messages while members come and go and the operator does what it does, and accounts for each: a confirmed message must have been
 * handled or be among the dead letters in the end. Rejects when nobody can join or the broker's management can't be asked.
 */
export async function keepOperatorLedger(one: OperatorCase): Promise<OperatorLedger> {
  const account = new Account(one)
  try {
    const { messages = 120, bytes = 100, idleMs = 0 } = one.operator.load ?? {}
    let member = await account.join(HANDLED_BEFORE_LEAVING)
    const pauseMs = one.operator.disturb === undefined ? PAUSE_MS : DISTURBED_PAUSE_MS
    const sends = sendAll(account, messages, bytes, pauseMs)
    await untilMoved(account, HANDLED_BEFORE_LEAVING)
    account.problems.push(...(await one.operator.notInForce(one.broker, account.topic)))
    const disturbed = one.operator.disturb?.(one.broker)
    for (let left = 0; left < LEAVING; left += 1) {
      await leave(account, member)
      if (left === LEAVING - 1) await delay(idleMs)
      member = await account.join(left === LEAVING - 1 ? undefined : HANDLED_BEFORE_LEAVING)
      await untilMoved(account, HANDLED_BEFORE_LEAVING)
    }
    await disturbed
    await sends
    member = await finish(account, member)
    await leave(account, member)
    await account.deleteTopics()
    return {
      sent: messages,
      confirmed: account.confirmed.size,
      refused: account.refused.size,
      handled: account.handled.size,
      reported: account.reportedCount,
      lost: account.missing(),
      problems: account.problems,
      refusals: [...new Set(account.refused.values())],
    }
  } finally {
    await account.close()
  }
}

async function sendAll(account: Account, messages: number, bytes: number, pauseMs: number): Promise<void> {
  const producer = account.transport().producer(account.topic, { partitions: PARTITIONS, sendTimeoutMs: 10_000 })
  const filler = 'x'.repeat(bytes)
  const outcomes: Promise<void>[] = []
  for (let index = 0; index < messages; index += 1) {
    const id = `message-${index}`
    outcomes.push(
      producer.send({ index, filler }, { id, key: `key-${index % KEYS}` }).then(
        (receipt) => account.confirm(id, receipt),
        (error: unknown) => void account.refused.set(id, codeOf(error)),
      ),
    )
    if (index % 10 === 9) await delay(pauseMs)
  }
  await Promise.all(outcomes)
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}

/** Waits until the group has handled some more, or nothing has moved for a moment: an operator may stop all for longer. */
async function untilMoved(account: Account, more: number): Promise<void> {
  const wanted = account.handled.size + more
  const deadline = performance.now() + 3000
  while (account.handled.size < wanted && performance.now() < deadline) await delay(POLL_MS)
}

async function leave(account: Account, member: Member): Promise<void> {
  await member.loop.close().catch((error: unknown) => account.problems.push(`close: ${String(error)}`))
  if (member.ended !== undefined) account.problems.push(`a loop ended: ${String(member.ended)}`)
  await member.transport.close()
}

/** Waits until every confirmed message is accounted for, or nothing has changed for long. */
async function finish(account: Account, last: Member): Promise<Member> {
  let member = last
  let changed = performance.now()
  let size = -1
  const box = account.transport().deadLetters(account.topic, { group: account.group })
  while (account.missing().length > 0 && performance.now() - changed < QUIET_MS) {
    if (member.ended !== undefined) {
      await leave(account, member)
      member = await account.join()
    }
    await delay(500)
    if (performance.now() - changed > 2000) await account.list(box).catch(() => undefined)
    if (account.handled.size + account.reported.size !== size) {
      size = account.handled.size + account.reported.size
      changed = performance.now()
    }
  }
  return member
}
