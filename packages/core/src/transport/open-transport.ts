import type { AdapterDefinition } from '../contract/adapter.js'
import { StreamError } from '../errors.js'
import { loadAdapter, loadAdapterNow, type Wanted } from '../registry/registry.js'
import { requireCapabilities } from './requirements.js'
import { requireTransportOptions, Transport, type TransportOptions } from './transport.js'
import { parseTransportUrl } from './url.js'

/** Options that a feedback transport opened along with another shares with it. */
const SHARED_OPTIONS = ['prefix', 'provision', 'clientId', 'replyTtlMs']

/**
 * Opens the transport named by a URL or by the environment: `STREAMSWITCH_URL`, else `STREAMSWITCH_TRANSPORT` with the
 * adapter's own variables and defaults. Doesn't connect yet.
 * Rejects, before any I/O, with INVALID_ARGUMENT (nothing set, malformed URL, unknown scheme, bad options), NOT_FOUND
 * (adapter package not installed) or UNSUPPORTED (a capability in `requires` that the transport lacks).
 */
export async function openTransport(url?: string, options: TransportOptions = {}): Promise<Transport> {
  const environment = options.environment ?? process.env
  const target = transportTarget(url, environment)
  const adapter = await loadAdapter(target.wanted)
  const feedbackUrl = feedbackUrlOf(options, environment)
  // Loading is asynchronous only here: afterwards the adapter is known.
  if (feedbackUrl !== undefined) await loadAdapter({ scheme: parseTransportUrl(feedbackUrl).scheme })
  return withFeedback(adapter, target.url ?? addressOf(adapter, environment), options, feedbackUrl)
}

/** Opens a transport of a known adapter, at the address from its own variables, else its default. */
export function openByAdapter(adapter: AdapterDefinition, options: TransportOptions = {}): Transport {
  const environment = options.environment ?? process.env
  return withFeedback(adapter, addressOf(adapter, environment), options, feedbackUrlOf(options, environment))
}

/**
 * Returns which adapter to use, by a URL, else by the environment; without a URL when only a name is known. Throws
 * INVALID_ARGUMENT.
 */
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

/**
 * Returns the address of a known adapter: the general variable if that names this adapter, else its own variables, else
 * its default.
 */
export function addressOf(adapter: AdapterDefinition, environment: NodeJS.ProcessEnv): string {
  const general = nonEmpty(environment.STREAMSWITCH_URL)
  const fits =
    general !== undefined && adapter.schemes.some((scheme) => general.toLowerCase().startsWith(`${scheme}://`))
  return fits ? general : (adapter.environmentUrl(environment) ?? adapter.defaultUrl)
}

/** Returns the URL of the feedback transport, if it is another one and isn't open already. */
function feedbackUrlOf({ feedback }: TransportOptions, environment: NodeJS.ProcessEnv): string | undefined {
  if (feedback !== undefined) return typeof feedback === 'string' ? feedback : undefined
  return nonEmpty(environment.STREAMSWITCH_FEEDBACK_URL)
}

function withFeedback(
  adapter: AdapterDefinition,
  url: string,
  options: TransportOptions,
  feedbackUrl: string | undefined,
): Transport {
  requireTransportOptions(options, adapter)
  if (feedbackUrl === undefined) return new Transport(adapter, url, options)
  const feedbackAdapter = loadAdapterNow({ scheme: parseTransportUrl(feedbackUrl).scheme })
  requireCapabilities(feedbackAdapter, ['requestReply'], 'configure')
  const { environment, logger, options: given } = options
  const shared = Object.fromEntries(SHARED_OPTIONS.map((name) => [name, given?.[name]]))
  const feedback = new Transport(feedbackAdapter, feedbackUrl, {
    options: shared,
    ...(environment === undefined ? {} : { environment }),
    ...(logger === undefined ? {} : { logger }),
  })
  return new Transport(adapter, url, { ...options, feedback, ownsFeedback: true })
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === undefined || value.trim() === '' ? undefined : value.trim()
}
