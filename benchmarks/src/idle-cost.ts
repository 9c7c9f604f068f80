// What loops cost while nothing happens: sockets, packets, calls and processor time, per transport, loops and partitions.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { type BrokerHandle, type BrokerName, findFreePort, startBroker } from '@streamswitch/testkit/brokers'
import { IDLE_TRANSPORTS, type IdleTransport, MESSAGES } from './idle/idle-case.js'
import { type IdleResult, runIdleCase } from './idle/idle-process.js'
import { machine } from './machine.js'
import { messageOf } from './measuring/case-process.js'

interface Row {
  readonly transport: IdleTransport
  readonly loops: number
  readonly partitions: number
  readonly result: IdleResult | string
  /** Load of the machine over the minute before. */
  readonly load: number
}

const NAMES = Object.keys(IDLE_TRANSPORTS) as IdleTransport[]
const USAGE = `usage: idle-cost [--transports ${NAMES.join(',')}] [--loops 1,100] [--partitions 1,8,64]
       [--quiet-seconds 30] [--window-seconds 15] [--limit-seconds 300] [--output docs/idle-cost.md]
--output writes the page; what it says of other transports stays`

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
      const result = await measureCase(transport, needed, count, number).catch(messageOf)
      measured.push({ transport, loops: count, partitions: number, result, load: loadavg()[0] ?? 0 })
      console.error(transport, line(measured.at(-1) as Row))
    }
  }
  return measured
}

async function measureCase(
  transport: IdleTransport,
  needed: BrokerName | undefined,
  count: number,
  number: number,
): Promise<IdleResult> {
  // Empty brokers: what one case left behind would be work for the next one.
  const broker = needed === undefined ? undefined : await started(needed)
  try {
    const url = await urlOf(transport, broker)
    const times = { quietMs: quietS * 1_000, windowMs: windowS * 1_000 }
    const settings = { transport, url, loops: count, partitions: number, ...times }
    return await runIdleCase(settings, limitS * 1_000 + times.quietMs + times.windowMs)
  } finally {
    await broker?.remove()
  }
}

async function started(name: BrokerName): Promise<BrokerHandle> {
  try {
    return await startBroker(name)
  } catch (cause) {
    console.error(messageOf(cause))
    throw new Error(`its broker, ${name}, did not start`, { cause })
  }
}

async function urlOf(transport: IdleTransport, broker: BrokerHandle | undefined): Promise<string> {
  if (broker !== undefined) return broker.urls[transport] ?? broker.url
  return transport === 'http' ? `http://127.0.0.1:${await findFreePort()}` : `${transport}://`
}

/** Transports that weren't measured now keep what an earlier run has written about them. */
async function page(): Promise<string> {
  const before = values.output !== undefined && existsSync(values.output) ? readFileSync(values.output, 'utf8') : ''
  const facts = (await machine()).join('\n')
  return [
    '# Cost of idle loops',
    '',
    'What loops cost while nothing happens. Written by `npm run idle-cost -- --output docs/idle-cost.md`, also for some transports at a time (`--transports`).',
    '',
    `One process, each loop a group of its own on one topic, default options, a broker of its own for each row. Each loop handles ${MESSAGES} messages; after some seconds of quiet it is measured. CPU is the share of one core, all threads of the client process included; load is that of the machine, over one minute: where it is above the number of cores, other work made the CPU figures larger. Packets are TCP packets with data that the process sends, by the kernel's counters, bytes their payload. Calls are counted by the server (Redis: MONITOR, without what scripts call in turn). Ten loops join at a time, and "joined" is the time until all have.`,
    '',
    ...NAMES.flatMap((name) => [
      `## ${name}`,
      '',
      transports.includes(name) ? section(name, facts) : (sectionOf(before, name) ?? 'Not measured yet.'),
      '',
    ]),
  ].join('\n')
}

function section(name: IdleTransport, facts: string): string {
  return [
    facts,
    `- ${quietS} s of quiet, ${windowS} s of measurement; a row may take ${limitS} s more, and says what it was doing where that isn't enough`,
    '',
    '| loops | partitions | sockets | packets/s | bytes/s | calls/s | CPU | joined | load |',
    '|---|---|---|---|---|---|---|---|---|',
    ...rows.filter(({ transport }) => transport === name).map(line),
  ].join('\n')
}

function sectionOf(text: string, name: IdleTransport): string | undefined {
  const [, after] = text.split(`\n## ${name}\n`)
  return after?.split('\n## ')[0]?.trim()
}

function line({ transport, loops: count, partitions: number, result, load }: Row): string {
  const cells =
    typeof result === 'string'
      ? ['', '', '', '', `not measured: ${result.split('\n')[0]}`, '']
      : [...cellsOf(result), `${result.joinSeconds.toFixed(1)} s`]
  const shown = IDLE_TRANSPORTS[transport].partitioned ? number : ''
  return `| ${[count, shown, ...cells, load.toFixed(1)].join(' | ')} |`
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
