import type { Problems } from './problems.js'
import { describeType, describeValue, nearestName } from './problems.js'

/**
 * One option: how a value from code, a URL's query or an environment variable becomes a checked value. The option's
 * docstring is on the property that holds the field, and its documentation is generated from it.
 */
export interface OptionField<Value> {
  /** Type for the generated documentation: `integer`, `string`, … with its range. */
  readonly kind: string
  /** Default value. `undefined`: the option is optional. */
  readonly defaultValue: Value | undefined
  /** Environment variable that sets the option when neither code nor URL does. */
  readonly environment: string | undefined
  /** Returns the value of a group that was not given, from its fields' defaults. */
  readonly whenMissing?: (path: string, problems: Problems) => Value
  /** Never shown in errors, logs or documentation. */
  readonly secret: boolean
  /**
   * Returns the checked value, or reports to `problems` and returns undefined. URLs and environment variables pass
   * strings.
   */
  parse(raw: unknown, path: string, problems: Problems): Value | undefined
}

/** A set of options by name. */
export type OptionFields = Readonly<Record<string, OptionField<unknown>>>

type ValueOf<Field> = Field extends OptionField<infer Value> ? Value : never

/** Options within an option. */
export interface GroupField<Fields extends OptionFields> extends OptionField<OptionValues<Fields>> {
  readonly fields: Fields
}

type InputOf<Field> = Field extends { readonly fields: infer Fields extends OptionFields }
  ? OptionInput<Fields>
  : Exclude<ValueOf<Field>, undefined>

/** What a user may pass: every option is optional. */
export type OptionInput<Fields extends OptionFields> = {
  readonly [Name in keyof Fields]?: InputOf<Fields[Name]> | undefined
}

/** Checked values, with defaults. */
export type OptionValues<Fields extends OptionFields> = { readonly [Name in keyof Fields]: ValueOf<Fields[Name]> }

interface Common<Value> {
  readonly default?: Value
  readonly environment?: string
  readonly secret?: boolean
}

interface Defaulted<Value> extends Common<Value> {
  readonly default: Value
}

type Parse<Value> = OptionField<Value>['parse']

function field<Value>(kind: string, settings: Common<Value>, parse: Parse<Value>): OptionField<Value> {
  return {
    kind,
    defaultValue: settings.default,
    environment: settings.environment,
    secret: settings.secret ?? false,
    parse,
  }
}

/** A non-empty string. */
function text(settings: Defaulted<string>): OptionField<string>
function text(settings?: Common<string>): OptionField<string | undefined>
function text(settings: Common<string> = {}): OptionField<string> {
  return field('string', settings, (raw, path, problems) => {
    if (typeof raw === 'string' && raw !== '') return raw
    problems.add(path, `must be a non-empty string, got ${describeType(raw)}`)
    return undefined
  })
}

interface Range {
  readonly min: number
  readonly max?: number
}

/** An integer within a range, both ends included. */
function integer(settings: Defaulted<number> & Range): OptionField<number>
function integer(settings: Common<number> & Range): OptionField<number | undefined>
function integer(settings: Common<number> & Range): OptionField<number> {
  const max = settings.max ?? Number.MAX_SAFE_INTEGER
  const range = settings.max === undefined ? `of at least ${settings.min}` : `from ${settings.min} to ${settings.max}`
  return field(`integer ${range}`, settings, (raw, path, problems) => {
    const value = typeof raw === 'string' && /^-?\d+$/.test(raw) ? Number(raw) : raw
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= settings.min && value <= max) return value
    problems.add(path, `must be an integer ${range}, got ${settings.secret ? describeType(raw) : describeValue(raw)}`)
    return undefined
  })
}

/** A number within a range, both ends included. */
function decimal(settings: Defaulted<number> & Range): OptionField<number>
function decimal(settings: Common<number> & Range): OptionField<number | undefined>
function decimal(settings: Common<number> & Range): OptionField<number> {
  const max = settings.max ?? Number.MAX_VALUE
  const range = settings.max === undefined ? `of at least ${settings.min}` : `from ${settings.min} to ${settings.max}`
  return field(`number ${range}`, settings, (raw, path, problems) => {
    const value = typeof raw === 'string' && raw.trim() !== '' ? Number(raw) : raw
    if (typeof value === 'number' && value >= settings.min && value <= max) return value
    problems.add(path, `must be a number ${range}, got ${describeType(raw)}`)
    return undefined
  })
}

/** true` or `false`; a URL or environment variable may also use 1 or 0. */
function flag(settings: Defaulted<boolean>): OptionField<boolean>
function flag(settings?: Common<boolean>): OptionField<boolean | undefined>
function flag(settings: Common<boolean> = {}): OptionField<boolean> {
  return field('boolean', settings, (raw, path, problems) => {
    if (typeof raw === 'boolean') return raw
    if (raw === 'true' || raw === '1') return true
    if (raw === 'false' || raw === '0') return false
    problems.add(path, `must be true or false, got ${describeType(raw)}`)
    return undefined
  })
}

/** One of several fixed strings. */
function choice<const Choice extends string>(
  choices: readonly Choice[],
  settings: Defaulted<NoInfer<Choice>>,
): OptionField<Choice>
function choice<const Choice extends string>(
  choices: readonly Choice[],
  settings?: Common<NoInfer<Choice>>,
): OptionField<Choice | undefined>
function choice<const Choice extends string>(
  choices: readonly Choice[],
  settings: Common<Choice> = {},
): OptionField<Choice> {
  const list = choices.map((name) => `'${name}'`).join(', ')
  return field(list, settings, (raw, path, problems) => {
    const found = choices.find((name) => name === raw)
    if (found !== undefined) return found
    problems.add(path, `must be one of ${list}, got ${describeValue(raw).replaceAll('"', "'")}`)
    return undefined
  })
}

/** A list of strings; a URL or environment variable separates them by commas. */
function texts(settings: Defaulted<readonly string[]>): OptionField<readonly string[]>
function texts(settings?: Common<readonly string[]>): OptionField<readonly string[] | undefined>
function texts(settings: Common<readonly string[]> = {}): OptionField<readonly string[]> {
  return field<readonly string[]>('string[]', settings, (raw, path, problems) => {
    const list: unknown = typeof raw === 'string' ? raw.split(',').map((part) => part.trim()) : raw
    if (Array.isArray(list) && list.length > 0 && list.every((part) => typeof part === 'string' && part !== '')) {
      return list as readonly string[]
    }
    problems.add(path, `must be a list of non-empty strings, got ${describeType(raw)}`)
    return undefined
  })
}

/** Options within an option: `retry: { attempts: 3 }`. Problems are reported with the whole path. */
function group<const Fields extends OptionFields>(
  fields: Fields,
  settings: { readonly environment?: string } = {},
): GroupField<Fields> {
  return {
    fields,
    kind: 'object',
    defaultValue: undefined,
    whenMissing: (path, problems) => readFields(fields, {}, path, problems),
    environment: settings.environment,
    secret: false,
    parse: (raw, path, problems) => readFields(fields, raw, path, problems),
  }
}

/** Any other option, with a custom check. `check` returns the value, or a string that says what it must be. */
function custom<Value>(
  kind: string,
  check: (raw: unknown) => { readonly value: Value } | string,
  settings: Defaulted<Value>,
): OptionField<Value>
function custom<Value>(
  kind: string,
  check: (raw: unknown) => { readonly value: Value } | string,
  settings?: Common<Value>,
): OptionField<Value | undefined>
function custom<Value>(
  kind: string,
  check: (raw: unknown) => { readonly value: Value } | string,
  settings: Common<Value> = {},
): OptionField<Value> {
  return field(kind, settings, (raw, path, problems) => {
    const result = check(raw)
    if (typeof result !== 'string') return result.value
    problems.add(path, `${result}, got ${describeType(raw)}`)
    return undefined
  })
}

/** The kinds of options that adapters and core build their option sets from. */
export const option = { text, integer, decimal, flag, choice, texts, group, custom }

/** Reads the set of options at `path`: unknown names are problems, missing ones get their defaults. */
function readFields<Fields extends OptionFields>(
  fields: Fields,
  raw: unknown,
  path: string,
  problems: Problems,
): OptionValues<Fields> {
  const source = isPlainObject(raw) ? raw : {}
  if (!isPlainObject(raw)) problems.add(path, `must be an object, got ${describeType(raw)}`)
  for (const name of Object.keys(source)) {
    if (!Object.hasOwn(fields, name)) problems.add(`${path}.${name}`, unknownOption(name, Object.keys(fields)))
  }
  const values: Record<string, unknown> = {}
  for (const [name, one] of Object.entries(fields))
    values[name] = readField(one, source[name], `${path}.${name}`, problems)
  return values as OptionValues<Fields>
}

/** Reads one option; `undefined` means not given. */
export function readField<Value>(
  one: OptionField<Value>,
  raw: unknown,
  path: string,
  problems: Problems,
): Value | undefined {
  if (raw !== undefined) return one.parse(raw, path, problems)
  return one.defaultValue ?? one.whenMissing?.(path, problems)
}

/** Returns the problem of an unknown option name, with the most similar known one. */
export function unknownOption(name: string, known: readonly string[]): string {
  const near = nearestName(name, known)
  return near === undefined
    ? `unknown option; ${known.length === 0 ? 'there are none' : `known options are ${known.join(', ')}`}`
    : `unknown option; did you mean '${near}'?`
}

/** True for an object created by a literal or by parsing, as opposed to a list, a class instance or a function. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}
