import type { Case, Measured } from '../measuring/case.js'
import { atRate, runTool } from './tool.js'

/** Gives a body a topic of its own. */
type WithTopic = (body: (topic: string) => Promise<Measured>) => Promise<Measured>

const MESSAGES = 200_000

/** Kafka's own producer, in Java, as it comes: idempotent, five requests in flight, batches of 16 KiB. */
export function kafkaProducerPerformance(servers: string, withTopic: WithTopic): Case {
  return {
    name: 'kafka-producer-perf-test acks=all, its defaults otherwise (Java)',
    messages: MESSAGES,
    run: (messages) => withTopic((topic) => produce(servers, topic, messages)),
  }
}

/** Kafka's own consumer, in Java: it commits every five seconds, and handles nothing. */
export function kafkaConsumerPerformance(servers: string, withTopic: WithTopic): Case {
  return {
    name: 'kafka-consumer-perf-test, its defaults (Java)',
    messages: MESSAGES,
    run: (messages) =>
      withTopic(async (topic) => {
        await produce(servers, topic, messages)
        const args = ['--bootstrap-server', servers, '--topic', topic, '--num-records', String(messages)]
        const output = await runTool('kafka-consumer-perf-test', args)
        // Its last column is the rate of fetching alone, without the time that joining the group took.
        return atRate(messages, output, /, ([\d.]+)\s*$/)
      }),
  }
}

async function produce(servers: string, topic: string, messages: number): Promise<Measured> {
  const load = ['--topic', topic, '--num-records', String(messages), '--record-size', '1024', '--throughput', '-1']
  const output = await runTool('kafka-producer-perf-test', [
    ...load,
    ...['--bootstrap-server', servers, '--command-property', 'acks=all'],
  ])
  return atRate(messages, output, /records sent, ([\d.]+) records\/sec/)
}
