import type { AdapterDefinition } from '../contract/adapter.js'
import { StreamError } from '../errors.js'
import { loadAdapter } from '../registry/registry.js'
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
  const target = url ?? nonEmpty(environment.STREAMSWITCH_URL)
  if (target !== undefined) {
    const adapter = await loadAdapter({ scheme: parseTransportUrl(target).scheme })
    return new Transport(adapter, target, options)
  }
  const name = nonEmpty(environment.STREAMSWITCH_TRANSPORT)
  if (name === undefined) {
    throw new StreamError(
      "no transport is chosen: set STREAMSWITCH_URL (for example redis://127.0.0.1:6379) or STREAMSWITCH_TRANSPORT (for example redis), or pass a URL; 'memory://' is the embedded one",
      { code: 'INVALID_ARGUMENT', operation: 'configure' },
    )
  }
  return openByAdapter(await loadAdapter({ name }), options)
}

/** A transport of a known adapter, at the address that its own variables give, else its default. */
export function openByAdapter(adapter: AdapterDefinition, options: TransportOptions = {}): Transport {
  const environment = options.environment ?? process.env
  const general = nonEmpty(environment.STREAMSWITCH_URL)
  const fits =
    general !== undefined && adapter.schemes.some((scheme) => general.toLowerCase().startsWith(`${scheme}://`))
  return new Transport(adapter, fits ? general : (adapter.environmentUrl(environment) ?? adapter.defaultUrl), options)
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === undefined || value.trim() === '' ? undefined : value.trim()
}
