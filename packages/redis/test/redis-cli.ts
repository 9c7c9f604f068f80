import { spawn } from 'node:child_process'
import type { ForeignClient, ForeignRecord } from '@streamswitch/testkit'
import { brokerTool } from '@streamswitch/testkit/brokers'

/** Runs redis-cli against a server and resolves with what it printed; `input` becomes the command's last argument. */
export async function redisCli(url: string, args: readonly string[], input?: Buffer): Promise<string> {
  const cli = spawn(await brokerTool('redis-cli'), [
    '-u',
    url,
    '--no-auth-warning',
    ...(input === undefined ? [] : ['-x']),
    ...args,
  ])
  const output: Buffer[] = []
  cli.stdout.on('data', (chunk: Buffer) => output.push(chunk))
  cli.stderr.on('data', (chunk: Buffer) => output.push(chunk))
  cli.stdin.end(input)
  const code = await new Promise<number | null>((resolve, reject) => {
    cli.once('error', reject)
    cli.once('close', resolve)
  })
  const text = Buffer.concat(output).toString()
  if (code !== 0 || /^\(error\)|^ERR /.test(text)) throw new Error(`redis-cli ${args.join(' ')}: ${text}`)
  return text.trim()
}

/** redis-cli as the suite's foreign client: it knows streams and fields, and nothing of us. */
export function redisCliClient(url: string): ForeignClient {
  return {
    name: 'redis-cli',
    raw: 'everything',
    async write(topic, { body, key, raw = {} }) {
      const fields = key === undefined ? [] : ['key', key]
      if (raw.id !== undefined) fields.push('id', raw.id)
      if (raw.timestamp !== undefined) fields.push('timestamp', raw.timestamp)
      for (const [name, value] of Object.entries(raw.headers ?? {})) fields.push(`h.${name}`, value)
      await redisCli(url, ['XADD', topic, '*', ...fields, 'payload'], body)
    },
    async read(topic, count) {
      const records: ForeignRecord[] = []
      let last = '0'
      while (records.length < count) {
        const reply = await redisCli(url, [
          '--json',
          'XREAD',
          'COUNT',
          String(count),
          'BLOCK',
          '20000',
          'STREAMS',
          topic,
          last,
        ])
        const entries = readEntries(JSON.parse(reply) as unknown, topic)
        for (const [id, fields] of entries) {
          last = id
          records.push({ body: Buffer.from(fieldOf(fields, 'payload') ?? ''), key: fieldOf(fields, 'key') })
        }
      }
      return records
    },
  }
}

type Entries = readonly (readonly [string, readonly string[]])[]

/** With RESP3 the reply is an object by stream, before it a list of pairs. */
function readEntries(reply: unknown, topic: string): Entries {
  if (!Array.isArray(reply)) return (reply as Record<string, Entries> | null)?.[topic] ?? []
  return (reply as readonly (readonly [string, Entries])[])[0]?.[1] ?? []
}

function fieldOf(fields: readonly string[], name: string): string | undefined {
  const index = fields.findIndex((field, position) => position % 2 === 0 && field === name)
  return index < 0 ? undefined : fields[index + 1]
}
