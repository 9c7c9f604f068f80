import { type OptionField, option } from '@streamswitch/core/driver'
import { belongsToHttp, isOfConnection } from './header-names.js'

/** Which headers of a request that isn't a sender's of ours become headers of the message. */
export class ForeignHeaders {
  readonly #patterns: readonly string[] | undefined
  readonly #exact: ReadonlySet<string>
  readonly #expression: RegExp | undefined

  /** @param patterns - names in lower case, `*` for any characters; `undefined`: all */
  constructor(patterns?: readonly string[]) {
    this.#patterns = patterns
    this.#exact = new Set(patterns?.filter((pattern) => !pattern.includes('*')))
    this.#expression = patterns === undefined ? undefined : toExpression(patterns)
  }

  /** What HTTP and proxies add, and what may be a credential, is taken only by its whole name; what belongs to one connection never. */
  takes(name: string): boolean {
    if (name === 'content-type') return true
    if (isOfConnection(name)) return false
    if (belongsToHttp(name)) return this.#exact.has(name)
    return this.#expression?.test(name) ?? true
  }

  /** For comparisons of settings. */
  toJSON(): readonly string[] | null {
    return this.#patterns ?? null
  }
}

function toExpression(patterns: readonly string[]): RegExp {
  const parts = patterns.map((pattern) => pattern.replaceAll(/[.+^$|]/g, '\\$&').replaceAll('*', '.*'))
  return new RegExp(`^(?:${parts.join('|')})$`)
}

/** The option `foreignHeaders`. */
export function foreignHeadersOption(environment: string): OptionField<ForeignHeaders> {
  return option.custom<ForeignHeaders>('list of header names, with * for any characters', checkPatterns, {
    default: new ForeignHeaders(),
    environment,
  })
}

function checkPatterns(raw: unknown): { readonly value: ForeignHeaders } | string {
  const list: unknown = typeof raw === 'string' ? raw.split(',').map((part) => part.trim()) : raw
  if (!Array.isArray(list) || !list.every(isPattern))
    return "must be a list of header names with * for any characters, such as ['traceparent', 'x-tenant-*']"
  return { value: new ForeignHeaders(list.map((pattern: string) => pattern.toLowerCase())) }
}

/** Characters of names (RFC 9110, section 5.6.2) that have no other meaning in expressions than those that are escaped. */
function isPattern(raw: unknown): raw is string {
  return typeof raw === 'string' && /^[a-z0-9!#$%&'*+.^_`|~-]{1,100}$/i.test(raw)
}
