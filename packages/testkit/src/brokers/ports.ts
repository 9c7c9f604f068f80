import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { BrokerError } from './errors.js'
import { commandLine } from './process.js'

// From 32768 on the kernel hands ports to outgoing connections, so a restarted broker might find its own taken.
const LOWEST_PORT = 20_000
const HIGHEST_PORT = 31_999

/** Ports that this process has handed out; a broker needs a moment until it listens. */
const handedOut = new Set<number>()

/** Whether a server could listen on this port of 127.0.0.1 now. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/**
 * A random port between 20000 and 31999 on which nobody listens, not handed out twice by one process.
 * Rejects with UNAVAILABLE when 200 attempts find none.
 */
export async function findFreePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT + 1))
    if (handedOut.has(port)) continue
    handedOut.add(port)
    if (await isPortFree(port)) return port
  }
  throw new BrokerError('UNAVAILABLE', `no free port between ${LOWEST_PORT} and ${HIGHEST_PORT} on 127.0.0.1`)
}

/** Who listens on a port. `pid` and `command` are missing where the process belongs to another user. */
export interface PortHolder {
  readonly port: number
  readonly pid?: number
  readonly command?: string
}

/** The socket inodes that listen on a port, from the text of `/proc/net/tcp` or `/proc/net/tcp6`. */
export function listeningInodes(table: string, port: number): string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0')
  const inodes: string[] = []
  for (const line of table.split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/)
    const listening = fields[3] === '0A'
    if (listening && fields[1]?.split(':')[1] === wanted && fields[9] !== undefined) inodes.push(fields[9])
  }
  return inodes
}

/** A socket that accepts TCP connections: its address as the kernel's table writes it, in hexadecimal digits, and its port. */
export interface ListeningAddress {
  readonly address: string
  readonly port: number
}

/** The TCP sockets on which a process listens, as far as `/proc` shows them. */
export function listeningAddresses(pid: number): ListeningAddress[] {
  const found: ListeningAddress[] = []
  for (const line of ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) => readText(path).split('\n').slice(1))) {
    const fields = line.trim().split(/\s+/)
    const [address = '', port = ''] = (fields[1] ?? '').split(':')
    if (fields[3] === '0A' && holdsSocket(String(pid), new Set([`socket:[${fields[9]}]`])))
      found.push({ address, port: Number.parseInt(port, 16) })
  }
  return found
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function holdsSocket(pid: string, sockets: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return sockets.has(readlinkSync(`/proc/${pid}/fd/${fd}`))
      } catch {
        return false
      }
    })
  } catch {
    return false
  }
}

/** Who listens on a TCP port of this machine, as far as `/proc` shows it; undefined when nobody is seen. */
export function findPortHolder(port: number): PortHolder | undefined {
  const inodes = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) => listeningInodes(readText(path), port))
  if (inodes.length === 0) return undefined
  const sockets = new Set(inodes.map((inode) => `socket:[${inode}]`))
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || !holdsSocket(entry, sockets)) continue
    const pid = Number(entry)
    const command = commandLine(pid)
    return { port, pid, ...(command === undefined ? {} : { command }) }
  }
  return { port }
}

/** Programs from unpacked packages are started by their own loader, which says nothing to a reader. */
function withoutLoader(command: string): string {
  return command.replace(/^\S*\/ld-linux\S* --library-path \S+ --argv0 (\S+) \S+/, '$1')
}

/** One line on who holds a port, such as `port 6379 is held by process 812 (redis-server *:6379)`. */
export function describePortHolder(port: number): string {
  const holder = findPortHolder(port)
  if (holder?.pid === undefined) return `port ${port} is taken by a process that this user can't see`
  const command = holder.command === undefined ? '' : ` (${withoutLoader(holder.command).slice(0, 160)})`
  return `port ${port} is held by process ${holder.pid}${command}`
}
