import { isIP } from 'node:net'
import { isLoopback } from '@streamswitch/core/driver'
import type { FastifyRequest } from 'fastify'

/** Headers by which proxies say that they speak for somebody else. */
const FORWARDED = ['forwarded', 'via', 'x-forwarded-for', 'x-real-ip'] as const

/**
 * The address of a request's client: of the connection's other end; where that is a named proxy, the last one that its
 * `x-forwarded-for` has before the named proxies. `undefined` where that is no address.
 */
export function clientAddress(request: FastifyRequest): string | undefined {
  // A server that listens to both versions shows IPv4 addresses within IPv6.
  const address = request.ip.replace(/^::ffff:(?=\d+\.)/i, '')
  return isIP(address) === 0 ? undefined : address
}

/**
 * Whether a request comes from a process of this machine. One that a proxy passes on does where the proxy is named, and its client
 * is of this machine; headers of others can only take away from what a request may do.
 */
export function isLocal(request: FastifyRequest): boolean {
  const peer = request.raw.socket.remoteAddress ?? ''
  if (FORWARDED.every((name) => request.headers[name] === undefined)) return isLoopback(peer)
  // More than the peer: a named proxy has said for whom.
  return (request.ips?.length ?? 0) > 1 && isLoopback(clientAddress(request) ?? '')
}
