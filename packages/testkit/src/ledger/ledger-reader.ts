import { closeSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { checkHistory, type HandledMessage, type HistoryVerdict, type SentMessage } from './check-history.js'
import type { LedgerLine, ProcessEvent } from './ledger-lines.js'

/** Longest time in which a process that was frozen is told what it has lost, in microseconds: heartbeats are due at once. */
const LEARNS_WITHIN = 1_000_000

/**
 * How long before a lost connection (or a kill) an ack that nobody answers may have been written without arriving, in microseconds: a
 * silent connection is found out late.
 */
const ACK_UNDER_WAY = 10_000_000

/** A message as its senders know it, over all their lives. */
export interface LedgerSend extends SentMessage {
  confirmed: boolean | undefined
  resent: boolean
  /** How often a caller sent it: more than once where a restarted process sends what it has no confirmation of. */
  calls: number
  /** Of the first call, in microseconds. */
  readonly sentAt: number
  confirmedAt: number | undefined
}

/** One start of a handler. */
export interface LedgerHandling extends HandledMessage {
  readonly process: string
  readonly life: number
  readonly attempt: number
  endedAt: number | undefined
  outcome: HandledMessage['outcome']
  abandoned: boolean
  settled: boolean
  settledAt: number | undefined
  /** The error code of an ack that the transport did not take. */
  unsettledCode: string | undefined
}

/** What a whole ledger says. */
export interface LedgerVerdict extends HistoryVerdict {
  /** Lines that can't be read: the last words of killed processes, one per kill at most. */
  readonly torn: readonly string[]
}

/** What happened to a process as a whole. */
export type ProcessLine = Extract<LedgerLine, { readonly did: ProcessEvent }>

/** Puts the files of a ledger together: all processes on one clock. Reads what was appended since the last time. */
export class LedgerReader {
  readonly folder: string
  readonly #files = new Map<string, { offset: number; rest: string }>()
  readonly #sends = new Map<string, LedgerSend>()
  readonly #handlings = new Map<string, LedgerHandling>()
  readonly #processLines: ProcessLine[] = []
  readonly #unreadable: string[] = []
  /** Distinct messages that a handler has succeeded with. */
  readonly #done = new Set<string>()
  /** Codes of sends that were refused, by id: the last one of each. */
  readonly refusals = new Map<string, string>()
  #confirmed = 0
  #deduplicated = 0

  constructor(folder: string) {
    this.folder = folder
  }

  /** Reads what is new. */
  refresh(): this {
    for (const name of readdirSync(this.folder)) if (name.endsWith('.jsonl')) this.#readFile(name)
    return this
  }

  /** In the order of the calls of `send`. */
  get sends(): readonly LedgerSend[] {
    return [...this.#sends.values()].sort((left, right) => left.sentAt - right.sentAt)
  }

  /** In the order of the starts, those of killed and frozen processes marked as what they are. */
  get handlings(): readonly LedgerHandling[] {
    const all = [...this.#handlings.values()].sort((left, right) => left.startedAt - right.startedAt)
    const processes = this.processes
    for (const line of processes) {
      const theirs = (one: LedgerHandling): boolean => one.process === line.process && one.life === line.life
      if (line.did === 'killed' || line.did === 'reconnecting')
        for (const one of all.filter(theirs)) if (ackMayBeLost(one, line.at)) one.settled = false
      if (line.did === 'killed') {
        for (const one of all.filter((one) => theirs(one) && one.outcome === 'running')) {
          one.outcome = 'failed'
          one.endedAt = line.at
        }
      }
      if (line.did !== 'frozen') continue
      const unawareUntil = learningOfLoss(line, processes) ?? line.at
      for (const one of all.filter(theirs))
        if (one.startedAt < unawareUntil && (one.endedAt ?? Number.POSITIVE_INFINITY) > line.at) one.abandoned = true
    }
    return all
  }

  get counts(): { readonly sent: number; readonly confirmed: number; readonly handled: number } {
    return { sent: this.#sends.size, confirmed: this.#confirmed, handled: this.#done.size }
  }

  /** How often a message came that its group had handled, and was recognised. */
  get deduplicated(): number {
    return this.#deduplicated
  }

  /** This message is confirmed, and a handler has succeeded with it. */
  isDone(id: string): boolean {
    return this.#done.has(id) && this.#sends.get(id)?.confirmed === true
  }

  /** Every confirmed message was handled, and every send has its outcome. */
  get complete(): boolean {
    for (const { id, confirmed } of this.#sends.values())
      if (confirmed === undefined || (confirmed && !this.#done.has(id))) return false
    return true
  }

  /** What happened to processes, in the order of time. */
  get processes(): readonly ProcessLine[] {
    return [...this.#processLines].sort((left, right) => left.at - right.at)
  }

  /** Judges everything by {@link checkHistory}. `gone`: ids that need not be handled. */
  verdict(gone: ReadonlySet<string> = new Set()): LedgerVerdict {
    const unfinished = [...this.#files]
      .filter(([, { rest }]) => rest !== '')
      .map(([name, { rest }]) => `${name}: ${rest.slice(0, 80)}`)
    return { ...checkHistory(this.sends, this.handlings, gone), torn: [...this.#unreadable, ...unfinished] }
  }

  #readFile(name: string): void {
    const state = this.#files.get(name) ?? { offset: 0, rest: '' }
    this.#files.set(name, state)
    const added = readFrom(join(this.folder, name), state.offset)
    if (added.length === 0) return
    state.offset += added.length
    // As one character per byte, so that a character whose bytes come in two reads stays whole.
    const lines = (state.rest + added.toString('latin1')).split('\n')
    state.rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line === '') continue
      const parsed = parse(Buffer.from(line, 'latin1').toString('utf8'))
      if (parsed === undefined) this.#unreadable.push(`${name}: ${line.slice(0, 80)}`)
      else this.#take(parsed)
    }
  }

  #take(line: LedgerLine): void {
    switch (line.did) {
      case 'send':
        return this.#sent(line.id, line.key, line.at)
      case 'confirmed':
      case 'refused':
        if (line.did === 'refused') this.refusals.set(line.id, line.code ?? 'unknown')
        return this.#outcome(line, line.did === 'confirmed')
      case 'deduplicated':
        this.#deduplicated += 1
        return
      case 'start':
        this.#handlings.set(handlingKey(line), {
          id: line.id,
          key: line.key,
          process: line.process,
          life: line.life,
          attempt: line.attempt,
          record: line.offset === undefined ? undefined : `${line.partition}/${line.offset}`,
          startedAt: line.at,
          endedAt: undefined,
          outcome: 'running',
          abandoned: false,
          settled: false,
          settledAt: undefined,
          unsettledCode: undefined,
        })
        return
      case 'succeeded':
      case 'failed':
      case 'settled':
      case 'unsettled':
        return this.#handlingGoesOn(line)
      default:
        this.#processLines.push(line)
    }
  }

  #sent(id: string, key: string | undefined, at: number): void {
    const known = this.#sends.get(id)
    if (known === undefined)
      this.#sends.set(id, {
        id,
        key,
        confirmed: undefined,
        resent: false,
        calls: 1,
        sentAt: at,
        confirmedAt: undefined,
      })
    else {
      known.calls += 1
      known.resent = true
    }
  }

  #outcome(line: Extract<LedgerLine, { readonly did: 'confirmed' | 'refused' }>, confirmed: boolean): void {
    const send = this.#sends.get(line.id)
    if (send === undefined) return
    send.resent ||= line.resent === true
    if (send.confirmed === true) return
    send.confirmed = confirmed
    if (!confirmed) return
    send.confirmedAt = line.at
    this.#confirmed += 1
  }

  #handlingGoesOn(line: Extract<LedgerLine, { readonly did: 'succeeded' | 'failed' | 'settled' | 'unsettled' }>): void {
    const handling = this.#handlings.get(handlingKey(line))
    if (handling === undefined) return
    if (line.did === 'settled') {
      handling.settled = true
      handling.settledAt = line.at
    } else if (line.did === 'unsettled') handling.unsettledCode = line.code
    else {
      handling.outcome = line.did
      handling.endedAt = line.at
      handling.abandoned ||= line.abandoned === true
      if (line.did === 'succeeded') this.#done.add(handling.id)
    }
  }
}

/** Where offsets don't last (AMQP), acks have no answer either: they have been written, no more. */
function ackMayBeLost({ record, settledAt }: LedgerHandling, brokenAt: number): boolean {
  return record === undefined && settledAt !== undefined && settledAt < brokenAt && brokenAt < settledAt + ACK_UNDER_WAY
}

/**
 * A process that was frozen past its lease goes on where it was until it is told: when it was told at last, or `undefined` where it
 * had lost nothing.
 */
function learningOfLoss(frozen: ProcessLine, processes: readonly ProcessLine[]): number | undefined {
  const later = processes.filter(
    ({ process, life, at }) => process === frozen.process && life === frozen.life && at > frozen.at,
  )
  const resumed = later.find(({ did }) => did === 'resumed')
  if (resumed === undefined) return undefined
  return later.findLast(
    ({ did, note, at }) =>
      did === 'revoked' && note?.endsWith('lost') && at > resumed.at && at < resumed.at + LEARNS_WITHIN,
  )?.at
}

function handlingKey(line: { readonly process: string; readonly life: number; readonly handling: number }): string {
  return `${line.process} ${line.life} ${line.handling}`
}

function parse(line: string): LedgerLine | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null && 'did' in value && 'at' in value
      ? (value as LedgerLine)
      : undefined
  } catch {
    return undefined
  }
}

function readFrom(path: string, offset: number): Buffer {
  const file = openSync(path, 'r')
  try {
    const pieces: Buffer[] = []
    let at = offset
    for (;;) {
      const piece = Buffer.alloc(256 * 1024)
      const length = readSync(file, piece, 0, piece.length, at)
      if (length === 0) return Buffer.concat(pieces)
      pieces.push(piece.subarray(0, length))
      at += length
    }
  } finally {
    closeSync(file)
  }
}
