import type { OptionFields, OptionInput, OptionValues } from './fields.js'
import { isPlainObject, readField, unknownOption } from './fields.js'
import { describeType, Problems } from './problems.js'

/** One source of options. */
export interface OptionLayer {
  /** For problems: `?` before the name for a URL's query, nothing for code. */
  readonly from: 'code' | 'url'
  readonly values: unknown
}

export interface OptionContext {
  /** Begins the error's message: `invalid options of the redis transport`. */
  readonly subject: string
  readonly transport?: string | undefined
  readonly topic?: string | undefined
  /** Default: `configure`. */
  readonly operation?: string | undefined
}

/**
 * Merges layers (the first that has a value wins), then the environment, then defaults, and checks everything.
 * Throws INVALID_ARGUMENT that lists every problem with the option's path: unknown names (with the nearest known one), wrong
 * types, values out of range.
 */
export function resolveOptions<Fields extends OptionFields>(
  fields: Fields,
  layers: readonly OptionLayer[],
  environment: NodeJS.ProcessEnv,
  context: OptionContext,
): OptionValues<Fields> {
  const problems = new Problems()
  const merged = mergeLayers(fields, layers, environment, problems)
  for (const [name, { path }] of merged)
    if (!Object.hasOwn(fields, name)) problems.add(path, unknownOption(name, Object.keys(fields)))
  const values: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(fields))
    values[name] = readField(field, merged.get(name)?.value, merged.get(name)?.path ?? name, problems)
  problems.throwIfAny(`invalid options of ${context.subject}`, {
    transport: context.transport,
    topic: context.topic,
    operation: context.operation ?? 'configure',
  })
  return values as OptionValues<Fields>
}

interface Given {
  readonly value: unknown
  /** The name as the user wrote it, for problems. */
  readonly path: string
}

// A map, since a name like __proto__ must be an ordinary name.
function mergeLayers(
  fields: OptionFields,
  layers: readonly OptionLayer[],
  environment: NodeJS.ProcessEnv,
  problems: Problems,
): Map<string, Given> {
  const merged = new Map<string, Given>()
  const add = (name: string, value: unknown, path: string): void => {
    if (value !== undefined && !merged.has(name)) merged.set(name, { value, path })
  }
  for (const { from, values } of layers) {
    if (values !== undefined && !isPlainObject(values))
      problems.add('options', `must be an object, got ${describeType(values)}`)
    else for (const [name, value] of Object.entries(values ?? {})) add(name, value, from === 'url' ? `?${name}` : name)
  }
  for (const [name, { environment: variable, secret }] of Object.entries(fields)) {
    // An empty variable counts as unset, except for a secret: continuing without it could open what it was meant to
    // protect.
    if (variable !== undefined && (secret || environment[variable] !== '')) add(name, environment[variable], variable)
  }
  return merged
}

/** Checks one set of options given in code. See {@link resolveOptions}. */
export function readOptions<Fields extends OptionFields>(
  fields: Fields,
  given: OptionInput<Fields> | undefined,
  context: OptionContext,
): OptionValues<Fields> {
  return resolveOptions(fields, [{ from: 'code', values: given ?? {} }], {}, context)
}
