import type { AdapterDefinition } from '../contract/adapter.js'
import { StreamError } from '../errors.js'
import { loadAdapter, type Wanted } from '../registry/registry.js'
import { Transport, type TransportOptions } from './transport.js'
import { parseTransportUrl } from './url.js'

/**
 * Opens the transport that a URL names, or the environment: `STREAMSWITCH_URL`, else `STREAMSWITCH_TRANSPORT` with the adapter's
 * own variables and defaults. No connection is made yet.
 *
 * Rejects, before any I/O, with INVALID_ARGUMENT (nothing set, malformed URL, unknown scheme, bad options), NOT_FOUND (adapter
 * package not installed) or UNSUPPORTED (a capability in `requires` that the transport lacks).
 */
export async function openTransport(url?: string, options: TransportOptions = {}): Promise<Transport> {
  const environment = options.environment ?? process.env
  const target = transportTarget(url, environment)
  const adapter = await loadAdapter(target.wanted)
  return new Transport(adapter, target.url ?? addressOf(adapter, environment), options)
}

/** A transport of a known adapter, at the address that its own variables give, else its default. */
export function openByAdapter(adapter: AdapterDefinition, options: TransportOptions = {}): Transport {
  return new Transport(adapter, addressOf(adapter, options.environment ?? process.env), options)
}

/** Which adapter is meant, by a URL, else by the environment; the URL is left out where only a name is known. Throws INVALID_ARGUMENT. */
export function transportTarget(
  url: string | undefined,
  environment: NodeJS.ProcessEnv,
): { readonly wanted: Wanted; readonly url: string | undefined } {
  const target = url ?? nonEmpty(environment.STREAMSWITCH_URL)
  if (target !== undefined) return { wanted: { scheme: parseTransportUrl(target).scheme }, url: target }
  const name = nonEmpty(environment.STREAMSWITCH_TRANSPORT)
  if (name !== undefined) return { wanted: { name }, url: undefined }
  throw new StreamError(
    "no transport is chosen: set STREAMSWITCH_URL (for example redis://127.0.0.1:6379) or STREAMSWITCH_TRANSPORT (for example redis), or pass a URL; 'memory://' is the embedded one",
    { code: 'INVALID_ARGUMENT', operation: 'configure' },
  )
}

/** The address of a known adapter: the general variable where it is one of its own, else what its own variables say, else its default. */
export function addressOf(adapter: AdapterDefinition, environment: NodeJS.ProcessEnv): string {
  const general = nonEmpty(environment.STREAMSWITCH_URL)
  const fits =
    general !== undefined && adapter.schemes.some((scheme) => general.toLowerCase().startsWith(`${scheme}://`))
  return fits ? general : (adapter.environmentUrl(environment) ?? adapter.defaultUrl)
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === undefined || value.trim() === '' ? undefined : value.trim()
}
