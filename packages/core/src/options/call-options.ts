import { StreamError } from '../errors.js'
import { type OptionFields, type OptionInput, type OptionValues, option, unknownOption } from './fields.js'
import { describeType, Problems } from './problems.js'
import { type OptionContext, readOptions } from './resolve.js'

const signal = option.custom<AbortSignal>('AbortSignal', (raw) =>
  isAbortSignal(raw) ? { value: raw } : 'must be an AbortSignal',
)

/** Options of calls that a signal can abort. */
export const signalFields = {
  /** Ends the call early, which rejects with ABORTED unless its own description says otherwise. */
  signal,
}

/** Options of calls with a maximum time. */
export const timeoutFields = {
  /** Longest time for the call, in milliseconds. Left out: what its own description says. */
  timeoutMs: option.decimal({ min: 0, max: 2_147_483_647 }),
}

/** Options of `close` calls. */
export const closeFields = { ...timeoutFields, ...signalFields }

export type CloseOptions = OptionInput<typeof timeoutFields> & OptionInput<typeof signalFields>

/**
 * Calls `action` with the checked options and returns its promise, or a promise that rejects with INVALID_ARGUMENT when
 * they are bad.
 */
export function withOptions<Fields extends OptionFields, Result>(
  fields: Fields,
  given: OptionInput<Fields> | undefined,
  context: OptionContext,
  action: (values: OptionValues<Fields>) => Promise<Result>,
): Promise<Result> {
  let values: OptionValues<Fields>
  try {
    values = readOptions(fields, given, context)
  } catch (error) {
    return Promise.reject(error)
  }
  return action(values)
}

/**
 * Adds a problem for each unknown option name, with the most similar known one. Names with the value `undefined` don't
 * count.
 *
 * @param elsewhere - where a name belongs that isn't an option here, such as `belongs below 'options'`.
 */
export function checkNames(
  given: object,
  known: readonly string[],
  problems: Problems,
  elsewhere: (name: string) => string | undefined = () => undefined,
): void {
  for (const [name, value] of Object.entries(given))
    if (value !== undefined && !known.includes(name)) problems.add(name, elsewhere(name) ?? unknownOption(name, known))
}

/**
 * As `checkNames` for a call whose values are checked elsewhere. Throws INVALID_ARGUMENT, also when the options
 * aren't an object.
 */
export function requireNames(
  given: unknown,
  known: readonly string[],
  context: OptionContext,
  elsewhere?: (name: string) => string | undefined,
): void {
  if (given === undefined) return
  const { subject, operation = 'configure', transport, topic } = context
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new StreamError(`invalid options of ${subject}: must be an object, got ${describeType(given)}`, {
      code: 'INVALID_ARGUMENT',
      transport,
      topic,
      operation,
    })
  const problems = new Problems()
  checkNames(given, known, problems, elsewhere)
  problems.throwIfAny(`invalid options of ${subject}`, { transport, topic, operation })
}

function isAbortSignal(raw: unknown): raw is AbortSignal {
  return typeof raw === 'object' && raw !== null && 'aborted' in raw && 'addEventListener' in raw
}
