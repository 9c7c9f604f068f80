import { appendFile, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ForeignClient, ForeignRecord } from '@streamswitch/testkit'

/** Reads and writes logs by the format that the README states, without a line of the adapter's code. */
export function foreignLog(root: string): ForeignClient {
  return {
    name: 'a script that knows the format',
    raw: 'everything',
    oversizedBytes: 3_000_000,

    async write(topic, { body, key, raw }) {
      const line = { bytes: body.length, key, ...raw }
      const record = Buffer.concat([Buffer.from(`${JSON.stringify(line)}\n`), body, Buffer.from('\n')])
      await appendFile(join(root, encodeURIComponent(topic), '0.log'), record)
    },

    async read(topic, count) {
      const folder = join(root, encodeURIComponent(topic))
      for (;;) {
        const logs = (await readdir(folder)).filter((name) => name.endsWith('.log')).sort()
        const records = (await Promise.all(logs.map((name) => readFile(join(folder, name))))).flatMap(recordsOf)
        if (records.length >= count) return records.slice(0, count)
      }
    },
  }
}

function recordsOf(log: Buffer): ForeignRecord[] {
  const records: ForeignRecord[] = []
  for (let at = 0; at < log.length; ) {
    const lineEnd = log.indexOf('\n', at)
    const { bytes, key } = JSON.parse(log.toString('utf8', at, lineEnd))
    const end = lineEnd + 1 + bytes
    records.push({ body: log.subarray(lineEnd + 1, end), key })
    at = end + 1
  }
  return records
}
