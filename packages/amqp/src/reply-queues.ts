import { isInboxBelow, matchesPattern, printable, type ReplyTarget } from '@streamswitch/core/driver'
import type { AmqpSettings } from './options.js'

/** Queues of group members, their counters and positions; of topics; and of everything below a prefix (`names.ts`). */
const OWN_QUEUE =
  /^[^:]+:[^:]+:(?:\d+(?::attempts)?|members(?::[^:]+)?|dropped)$|^[^:]+:(?:others|partitions)$|streamswitch:|streamswitch-replies/

/** What replies are judged by. */
export interface ReplyQueueSettings {
  readonly settings: Pick<AmqpSettings, 'replyQueues'>
  readonly prefix: string
  readonly nativeNames: ReadonlySet<string>
}

/**
 * Why a reply isn't sent to a queue; `undefined`: it may be. By the default exchange a message reaches every queue of the virtual host by its name, and whoever
 * writes to a topic chooses the names in its messages. Ours lead to queues of callers below the own prefix; those of other systems to what `replyQueues` allows, and
 * never to what is named like a queue of ours or is a topic here.
 */
export function replyQueueRefusal(
  known: ReplyQueueSettings,
  { inbox, isForeign, brokerName }: ReplyTarget,
): string | undefined {
  const namespace = `${brokerName}:`
  if (isInboxBelow(namespace, inbox)) return undefined
  if (!isForeign) return `replies to Streamswitch's own requests can only be sent to queues '${namespace}…'`
  if (isOurs(known, inbox)) return 'it is named like a queue of Streamswitch, or is a topic of this service'
  const { replyQueues } = known.settings
  if (replyQueues.some((pattern) => matchesPattern(pattern, inbox))) return undefined
  const allowed = replyQueues.length === 0 ? 'none' : replyQueues.map((pattern) => `'${printable(pattern)}'`).join(', ')
  return `replies to other systems can only be sent to queues that replyQueues allows: ${allowed}`
}

function isOurs({ prefix, nativeNames }: ReplyQueueSettings, queue: string): boolean {
  return OWN_QUEUE.test(queue) || (prefix !== '' && queue.startsWith(prefix)) || nativeNames.has(queue)
}
