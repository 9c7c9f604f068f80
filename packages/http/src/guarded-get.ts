import { StreamError } from '@streamswitch/core/driver'
import type { HttpConsumerOptionValues } from './options.js'

/** A loop that is being opened. */
export interface OpeningLoop {
  /** Its topics, or its pattern where that is known. */
  readonly topic: string
  readonly group: string
  readonly options: Pick<HttpConsumerOptionValues, 'method' | 'allowBrowsers'>
}

/**
 * Throws INVALID_ARGUMENT for a loop that takes GET from anybody who can connect from other machines, unless it says so: any page can make a browser send
 * GET requests, and browsers of before 2023 don't say that they do.
 */
export function requireGuardedGet({ topic, group, options }: OpeningLoop): void {
  if (options.method !== 'GET' || options.allowBrowsers) return
  throw new StreamError(
    `http.method: a loop (${topic}/${group}) that accepts GET and can be reached from other machines requires a token (listenToken, listenTokens) or client certificates (listenTlsCaFile), or http.allowBrowsers: true if any web page may send to it`,
    { code: 'INVALID_ARGUMENT', transport: 'http', topic, operation: 'open' },
  )
}
