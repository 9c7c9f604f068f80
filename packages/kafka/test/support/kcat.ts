import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ForeignClient, ForeignRecord } from '@streamswitch/testkit'
import { brokerTool } from '@streamswitch/testkit/brokers'
import { brokerAddress } from './broker.js'

/** kcat, on librdkafka: no code in common with kafkajs. */
export const kcat: ForeignClient = {
  name: 'kcat',
  raw: 'everything',
  async write(topic, { body, key, raw = {} }) {
    const folder = await mkdtemp(join(tmpdir(), 'streamswitch-kcat-'))
    try {
      // A file is one message, byte for byte.
      const file = join(folder, 'body')
      await writeFile(file, body)
      const headers = { 'streamswitch-id': raw.id, 'streamswitch-timestamp': raw.timestamp, ...raw.headers }
      const options = Object.entries(headers).flatMap(([name, value]) =>
        value === undefined ? [] : ['-H', `${name}=${value}`],
      )
      if (key !== undefined) options.push('-k', key)
      await run(['-P', '-t', topic, '-X', 'acks=all', ...options, file])
    } finally {
      await rm(folder, { recursive: true })
    }
  },
  async read(topic, count) {
    return parse(await run(['-C', '-q', '-t', topic, '-o', 'beginning', '-c', String(count), '-f', '%K %S\n%k%s']))
  },
}

/** Runs kcat against the test broker, with `input` for it to read; resolves with what it wrote. */
export async function run(options: readonly string[], input?: string): Promise<Buffer> {
  return runProgram(await brokerTool('kcat'), ['-b', brokerAddress, ...options], input)
}

/** Runs one of Kafka's own tools, which are written in Java, against the test broker; resolves with what it wrote. */
export async function runTool(name: string, options: readonly string[], input?: string): Promise<Buffer> {
  return runProgram(await brokerTool(name), ['--bootstrap-server', brokerAddress, ...options], input)
}

async function runProgram(program: string, options: readonly string[], input: string | undefined): Promise<Buffer> {
  const child = spawn(program, options, { stdio: ['pipe', 'pipe', 'pipe'] })
  const output: Buffer[] = []
  const complaints: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => complaints.push(chunk))
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0)
    throw new Error(`${program} ${options.join(' ')} ended with ${code}: ${Buffer.concat(complaints).toString()}`)
  return Buffer.concat(output)
}

/** Takes `<key length> <body length>\n<key><body>` apart; a length of -1 is null. */
function parse(output: Buffer): ForeignRecord[] {
  const records: ForeignRecord[] = []
  for (let at = 0; at < output.length; ) {
    const end = output.indexOf('\n', at)
    const [keyLength = 0, bodyLength = 0] = output.subarray(at, end).toString().split(' ').map(Number)
    const bodyAt = end + 1 + Math.max(0, keyLength)
    records.push({
      key: keyLength < 0 ? undefined : output.subarray(end + 1, bodyAt).toString(),
      body: output.subarray(bodyAt, bodyAt + Math.max(0, bodyLength)),
    })
    at = bodyAt + Math.max(0, bodyLength)
  }
  return records
}
