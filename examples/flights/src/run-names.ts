import { randomBytes } from 'node:crypto'
import { isStreamError, type Transport } from '@streamswitch/core'

/**
 * A prefix for all topics and groups of one run, so that each run starts clean and deletes only what is its own. An own prefix
 * (STREAMSWITCH_PREFIX) stands before it.
 */
export function runPrefix(environment: NodeJS.ProcessEnv = process.env): string {
  return `${environment['STREAMSWITCH_PREFIX'] ?? ''}flights-${randomBytes(4).toString('hex')}-`
}

/**
 * Deletes every topic below the transport's prefix, dead letters included. Where there are no topics, there is nothing to do. What
 * goes wrong is logged: it must not hide why the run ended.
 */
export async function deleteTopics(transport: Transport): Promise<void> {
  try {
    for (const { topic } of await transport.admin.topics())
      await transport.admin.deleteTopic(transport.topicSpec(topic))
  } catch (error) {
    if (isStreamError(error) && error.code === 'UNSUPPORTED') return
    transport.logger.warn(`topics of this run may be left: ${error instanceof Error ? error.message : String(error)}`)
  }
}
