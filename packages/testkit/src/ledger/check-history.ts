/** One message as its sender knows it. The list of them is in the order of the calls of `send`. */
export interface SentMessage {
  readonly id: string
  /** `undefined`: without order, its own key. */
  readonly key: string | undefined
  /** `true`: `send` resolved. `false`: it rejected, the message may be there all the same. `undefined`: no outcome yet. */
  readonly confirmed: boolean | undefined
  /** It was sent more than once, by its caller or by the producer: the transport may have stored it more than once. Default false. */
  readonly resent?: boolean
}

/** One start of a handler. The list of them is in the order of the starts. */
export interface HandledMessage {
  readonly id: string
  readonly key: string | undefined
  readonly outcome: 'running' | 'succeeded' | 'failed'
  /** Numbers that rise with time, the same clock for all members. */
  readonly startedAt: number
  readonly endedAt: number | undefined
  /** The message left its member's hands (its signal was aborted) before the handler ended. */
  readonly abandoned: boolean
  /** Where the record is stored that the message came from. Left out where that isn't known. */
  readonly record?: string | undefined
  /** The transport has taken the ack of this very handling. Left out where that isn't known. */
  readonly settled?: boolean
}

/** What was wrong with a history, as message ids; empty lists where nothing was. */
export interface HistoryVerdict {
  /** Confirmed, and no handler ever succeeded with it. */
  readonly lost: readonly string[]
  /** Handled, and never sent; or handled under another key than it was sent with. */
  readonly phantom: readonly string[]
  /** More than one handler succeeded with it: each superfluous success counts. */
  readonly duplicated: readonly string[]
  /** Its first success came after that of a message that was sent later with the same key. */
  readonly reordered: readonly string[]
  /** Its handler started while another one of its key was at work, and both had their message in their members' hands to the end. */
  readonly overlapping: readonly string[]
  /**
   * Its handler started while another one of its key was at work, and the message of one of the two had left its member's hands: that one
   * began before its member learned of it and ended after, whichever began first. No breach of order.
   */
  readonly zombies: readonly string[]
  /** The transport took the acks of two handlings of it: the second one was not fenced. Each superfluous one counts. */
  readonly settledTwice: readonly string[]
  /** How often a key's handling went back to an earlier message after a success: each is a redelivery. */
  readonly restarts: number
}

/** The verdict on a history in which everything was handled once, in order and one at a time. */
export const NOTHING_WRONG: HistoryVerdict = {
  lost: [],
  phantom: [],
  duplicated: [],
  reordered: [],
  overlapping: [],
  zombies: [],
  settledTwice: [],
  restarts: 0,
}

/**
 * Judges the history of one group on one topic, per key: the first successful handlings of a key's messages must be in the order
 * of sending. A redelivered run restarts at an earlier message and goes on in order, so later successes of a message that has
 * succeeded before are duplicates, never reorders.
 *
 * @param gone - ids that need not be handled: dead-lettered or deliberately left unhandled.
 */
export function checkHistory(
  sent: readonly SentMessage[],
  handled: readonly HandledMessage[],
  gone: ReadonlySet<string> = new Set(),
): HistoryVerdict {
  const positions = new Map(sent.map((message, position) => [message.id, { position, key: message.key }]))
  const isKnown = (one: HandledMessage): boolean => {
    const known = positions.get(one.id)
    return known !== undefined && known.key === one.key
  }
  const successes = byEnd(handled).filter((one) => one.outcome === 'succeeded' && isKnown(one))
  const succeeded = new Set(successes.map((one) => one.id))
  const missing = sent.filter(({ id, confirmed }) => confirmed === true && !succeeded.has(id) && !gone.has(id))
  return {
    lost: missing.map((message) => message.id),
    phantom: handled.filter((one) => !isKnown(one)).map((one) => one.id),
    ...judgeOrder(successes, (id) => positions.get(id)?.position ?? -1),
    ...judgeOverlaps(handled),
    settledTwice: judgeSettlements(handled, new Set(sent.filter(storedOnce).map(({ id }) => id))),
  }
}

/** Goes through the successes in the order in which they took effect. */
function judgeOrder(
  successes: readonly HandledMessage[],
  positionOf: (id: string) => number,
): Pick<HistoryVerdict, 'duplicated' | 'reordered' | 'restarts'> {
  const duplicated: string[] = []
  const reordered: string[] = []
  const seen = new Set<string>()
  /** Per key: the position of the latest message whose first success was seen, and of the one handled last. */
  const furthest = new Map<string, number>()
  const latest = new Map<string, number>()
  let restarts = 0
  for (const { id, key } of successes) {
    const position = positionOf(id)
    const isFirst = !seen.has(id)
    seen.add(id)
    if (!isFirst) duplicated.push(id)
    if (key === undefined) continue
    if (position < (latest.get(key) ?? -1)) restarts += 1
    latest.set(key, position)
    if (!isFirst) continue
    if (position < (furthest.get(key) ?? -1)) reordered.push(id)
    else furthest.set(key, position)
  }
  return { duplicated, reordered, restarts }
}

/** For certain: what has no confirmation may have been resent before its sender died. */
function storedOnce({ confirmed, resent }: SentMessage): boolean {
  return confirmed === true && resent !== true
}

/**
 * A message that a resend has stored twice is settled once for each record, and so it should be. Where records aren't known, only
 * messages that were stored once can be judged.
 */
function judgeSettlements(handled: readonly HandledMessage[], single: ReadonlySet<string>): string[] {
  const seen = new Set<string>()
  return handled.flatMap(({ id, record, settled }) => {
    if (settled !== true || (record === undefined && !single.has(id))) return []
    const settlement = JSON.stringify([id, record])
    if (seen.has(settlement)) return [id]
    seen.add(settlement)
    return []
  })
}

/** In the order of success: that is when a handling takes effect. What still runs comes last. */
function byEnd(handled: readonly HandledMessage[]): HandledMessage[] {
  const end = (one: HandledMessage): number => one.endedAt ?? Number.MAX_SAFE_INTEGER
  return [...handled].sort((left, right) => end(left) - end(right) || left.startedAt - right.startedAt)
}

function judgeOverlaps(handled: readonly HandledMessage[]): Pick<HistoryVerdict, 'overlapping' | 'zombies'> {
  const overlapping: string[] = []
  const zombies: string[] = []
  const running = new Map<string, HandledMessage[]>()
  for (const handling of [...handled].sort((left, right) => left.startedAt - right.startedAt)) {
    if (handling.key === undefined) continue
    const before = (running.get(handling.key) ?? []).filter(
      (one) => (one.endedAt ?? Number.MAX_SAFE_INTEGER) > handling.startedAt,
    )
    if (!handling.abandoned && before.some((one) => !one.abandoned)) overlapping.push(handling.id)
    else if (before.length > 0) zombies.push(handling.id)
    running.set(handling.key, [...before, handling])
  }
  return { overlapping, zombies }
}
