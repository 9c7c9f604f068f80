import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** What a process's TCP connections have sent so far. */
export interface Sent {
  readonly packets: number
  readonly bytes: number
}

/** How many TCP connections this process has open. */
export function openSockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length
}

/** By the kernel's own counters, of the connections that are open now; `undefined` where iproute2's `ss` isn't there. */
export async function sentByThisProcess(): Promise<Sent | undefined> {
  const ours = new RegExp(`\\bpid=${process.pid},`)
  try {
    const { stdout } = await execute('ss', ['-tinpHO', 'state', 'established'], { maxBuffer: 64 * 1024 * 1024 })
    const lines = stdout.split('\n').filter((line) => ours.test(line))
    return { packets: sum(lines, /\bdata_segs_out:(\d+)/), bytes: sum(lines, /\bbytes_sent:(\d+)/) }
  } catch {
    return undefined
  }
}

function sum(lines: readonly string[], pattern: RegExp): number {
  return lines.reduce((total, line) => total + Number(pattern.exec(line)?.[1] ?? 0), 0)
}
