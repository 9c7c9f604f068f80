import type { AdapterDefinition } from '../contract/adapter.js'
import { CAPABILITY_NAMES, type Capabilities, type CapabilityName } from '../contract/capabilities.js'
import { StreamError } from '../errors.js'
import { nearestName } from '../options/problems.js'
import { OFFICIAL_ADAPTERS } from '../registry/official-adapters.js'

/**
 * Throws UNSUPPORTED when the adapter lacks one of the capabilities, naming the transports that have it;
 * INVALID_ARGUMENT for an unknown capability.
 */
export function requireCapabilities(
  adapter: AdapterDefinition,
  names: readonly CapabilityName[],
  operation: string,
): void {
  const unknown = names.find((name) => !CAPABILITY_NAMES.includes(name))
  if (unknown !== undefined) {
    const near = nearestName(String(unknown), CAPABILITY_NAMES)
    throw new StreamError(
      `requires: '${String(unknown)}' is no capability; ${near === undefined ? `known capabilities are ${CAPABILITY_NAMES.join(', ')}` : `did you mean '${near}'?`}`,
      {
        code: 'INVALID_ARGUMENT',
        transport: adapter.name,
        operation,
      },
    )
  }
  const missing = names.filter((name) => adapter.capabilities[name] === false)
  if (missing.length === 0) return
  const reasons = missing.map((name) => `'${name}' (transports that have it: ${transportsWith(name).join(', ')})`)
  throw unsupported(adapter, `doesn't offer ${reasons.join(' and ')}`, operation)
}

/** Throws UNSUPPORTED when an option needs a capability that the adapter lacks. */
export function requireFor(adapter: AdapterDefinition, name: CapabilityName, what: string, operation: string): void {
  if (adapter.capabilities[name] !== false) return
  throw unsupported(
    adapter,
    `can't do ${what}: it doesn't offer '${name}' (transports that have it: ${transportsWith(name).join(', ')})`,
    operation,
  )
}

function unsupported(adapter: AdapterDefinition, reason: string, operation: string): StreamError {
  return new StreamError(`the ${adapter.name} transport ${reason}`, {
    code: 'UNSUPPORTED',
    transport: adapter.name,
    operation,
  })
}

function transportsWith(name: keyof Capabilities): string[] {
  return OFFICIAL_ADAPTERS.filter((official) => official.capabilities[name] !== false).map((official) => official.name)
}
