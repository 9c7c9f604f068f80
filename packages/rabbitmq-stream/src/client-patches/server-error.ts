/** A response of the broker whose code is not OK, or a Close that it sent. */
export class ServerError extends Error {
  override readonly name = 'ServerError'
  /** As in the stream protocol's table of response codes. */
  readonly code: number
  /** What the request needed, where that is known. */
  readonly needed: NeededRight | undefined

  constructor(code: number, action: string, reason?: string, needed?: NeededRight) {
    super(
      `${action}: the broker answered ${responseText(code)}${reason === undefined || reason === '' ? '' : ` (${reason})`}`,
    )
    this.code = code
    this.needed = needed
  }
}

/** A permission of RabbitMQ's (configure, write, read) on a stream. */
export interface NeededRight {
  readonly right: string
  readonly stream: string
}

/** The connection is gone, or has to be given up: no answer within its deadline, a frame that can't be read. */
export class ConnectionGone extends Error {
  override readonly name: string = 'ConnectionGone'
}

/** A stream has no leader at the moment, as right after its creation and after a broker's start. */
export class NoLeader extends ConnectionGone {
  override readonly name = 'NoLeader'
}

/** A disk alarm: the broker takes no publishers while it lasts, and says only that a precondition has failed. */
export class PublishersRefused extends Error {
  override readonly name = 'PublishersRefused'
}

/** Response codes of the stream protocol: https://github.com/rabbitmq/rabbitmq-server/blob/main/deps/rabbitmq_stream/docs/PROTOCOL.adoc */
export const ResponseCode = {
  ok: 0x01,
  streamDoesNotExist: 0x02,
  subscriptionIdExists: 0x03,
  subscriptionIdDoesNotExist: 0x04,
  streamAlreadyExists: 0x05,
  streamNotAvailable: 0x06,
  saslMechanismNotSupported: 0x07,
  authenticationFailure: 0x08,
  saslError: 0x09,
  saslChallenge: 0x0a,
  authenticationFailureLoopback: 0x0b,
  virtualHostAccessFailure: 0x0c,
  unknownFrame: 0x0d,
  frameTooLarge: 0x0e,
  internalError: 0x0f,
  accessRefused: 0x10,
  preconditionFailed: 0x11,
  publisherDoesNotExist: 0x12,
  noOffset: 0x13,
} as const

function responseText(code: number): string {
  const known = Object.entries(ResponseCode).find(([, value]) => value === code)
  return known === undefined
    ? `with code ${code}`
    : `'${known[0].replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)}'`
}
