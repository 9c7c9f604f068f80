import { StreamError } from '@streamswitch/core'
import { expect, test } from 'vitest'
import { classifyError, inequivalentArgument } from '../src/errors.js'

function native(message: string, code?: string | number): Error {
  return Object.assign(new Error(message), code === undefined ? {} : { code })
}

const closed = (code: number, name: string, text: string): Error =>
  native(`Channel closed by server: ${code} (${name}) with message "${text}"`, code)

const TABLE: readonly (readonly [string, Error, string, boolean])[] = [
  ['refused connection', native('connect ECONNREFUSED 127.0.0.1:5672', 'ECONNREFUSED'), 'UNAVAILABLE', true],
  ['reset connection', native('read ECONNRESET', 'ECONNRESET'), 'UNAVAILABLE', true],
  ['unknown host', native('getaddrinfo ENOTFOUND nowhere', 'ENOTFOUND'), 'UNAVAILABLE', true],
  ['handshake timeout', native('connect ETIMEDOUT'), 'UNAVAILABLE', true],
  ['socket ended', native('Unexpected close'), 'UNAVAILABLE', true],
  ['socket ended in the handshake', native('Socket closed abruptly during opening handshake'), 'UNAVAILABLE', true],
  ['silence', native('Heartbeat timeout'), 'UNAVAILABLE', true],
  ['confirm of a dead channel', native('channel closed'), 'UNAVAILABLE', true],
  ['call on a dead channel', native('Channel closed'), 'UNAVAILABLE', true],
  ['call without an answer', native('Channel ended, no reply will be forthcoming'), 'UNAVAILABLE', true],
  ['nack', native('message nacked'), 'UNAVAILABLE', true],
  [
    'broker stops',
    native(
      'Connection closed: 320 (CONNECTION-FORCED) with message "CONNECTION_FORCED - broker forced connection closure with reason \'shutdown\'"',
      320,
    ),
    'UNAVAILABLE',
    true,
  ],
  ['broker failed', closed(541, 'INTERNAL-ERROR', 'INTERNAL_ERROR'), 'UNAVAILABLE', true],
  [
    'wrong password',
    native(
      'Handshake terminated by server: 403 (ACCESS-REFUSED) with message "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."',
    ),
    'UNAUTHENTICATED',
    false,
  ],
  [
    'refused vhost without a reason',
    native('Expected ConnectionOpenOk; got <ConnectionClose channel:0>'),
    'UNAVAILABLE',
    true,
  ],
  ['missing vhost', native('NOT_ALLOWED - vhost absent not found', 530), 'NOT_FOUND', false],
  [
    'forbidden vhost',
    native("NOT_ALLOWED - access to vhost '/' refused for user 'app'", 530),
    'PERMISSION_DENIED',
    false,
  ],
  [
    'connection limit of a vhost',
    native("NOT_ALLOWED - access to vhost 'a' refused for user 'app': connection limit (1) is reached", 530),
    'RESOURCE_EXHAUSTED',
    true,
  ],
  ['untrusted certificate', native('self-signed certificate', 'DEPTH_ZERO_SELF_SIGNED_CERT'), 'UNAUTHENTICATED', false],
  [
    'TLS to a plain port',
    native('ssl3_get_record:wrong version number', 'ERR_SSL_WRONG_VERSION_NUMBER'),
    'INVALID_ARGUMENT',
    false,
  ],
  [
    'missing permission',
    closed(
      403,
      'ACCESS-REFUSED',
      "ACCESS_REFUSED - configure access to exchange 'a' in vhost '/' refused for user 'b'",
    ),
    'PERMISSION_DENIED',
    false,
  ],
  ['missing queue', closed(404, 'NOT-FOUND', "NOT_FOUND - no queue 'a' in vhost '/'"), 'NOT_FOUND', false],
  [
    'queue of a node that is down',
    closed(404, 'NOT-FOUND', "NOT_FOUND - home node 'r2@b' of durable queue 'a' in vhost '/' is down or inaccessible"),
    'UNAVAILABLE',
    true,
  ],
  [
    'stream whose replica has not started yet',
    closed(
      406,
      'PRECONDITION-FAILED',
      "PRECONDITION_FAILED - stream queue 'a:partitions' in vhost '/' does not have a running replica on the local node",
    ),
    'UNAVAILABLE',
    true,
  ],
  [
    'exclusive queue of somebody else',
    closed(405, 'RESOURCE-LOCKED', 'RESOURCE_LOCKED - cannot obtain exclusive access'),
    'CONFLICT',
    false,
  ],
  [
    'other ordering',
    closed(
      406,
      'PRECONDITION-FAILED',
      "PRECONDITION_FAILED - inequivalent arg 'x-single-active-consumer' for queue 'a' in vhost '/': received none but current is the value 'true' of type 'bool'",
    ),
    'CONFLICT',
    false,
  ],
  [
    'message too large',
    closed(406, 'PRECONDITION-FAILED', 'PRECONDITION_FAILED - message size 20 is larger than configured max size 10'),
    'TOO_LARGE',
    false,
  ],
  [
    'ack timeout',
    closed(
      406,
      'PRECONDITION-FAILED',
      'PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1 ms.',
    ),
    'TIMEOUT',
    true,
  ],
  ['ack twice', closed(406, 'PRECONDITION-FAILED', 'PRECONDITION_FAILED - unknown delivery tag 7'), 'ABORTED', false],
  [
    'unknown exchange type',
    closed(406, 'PRECONDITION-FAILED', "PRECONDITION_FAILED - unknown exchange type 'x'"),
    'UNSUPPORTED',
    false,
  ],
  ['broker out of resources', closed(506, 'RESOURCE-ERROR', 'RESOURCE_ERROR'), 'RESOURCE_EXHAUSTED', true],
  ['too many channels', native('No channels left to allocate'), 'RESOURCE_EXHAUSTED', true],
  ['anything else', native('what is this'), 'UNKNOWN', true],
]

test.each(TABLE)('%s', (_name, error, code, retryable) => {
  const classified = classifyError(error, 'send', 'orders')
  expect(classified).toMatchObject({
    code,
    retryable,
    transport: 'amqp',
    operation: 'send',
    topic: 'orders',
    cause: error,
  })
})

test('an error of ours passes through, and names the topic it was thrown for', () => {
  const ours = new StreamError('broken', { code: 'CONFLICT', topic: 'other' })
  expect(classifyError(ours, 'open', 'orders')).toBe(ours)
  const anonymous = new StreamError('no answer', { code: 'UNAVAILABLE', transport: 'amqp' })
  expect(classifyError(anonymous, 'open', 'orders')).toMatchObject({
    code: 'UNAVAILABLE',
    topic: 'orders',
    message: 'no answer',
  })
})

test('the message is the broker’s own, with what to do about it', () => {
  const error = closed(404, 'NOT-FOUND', "NOT_FOUND - no exchange 'orders' in vhost '/'")
  expect(classifyError(error, 'open').message).toBe(
    "NOT_FOUND - no exchange 'orders' in vhost '/'; create it, or open the transport with provision: 'create'",
  )
})

test('a refused declaration tells which argument differs, and what it is', () => {
  const differs = (rest: string): Error =>
    native(
      `Operation failed: QueueDeclare; 406 (PRECONDITION-FAILED) with message "PRECONDITION_FAILED - inequivalent arg ${rest}"`,
      406,
    )
  expect(
    inequivalentArgument(differs("'x-max-length' for queue 'e' in vhost '/': received '1' but current is '4'")),
  ).toEqual({ name: 'x-max-length', current: '4' })
  expect(
    inequivalentArgument(
      differs(
        "'x-message-ttl' for queue 'e' in vhost '/': received the value '1000' of type 'short' but current is none",
      ),
    ),
  ).toEqual({ name: 'x-message-ttl', current: undefined })
  expect(
    inequivalentArgument(
      differs(
        "'x-overflow' for queue 'e' in vhost '/': received none but current is the value 'reject-publish' of type 'longstr'",
      ),
    ),
  ).toEqual({ name: 'x-overflow', current: 'reject-publish' })
  expect(inequivalentArgument(native('something else', 406))).toBeUndefined()
})
