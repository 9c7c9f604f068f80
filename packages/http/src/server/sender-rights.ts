import { ROUTING_HEADERS } from '@streamswitch/core/driver'
import type { InboundRecord } from '../message.js'
import type { Sender } from './access.js'

/**
 * Returns a record as its sender may send it. Headers that select groups and count attempts apply only for senders
 * whose routing headers are accepted; a record of others is for every group at its path, and its attempts are those
 * that this process has counted.
 */
export function asSentBy(record: InboundRecord, { identity, routes }: Sender): InboundRecord {
  const { headers, attempt, except } = record
  const isPlain = attempt === 1 && except.length === 0 && headers[ROUTING_HEADERS.onlyGroup] === undefined
  if (identity === '' && (routes || isPlain)) return record
  const sender = identity === '' ? undefined : identity
  if (routes || isPlain) return { ...record, sender }
  const { [ROUTING_HEADERS.onlyGroup]: _onlyGroup, ...rest } = headers
  return { ...record, headers: rest, attempt: 1, except: [], sender }
}
