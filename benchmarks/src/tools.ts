import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { brokerTool } from '@streamswitch/testkit/brokers'
import { freshName } from './harness.js'

const run = promisify(execFile)

/** What a broker's own load tool reaches: beside the comparison, since it neither keeps promises nor runs in Node.js. */
export async function redisBenchmark(url: string): Promise<string> {
  const { hostname, port } = new URL(url)
  const stream = freshName()
  const args = [
    '-h',
    hostname,
    '-p',
    port,
    '-q',
    '-d',
    '1024',
    '-c',
    '4',
    '-n',
    '200000',
    '-P',
    '500',
    'XADD',
    stream,
    '*',
    'payload',
    'x'.repeat(1024),
  ]
  const { stdout } = await run(await brokerTool('redis-benchmark'), args)
  await run(await brokerTool('redis-cli'), ['-h', hostname, '-p', port, 'DEL', stream])
  return section('redis-benchmark -c 4 -P 500, XADD of 1 KiB', stdout.split('\r').at(-1))
}

/** Kafka's performance tools, on a fresh topic with four partitions. */
export async function kafkaPerformance(servers: string): Promise<string> {
  const topic = freshName()
  const records = '200000'
  await run(await brokerTool('kafka-topics'), [
    '--bootstrap-server',
    servers,
    '--create',
    '--topic',
    topic,
    '--partitions',
    '4',
  ])
  const produce = await run(await brokerTool('kafka-producer-perf-test'), [
    ...['--topic', topic, '--num-records', records, '--record-size', '1024', '--throughput', '-1'],
    ...['--producer-props', `bootstrap.servers=${servers}`, 'acks=all'],
  ])
  const consume = await run(await brokerTool('kafka-consumer-perf-test'), [
    '--bootstrap-server',
    servers,
    '--topic',
    topic,
    '--messages',
    records,
  ])
  await run(await brokerTool('kafka-topics'), ['--bootstrap-server', servers, '--delete', '--topic', topic])
  return section(
    'kafka-producer-perf-test and kafka-consumer-perf-test, 1 KiB, 4 partitions',
    `${produce.stdout.trim().split('\n').at(-1)}\n${consume.stdout.trim()}`,
  )
}

function section(title: string, output: string | undefined): string {
  return [`#### ${title}`, '', '```text', (output ?? '').trim(), '```', ''].join('\n')
}
