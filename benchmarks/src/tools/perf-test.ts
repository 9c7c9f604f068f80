import type { Measured } from '../measuring/case.js'
import { atRate, runTool } from './tool.js'

const PAYLOAD = ['--size', '1024', '--flag', 'persistent']

/** RabbitMQ's PerfTest, in Java, publishes to a queue that it makes, with 1000 confirms in flight. */
export async function perfTestPublishes(url: string, queue: string, kind: string, messages: number): Promise<Measured> {
  const load = ['--producers', '1', '--consumers', '0', '--pmessages', String(messages), '--confirm', '1000']
  const output = await runTool('perf-test', [...common(url, queue, kind), ...load, ...PAYLOAD])
  return atRate(messages, output, /sending rate avg: (\d+) msg\/s/)
}

/** The same takes a backlog, with this prefetch, acked in batches of half of it. */
export async function perfTestConsumes(
  url: string,
  queue: string,
  kind: string,
  messages: number,
  prefetch: number,
): Promise<Measured> {
  const acks = ['--qos', String(prefetch), '--multi-ack-every', String(prefetch / 2)]
  const load = ['--producers', '0', '--consumers', '1', '--cmessages', String(messages), ...acks]
  const output = await runTool('perf-test', [...common(url, queue, kind), ...load])
  return atRate(messages, output, /receiving rate avg: (\d+) msg\/s/)
}

function common(url: string, queue: string, kind: string): string[] {
  return ['--uri', url, '--queue', queue, kind, '--auto-delete', 'false']
}
