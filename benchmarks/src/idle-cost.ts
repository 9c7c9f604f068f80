// What loops cost while nothing happens: sockets, packets, calls and processor time, per transport, loops and partitions.
import { writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { type BrokerHandle, findFreePort, startBroker } from '@streamswitch/testkit/brokers'
import { IDLE_TRANSPORTS, type IdleTransport } from './idle/idle-case.js'
import { type IdleResult, runIdleCase } from './idle/idle-process.js'
import { machine } from './machine.js'
import { messageOf } from './measuring/case-process.js'

interface Row {
  readonly transport: IdleTransport
  readonly loops: number
  readonly partitions: number
  readonly result: IdleResult | string
}

const NAMES = Object.keys(IDLE_TRANSPORTS) as IdleTransport[]
const USAGE = `usage: idle-cost [--transports ${NAMES.join(',')}] [--loops 1,100] [--partitions 1,8,64]
       [--quiet-seconds 30] [--window-seconds 15] [--limit-seconds 300] [--output docs/idle-cost.md]`

const { values } = parseArgs({
  options: {
    transports: { type: 'string', default: NAMES.join(',') },
    loops: { type: 'string', default: '1,100' },
    partitions: { type: 'string', default: '1,8,64' },
    'quiet-seconds': { type: 'string', default: '30' },
    'window-seconds': { type: 'string', default: '15' },
    'limit-seconds': { type: 'string', default: '300' },
    output: { type: 'string' },
  },
})
const transports = values.transports.split(',') as IdleTransport[]
const [loops, partitions] = [numbers(values.loops), numbers(values.partitions)]
const [quietS = 0] = numbers(values['quiet-seconds'])
const [windowS = 0] = numbers(values['window-seconds'])
const [limitS = 0] = numbers(values['limit-seconds'])
if (transports.some((name) => !NAMES.includes(name))) fail()

const loadBefore = loadavg()[0] ?? 0
const rows: Row[] = []
for (const name of transports) rows.push(...(await measureTransport(name)))
const text = await page()
console.log(text)
if (values.output !== undefined) writeFileSync(values.output, text)

async function measureTransport(transport: IdleTransport): Promise<Row[]> {
  const { broker: needed, partitioned } = IDLE_TRANSPORTS[transport]
  const measured: Row[] = []
  for (const count of loops) {
    for (const number of partitioned ? partitions : [1]) {
      // Empty brokers: what one case left behind would be work for the next one.
      const broker = needed === undefined ? undefined : await startBroker(needed)
      try {
        const url = await urlOf(transport, broker)
        const times = { quietMs: quietS * 1_000, windowMs: windowS * 1_000 }
        const settings = { transport, url, loops: count, partitions: number, ...times }
        const result = await runIdleCase(settings, limitS * 1_000 + times.quietMs + times.windowMs).catch(messageOf)
        measured.push({ transport, loops: count, partitions: number, result })
        console.error(line(measured.at(-1) as Row))
      } finally {
        await broker?.remove()
      }
    }
  }
  return measured
}

async function urlOf(transport: IdleTransport, broker: BrokerHandle | undefined): Promise<string> {
  if (broker !== undefined) return broker.urls[transport] ?? broker.url
  return transport === 'http' ? `http://127.0.0.1:${await findFreePort()}` : `${transport}://`
}

async function page(): Promise<string> {
  return [
    '# Cost of idle loops',
    '',
    'What loops cost while nothing happens. Written by `npm run idle-cost -- --output docs/idle-cost.md`.',
    '',
    ...(await machine()),
    `- Load of the machine (one minute): ${loadBefore.toFixed(1)} before, ${(loadavg()[0] ?? 0).toFixed(1)} after`,
    '',
    `One process, each loop a group of its own on one topic, default options, a broker of its own for each row. Each loop handles 100 messages; after ${quietS} s of quiet it is measured for ${windowS} s. CPU is the share of one core, all threads of the client process included. Packets are TCP packets with data that the process sends, by the kernel's counters, bytes their payload. Calls are counted by the server (Redis: MONITOR, without what scripts call in turn).`,
    '',
    '| transport | loops | partitions | sockets | packets/s | bytes/s | calls/s | CPU |',
    '|---|---|---|---|---|---|---|---|',
    ...rows.map(line),
    '',
  ].join('\n')
}

function line({ transport, loops: count, partitions: number, result }: Row): string {
  const cells =
    typeof result === 'string' ? ['', '', '', '', `not measured: ${result.split('\n')[0]}`] : cellsOf(result)
  return `| ${[transport, count, IDLE_TRANSPORTS[transport].partitioned ? number : '', ...cells].join(' | ')} |`
}

function cellsOf({ sockets, packetsPerSecond, bytesPerSecond, callsPerSecond, cpuPercent }: IdleResult): string[] {
  const rounded = (value: number | undefined): string => (value === undefined ? '' : value.toFixed(value < 10 ? 1 : 0))
  return [
    String(sockets),
    rounded(packetsPerSecond),
    rounded(bytesPerSecond),
    rounded(callsPerSecond),
    `${cpuPercent.toFixed(1)} %`,
  ]
}

function numbers(text: string): number[] {
  const list = text.split(',').map(Number)
  return list.every((number) => Number.isInteger(number) && number > 0) ? list : fail()
}

function fail(): never {
  console.error(USAGE)
  process.exit(2)
}
