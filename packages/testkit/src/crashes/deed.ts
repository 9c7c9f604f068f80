/** What a message does to whoever handles it: the value of a case's messages. */
export interface Deed {
  /** How long it runs first, in milliseconds. Default 0: it acts in the turn of the event loop that started it. */
  readonly ms?: number
  /** By attempt, the last one for all further attempts. Left out: it is healthy. */
  readonly acts?: readonly Act[]
  /** How long `block` blocks the event loop, in milliseconds. */
  readonly blockMs?: number
}

/**
 * - `succeed`: nothing else.
 * - `fail`: throws.
 * - `kill`: the process kills itself with SIGKILL.
 * - `exit`: `process.exit`, with others running.
 * - `block`: the event loop is blocked for `blockMs`, then the handler returns.
 */
export type Act = 'succeed' | 'fail' | 'kill' | 'exit' | 'block'

/** A message of a case. */
export interface CaseMessage {
  readonly id: string
  readonly deed: Deed
}

/** Messages that only take their time. */
export function healthy(count: number, ms: number, name = 'healthy'): CaseMessage[] {
  return Array.from({ length: count }, (_, index) => ({ id: `${name}-${index}`, deed: { ms } }))
}

/** Mixes two lists evenly, each in its order. */
export function mixed(many: readonly CaseMessage[], few: readonly CaseMessage[]): CaseMessage[] {
  const every = Math.max(1, Math.ceil(many.length / Math.max(1, few.length)))
  const rest = [...few]
  const all = many.flatMap((message, index) => {
    const next = index % every === every - 1 ? rest.shift() : undefined
    return next === undefined ? [message] : [message, next]
  })
  return [...all, ...rest]
}
