import { StreamError } from '../errors.js'

/** Version of what stands in `replyTo`. */
const VERSION = '1'
const SCHEME = 'streamswitch'

/** Where the reply to a request goes. */
export interface ReplyAddress {
  /** Name of the transport that the caller reads replies from; `undefined` for a foreign request, which means the one it came by. */
  readonly transport: string | undefined
  /** The inbox, in its transport's words. */
  readonly inbox: string
  readonly requestId: string
}

/** The text that a request carries: `streamswitch:1:redis:<inbox>#<request id>`. */
export function formatReplyAddress(transport: string, inbox: string, requestId: string): string {
  return `${SCHEME}:${VERSION}:${transport}:${inbox}#${requestId}`
}

/** Takes it apart. Throws UNSUPPORTED for one of a newer version. A text of another shape is a foreign inbox. */
export function parseReplyAddress(text: string): ReplyAddress {
  const match = /^streamswitch:(\d+):([^:]+):([^#]*)#(.*)$/.exec(text)
  if (match === null) return foreign(text)
  const [, version, transport, inbox = '', requestId = ''] = match
  if (version === VERSION) return { transport, inbox, requestId }
  throw new StreamError(
    `the request asks for its reply in format ${String(version)}, this process knows ${VERSION}: update it`,
    { code: 'UNSUPPORTED', operation: 'respond' },
  )
}

/** What core names the inbox of a process by, as far as drivers may rely on it. */
const INSTANCE = /^[a-z0-9]{1,40}$/

/** Whether an address is a namespace followed by the `instance` of an inbox, and nothing else. */
export function isInboxBelow(namespace: string, inbox: string): boolean {
  return inbox.startsWith(namespace) && INSTANCE.test(inbox.slice(namespace.length))
}

/** Request id of a `replyTo`, for transports that have a place of their own for it; `undefined` for a foreign one. */
export function requestIdOf(replyTo: string): { readonly inbox: string; readonly requestId: string } | undefined {
  const match = /^streamswitch:\d+:[^:]+:([^#]*)#(.*)$/.exec(replyTo)
  return match === null ? undefined : { inbox: match[1] ?? '', requestId: match[2] ?? '' }
}

// Adapters hand over a foreign request's correlation id behind its address.
function foreign(text: string): ReplyAddress {
  const at = text.indexOf('#')
  return at < 0
    ? { transport: undefined, inbox: text, requestId: '' }
    : { transport: undefined, inbox: text.slice(0, at), requestId: text.slice(at + 1) }
}
