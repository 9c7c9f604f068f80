import type { OptionFields, OptionInput, OptionValues } from './fields.js'
import { isPlainObject, readField, unknownOption } from './fields.js'
import { describeType, Problems } from './problems.js'

/** One place that options came from. */
export interface OptionLayer {
  /** For problems: `?` before the name for a URL's query, the variable's name for the environment, nothing for code. */
  readonly from: 'code' | 'url'
  readonly values: unknown
}

export interface OptionContext {
  /** Opens the message of the error: `invalid options of the redis transport`. */
  readonly subject: string
  readonly transport?: string | undefined
  readonly topic?: string | undefined
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
  const merged: Record<string, unknown> = {}
  const paths: Record<string, string> = {}
  for (const layer of layers) {
    if (layer.values === undefined) continue
    if (!isPlainObject(layer.values)) {
      problems.add('options', `must be an object, got ${describeType(layer.values)}`)
      continue
    }
    for (const [name, value] of Object.entries(layer.values)) {
      if (value === undefined || Object.hasOwn(merged, name)) continue
      merged[name] = value
      paths[name] = layer.from === 'url' ? `?${name}` : name
    }
  }
  for (const [name, field] of Object.entries(fields)) {
    const variable = field.environment
    const value = variable === undefined ? undefined : environment[variable]
    if (Object.hasOwn(merged, name) || value === undefined || value === '') continue
    merged[name] = value
    paths[name] = variable ?? name
  }
  for (const name of Object.keys(merged)) {
    if (!Object.hasOwn(fields, name)) problems.add(paths[name] ?? name, unknownOption(name, fields))
  }
  const values: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(fields)) values[name] = readField(field, merged[name], paths[name] ?? name, problems)
  problems.throwIfAny(`invalid options of ${context.subject}`, { transport: context.transport, topic: context.topic, operation: 'configure' })
  return values as OptionValues<Fields>
}

/** Checks one set of options given in code. See {@link resolveOptions}. */
export function readOptions<Fields extends OptionFields>(fields: Fields, given: OptionInput<Fields> | undefined, context: OptionContext): OptionValues<Fields> {
  return resolveOptions(fields, [{ from: 'code', values: given ?? {} }], {}, context)
}
