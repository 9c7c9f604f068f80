const FORMAT = 1
const TYPES: ReadonlySet<unknown> = new Set(['hello', 'here', 'bye', 'ask', 'count'])

/** What members of a group tell each other. */
export interface Notice {
  /**
   * hello`: a member has joined, and asks for the others. `here`: it is still alive. `bye`: it leaves. `ask`: another
   * process asks for the number of unacked messages. `count`: the answer.
   */
  readonly type: 'hello' | 'here' | 'bye' | 'ask' | 'count'
  /** The sender: a unique name for each connection of each member. */
  readonly instance: string
  /** How often it speaks, in milliseconds. */
  readonly everyMs: number
  /** Whether its consumers are registered. */
  readonly ready: boolean
  /** Partitions that it holds. */
  readonly owns: readonly number[]
  /** How many deliveries it may hold unacked per partition. */
  readonly prefetch?: number
  /** Whom an answer is for. */
  readonly to?: string
  /** Unacked deliveries by partition. */
  readonly unacked?: Readonly<Record<number, number>>
}

export function writeNotice(notice: Notice): Buffer {
  return Buffer.from(JSON.stringify({ format: FORMAT, ...notice }))
}

/** Returns `undefined` for what can't be parsed: a newer version's format, or another client's. */
export function parseNotice(body: Buffer): Notice | undefined {
  let raw: Partial<Record<keyof Notice | 'format', unknown>>
  try {
    raw = JSON.parse(body.toString()) as typeof raw
  } catch {
    return undefined
  }
  if (
    typeof raw !== 'object' ||
    raw === null ||
    raw.format !== FORMAT ||
    !TYPES.has(raw.type) ||
    typeof raw.instance !== 'string'
  )
    return undefined
  return {
    type: raw.type as Notice['type'],
    instance: raw.instance,
    everyMs: typeof raw.everyMs === 'number' ? raw.everyMs : 1_000,
    ready: raw.ready === true,
    owns: Array.isArray(raw.owns)
      ? raw.owns.filter((partition): partition is number => typeof partition === 'number')
      : [],
    ...(typeof raw.prefetch === 'number' ? { prefetch: raw.prefetch } : {}),
    ...(typeof raw.to === 'string' ? { to: raw.to } : {}),
    ...(typeof raw.unacked === 'object' && raw.unacked !== null
      ? { unacked: raw.unacked as Record<number, number> }
      : {}),
  }
}
