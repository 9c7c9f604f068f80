import type { AdapterDefinition } from '../contract/adapter.js'
import { OFFICIAL_ADAPTERS, type OfficialName } from '../registry/official-adapters.js'
import type { AdapterOptionTypes } from './adapter-option-types.js'
import { isPlainObject, type OptionFields, type OptionValues } from './fields.js'
import { Problems } from './problems.js'
import { readOptions } from './resolve.js'

type OptionsOf<Name, Kind extends string> = Name extends keyof AdapterOptionTypes
  ? AdapterOptionTypes[Name] extends Readonly<Record<Kind, infer Options>>
    ? Options
    : never
  : Readonly<Record<string, unknown>>

/**
 * Options of single adapters, under their names. Only those of the adapter in use are checked; see {@link
 * AdapterOptionTypes} for their types.
 */
export type OptionsByAdapter<Kind extends 'producer' | 'consumer'> = {
  readonly [Name in OfficialName | keyof AdapterOptionTypes]?: OptionsOf<Name, Kind> | undefined
}

/**
 * Splits the options of a producer or loop into core's options and the adapter's, which are under its name. Options for
 * other adapters (`{ redis: {…}, kafka: {…} }`) are ignored, so that users can prepare a switch.
 */
export function splitOptions<Fields extends OptionFields>(
  given: object,
  fields: Fields,
  adapter: AdapterDefinition,
  kind: 'producerOptions' | 'consumerOptions',
  context: { readonly subject: string; readonly topic: string },
): { readonly common: OptionValues<Fields>; readonly own: OptionValues<OptionFields> } {
  const common: [string, unknown][] = []
  const problems = new Problems()
  for (const [name, value] of Object.entries(given)) {
    const foreign = OFFICIAL_ADAPTERS.some((official) => official.name === name)
    if (name === adapter.name) continue
    if (!foreign) common.push([name, value])
    else if (!isPlainObject(value)) problems.add(name, 'must be an object with options of that adapter')
  }
  problems.throwIfAny(`invalid options of ${context.subject}`, {
    transport: adapter.name,
    topic: context.topic,
    operation: 'configure',
  })
  const named = { transport: adapter.name, ...context }
  return {
    common: readOptions(fields, Object.fromEntries(common) as never, named),
    own: readOptions(adapter[kind], (given as Readonly<Record<string, unknown>>)[adapter.name] as never, {
      ...named,
      subject: `${context.subject}, ${adapter.name}`,
    }),
  }
}
