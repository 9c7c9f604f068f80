/**
 * What `npm test` runs of the brokers' versions and of hostile operators. What is known to fail is left out here and nowhere else: once
 * an adapter is mended, take its line from `KNOWN_TO_FAIL`.
 */

/** The newest versions, on which the cases of `newest-brokers-cases.mjs` run. */
export const NEWEST = ['redis@8', 'valkey@9', 'rabbitmq@4', 'kafka@4']

/**
 * Operators under which a ledger is kept, by a part of their names that is theirs alone, and the transport.
 *
 * @type {readonly { readonly operator: string, readonly transport: string }[]}
 */
export const OPERATORS = [
  { operator: 'maxmemory 16 MB, noeviction', transport: 'redis' },
  { operator: 'ACL: XREADGROUP', transport: 'redis' },
  { operator: 'delivery-limit 3', transport: 'amqp' },
  { operator: 'message-ttl 3000', transport: 'amqp' },
  { operator: 'reject-publish', transport: 'amqp' },
  { operator: 'max-length-bytes 1000000', transport: 'rabbitmq-stream' },
  { operator: 'XTRIM MAXLEN', transport: 'redis' },
  { operator: 'log.retention.bytes', transport: 'kafka' },
  { operator: 'ACL: READ on each group', transport: 'kafka' },
]

/**
 * Pairs of a transport and a version or an operator from above.
 *
 * @type {readonly { readonly transport: string, readonly on: string, readonly reason: string }[]}
 */
export const KNOWN_TO_FAIL = []

/**
 * Whether a transport is known to fail there.
 *
 * @param {string} transport
 * @param {string} on
 */
export function isKnownToFail(transport, on) {
  return KNOWN_TO_FAIL.some((one) => one.transport === transport && one.on === on)
}
