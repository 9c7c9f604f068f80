import { parseHostText, readSecret, readTls, type TransportContext } from '@streamswitch/core/driver'
import { ConnectionGone } from './client-patches/server-error.js'
import { type ClientEvents, SILENT, StreamClient } from './client-patches/stream-client.js'
import { classifyError } from './errors.js'
import type { StreamSettings } from './options.js'

/** What a transport's drivers share: settings only, since each has a separate client. */
export interface ConnectionSource {
  readonly settings: StreamSettings
  readonly context: TransportContext
}

const PORT = 5552
const TLS_PORT = 5551
/** Maximum time for TCP, TLS and login with one host, in milliseconds, before the next is tried. */
const HOST_TIMEOUT_MS = 5_000

const NO_EVENTS: ClientEvents = { closed() {}, confirmed() {}, refused() {}, streamChanged() {} }

/**
 * Connects to the first host that answers, with credentials and certificates read now. Rejects with the last host's error, at
 * once with one that another host can't help, or with the signal's reason once it aborts; then nothing is left open.
 */
export async function openClient(
  source: ConnectionSource,
  events: ClientEvents = NO_EVENTS,
  signal?: AbortSignal,
): Promise<StreamClient> {
  const { settings, context } = source
  const password =
    (await readSecret(settings.password, 'rabbitmq-stream')) ?? (settings.username === 'guest' ? 'guest' : '')
  const readSsl = async (host: string) => (settings.tls ? readTls(settings, 'rabbitmq-stream', host) : false)
  let last: unknown
  for (const text of settings.hosts) {
    signal?.throwIfAborted()
    const { host, port } = parseHostText(text, settings.tls ? TLS_PORT : PORT)
    const client = new StreamClient(SILENT, {
      hostname: host,
      port,
      username: settings.username,
      password,
      vhost: settings.vhost,
      heartbeat: settings.heartbeatSeconds,
      connectionName: context.clientId,
      ssl: await readSsl(host),
      readSsl,
      requestTimeoutMs: settings.callTimeoutMs,
      loadBalancer: settings.loadBalancer,
      events,
    })
    try {
      return await connectWithin(client, `${host}:${port}`, signal)
    } catch (error) {
      if (!classifyError(error, 'open').retryable) throw error
      last = error
    }
  }
  throw last
}

async function connectWithin(
  client: StreamClient,
  address: string,
  signal: AbortSignal | undefined,
): Promise<StreamClient> {
  const give = (error: Error): void => client.locator.fail(error)
  const timer = setTimeout(
    () => give(new ConnectionGone(`${address} didn't complete the login within ${HOST_TIMEOUT_MS} ms`)),
    HOST_TIMEOUT_MS,
  )
  const abort = (): void => give(signal?.reason instanceof Error ? signal.reason : new ConnectionGone('given up'))
  signal?.addEventListener('abort', abort, { once: true })
  try {
    return await client.connect()
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}
