import type { StreamError } from '../errors.js'
import type { LoopNames } from '../native-names/loop-names.js'
import type { OptionValues } from '../options/fields.js'
import type { Transport } from '../transport/transport.js'
import { Claims } from './claims.js'
import { Dedupe } from './dedupe.js'
import type { dedupeFields } from './dedupe-options.js'
import type { MarkSettlement } from './dedupe-store.js'

export interface DedupeContext {
  readonly transport: Transport
  readonly names: LoopNames
  /** Returns how the present driver settles marks. */
  marks(): MarkSettlement | undefined
  report(error: StreamError): void
}

/** Creates what the option asks for; `undefined` without the option. */
export function createDedupe(options: OptionValues<typeof dedupeFields>, context: DedupeContext): Dedupe | undefined {
  const { store, transaction, ttlMs, claimMs } = options
  const { transport, marks, report } = context
  const group = context.names.group.brokerGroup
  const topicName = (topic: string): string => context.names.topic(topic).brokerTopic
  const markOf = ({ topic, id }: { readonly topic: string; readonly id: string }) => ({
    topic: topicName(topic),
    group,
    id,
  })
  if (transaction !== undefined) return new Dedupe(transaction, markOf)
  if (store === undefined) return undefined
  const claims = new Claims({
    store,
    ttlMs,
    claimMs,
    transport: transport.name,
    group,
    topicName,
    marks,
    upcoming: (most, started) => dedupe.upcoming(most, started),
    report,
  })
  const dedupe: Dedupe = new Dedupe(claims, markOf)
  return dedupe
}
