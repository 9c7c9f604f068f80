import { isPortableName } from '../names.js'
import { isPlainObject } from '../options/fields.js'

/** Native names by portable ones. */
export type NameMap = Readonly<Record<string, { readonly name: string }>>

/** Maximum length of a native name, in bytes of UTF-8. Brokers have lower limits. */
const MAX_NATIVE_BYTES = 1024

/** Returns why a string can't be a native name on any broker; `undefined` when it can. */
export function nativeNameProblem(name: unknown): string | undefined {
  if (typeof name !== 'string' || name === '') return 'must be a non-empty string'
  if (!name.isWellFormed()) return 'must be well-formed Unicode'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (/[\x00-\x1f\x7f]/.test(name)) return 'must not have control characters'
  if (Buffer.byteLength(name) > MAX_NATIVE_BYTES) return `must have at most ${MAX_NATIVE_BYTES} bytes`
  return undefined
}

/**
 * Checks `topics` and `groups`: `{ orders: { name: 'OrderEvents' } }`, in a variable or a URL
 * `orders=OrderEvents,audit=app:audit`, with names percent-encoded if they contain a comma, an equals sign or a percent
 * sign. Returns what is wrong, with the entry.
 */
export function checkNameMap(raw: unknown): { readonly value: NameMap } | string {
  const entries = typeof raw === 'string' ? entriesOf(raw) : isPlainObject(raw) ? Object.entries(raw) : EXPECTED
  if (typeof entries === 'string') return entries
  const map: Record<string, { readonly name: string }> = Object.create(null)
  for (const [portable, given] of entries) {
    const entry = JSON.stringify(portable.slice(0, 120))
    if (!isPortableName(portable))
      return `entry ${entry}: the name to the left must be portable (a-z, 0-9, '.', '_', '-')`
    if (portable.startsWith('streamswitch-'))
      return `entry ${entry}: names of Streamswitch's own topics can't be mapped`
    if (!isPlainObject(given) || Object.keys(given).some((key) => key !== 'name'))
      return `entry ${entry}: must be { name: 'NativeName' }`
    const problem = nativeNameProblem(given.name)
    if (problem !== undefined) return `entry ${entry}: the native name ${problem}`
    if (portable in map) return `entry ${entry}: the name is listed twice`
    map[portable] = { name: given.name as string }
  }
  return { value: map }
}

const EXPECTED =
  "must be an object { orders: { name: 'OrderEvents' } }, or a string 'orders=OrderEvents,audit=app:audit'"

function entriesOf(text: string): [string, { readonly name: string }][] | string {
  const entries: [string, { readonly name: string }][] = []
  for (const part of text.split(',')) {
    const entry = part.trim()
    const equals = entry.indexOf('=')
    const shown = JSON.stringify(entry.slice(0, 120))
    const wanted = 'must be name=NativeName'
    if (equals < 1 || equals === entry.length - 1) return `entry ${shown}: ${wanted}`
    const native = decoded(entry.slice(equals + 1).trim())
    if (native === undefined)
      return `entry ${shown}: ${wanted}, with ',', '=' and '%' in a native name written as %2C, %3D and %25`
    entries.push([entry.slice(0, equals).trim(), { name: native }])
  }
  return entries
}

function decoded(text: string): string | undefined {
  if (text.includes('=')) return undefined
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
