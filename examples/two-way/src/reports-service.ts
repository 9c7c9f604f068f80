import { setTimeout as delay } from 'node:timers/promises'
import type { Message, Transport } from '@streamswitch/core'
import {
  MONTHS,
  type ReportPart,
  type ReportRequest,
  type RunningService,
  revenueOf,
  running,
  TOPICS,
} from './service.js'

/** How long a month takes, in milliseconds: long enough to see the parts arrive. */
const WORK_MS = 40

/** Answers with a part for each month as soon as it is there: what a generator yields are the parts of the reply. */
export function startReports(transport: Transport): Promise<RunningService> {
  const loop = transport.consumer<ReportRequest>(TOPICS.reports, { group: 'accounting' })
  loop.handle(async function* ({ value: { year }, signal }: Message<ReportRequest>): AsyncGenerator<ReportPart> {
    for (let month = 1; month <= MONTHS; month += 1) {
      await delay(WORK_MS, undefined, { signal })
      yield { month, of: MONTHS, cents: revenueOf(year, month) }
    }
  })
  return running(loop)
}
