import { type ErrorCode, StreamError } from '../errors.js'

/** Collects everything that is wrong with a call, so that it is reported together, before any I/O. */
export class Problems {
  readonly #found: string[] = []

  /** @param path - the option's path, as the user wrote it, for example `retry.attempts`. */
  add(path: string, problem: string): void {
    this.#found.push(`${path}: ${problem}`)
  }

  get any(): boolean {
    return this.#found.length > 0
  }

  /**
   * Throws INVALID_ARGUMENT, or another code, with every problem, if there is one. `subject` begins the message:
   * `invalid options of …`.
   */
  throwIfAny(
    subject: string,
    context: { code?: ErrorCode; transport?: string | undefined; topic?: string | undefined; operation?: string } = {},
  ): void {
    if (!this.any) return
    const [only] = this.#found
    if (this.#found.length === 1) throw new StreamError(`${subject}: ${only}`, { code: 'INVALID_ARGUMENT', ...context })
    throw new StreamError(`${subject}:`, { code: 'INVALID_ARGUMENT', ...context, points: this.#found })
  }
}

/** Describes the type of a value for an error, without showing the value: options may hold secrets. */
export function describeType(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'string') return value === '' ? 'an empty string' : 'a string'
  if (typeof value === 'object') return 'an object'
  return `a ${typeof value}`
}

/**
 * Shows a number or a single word, and describes any other value: two options that were joined by mistake may hold a
 * secret.
 */
export function describeValue(value: unknown): string {
  const shown = typeof value === 'number' || (typeof value === 'string' && /^[\w.+-]{1,40}$/.test(value))
  return shown ? JSON.stringify(value) : describeType(value)
}

/** Returns the known name most similar to a misspelt one, if one is similar enough. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

function editDistance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row]
    for (let column = 1; column <= right.length; column += 1) {
      const substitution = (previous[column - 1] ?? 0) + (left[row - 1] === right[column - 1] ? 0 : 1)
      current.push(Math.min(substitution, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1))
    }
    previous = current
  }
  return previous[right.length] ?? 0
}
