import { StreamError } from '../errors.js'

/** Format version of `replyTo`. */
const VERSION = '1'
const SCHEME = 'streamswitch'

/** The address to which the reply to a request is sent. */
export interface ReplyAddress {
  /**
   * Name of the transport on which the caller reads replies; `undefined` for a foreign request, which means the
   * transport it was received on.
   */
  readonly transport: string | undefined
  /** The inbox, in its transport's format. */
  readonly inbox: string
  readonly requestId: string
}

/** Formats the string that a request carries: `streamswitch:1:redis:<inbox>#<request id>`. */
export function formatReplyAddress(transport: string, inbox: string, requestId: string): string {
  return `${SCHEME}:${VERSION}:${transport}:${inbox}#${requestId}`
}

/** Parses it. Throws UNSUPPORTED for a newer version. A string in another format is a foreign inbox. */
export function parseReplyAddress(text: string): ReplyAddress {
  const match = /^streamswitch:(\d+):([^:]+):([^#]*)#(.*)$/.exec(text)
  if (match === null) return foreign(text)
  const [, version, transport, inbox = '', requestId = ''] = match
  if (version === VERSION) return { transport, inbox, requestId }
  throw new StreamError(
    `the request asks for its reply in format ${String(version)}, but this process supports ${VERSION}: update it`,
    { code: 'UNSUPPORTED', operation: 'respond' },
  )
}

/** Format of core's name for the inbox of a process, on which drivers may rely. */
const INSTANCE = /^[a-z0-9]{1,40}$/

/** Returns whether an address is a namespace followed by the `instance` of an inbox, and nothing else. */
export function isInboxBelow(namespace: string, inbox: string): boolean {
  return inbox.startsWith(namespace) && INSTANCE.test(inbox.slice(namespace.length))
}

/** Returns the request id of a `replyTo`, for transports that have a field for it; `undefined` for a foreign one. */
export function requestIdOf(replyTo: string): { readonly inbox: string; readonly requestId: string } | undefined {
  const match = /^streamswitch:\d+:[^:]+:([^#]*)#(.*)$/.exec(replyTo)
  return match === null ? undefined : { inbox: match[1] ?? '', requestId: match[2] ?? '' }
}

// Adapters append a foreign request's correlation id to its address.
function foreign(text: string): ReplyAddress {
  const at = text.indexOf('#')
  return at < 0
    ? { transport: undefined, inbox: text, requestId: '' }
    : { transport: undefined, inbox: text.slice(0, at), requestId: text.slice(at + 1) }
}
