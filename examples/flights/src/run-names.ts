import { randomBytes } from 'node:crypto'
import { deadLetterTopic, isStreamError, type Transport } from '@streamswitch/core'

/**
 * A prefix for all topics and groups of one run, so that each run starts clean and deletes only what is its own. An own prefix
 * (STREAMSWITCH_PREFIX) stands before it.
 */
export function runPrefix(environment: NodeJS.ProcessEnv = process.env): string {
  return `${environment['STREAMSWITCH_PREFIX'] ?? ''}flights-${randomBytes(4).toString('hex')}-`
}

/** Every topic that the services may make. */
const TOPICS = [
  'departures',
  'alerts',
  deadLetterTopic('departures', 'delays'),
  deadLetterTopic('departures', 'audit'),
  deadLetterTopic('alerts', 'board'),
]

/**
 * Deletes every topic below the transport's prefix, dead letters included; where the transport can't list them, those that
 * the services make. What goes wrong is logged: it must not hide why the run ended.
 */
export async function deleteTopics(transport: Transport): Promise<void> {
  try {
    for (const topic of await topicsOfRun(transport)) await transport.admin.deleteTopic(transport.topicSpec(topic))
  } catch (error) {
    transport.logger.warn(`topics of this run may be left: ${error instanceof Error ? error.message : String(error)}`)
  }
}

async function topicsOfRun(transport: Transport): Promise<readonly string[]> {
  try {
    return (await transport.admin.topics()).map(({ topic }) => topic)
  } catch (error) {
    // There is nothing to list, or what lists it can't be reached.
    if (isStreamError(error) && error.code === 'UNSUPPORTED') return TOPICS
    throw error
  }
}
