import { inspect } from 'node:util'
import { StreamError, Transport } from '@streamswitch/core'
import { describe, expect, test } from 'vitest'
import { classifyError } from '../src/errors.js'
import redis from '../src/index.js'

/** Texts as Redis 8.0, Node.js 20 and ioredis 6.0 produce them. */
const TABLE: readonly (readonly [text: string, code: string, retryable: boolean, nodeCode?: string])[] = [
  ['NOAUTH Authentication required.', 'UNAUTHENTICATED', false],
  ['WRONGPASS invalid username-password pair or user is disabled.', 'UNAUTHENTICATED', false],
  ["NOPERM User app has no permissions to run the 'xadd' command", 'PERMISSION_DENIED', false],
  [
    "ERR ACL failure in script: User app has no permissions to run the 'xadd' command script: 1f, on @user_script:1.",
    'PERMISSION_DENIED',
    false,
  ],
  [
    "OOM command not allowed when used memory > 'maxmemory'. script: 1f, on @user_script:3.",
    'RESOURCE_EXHAUSTED',
    true,
  ],
  ['LOADING Redis is loading the dataset in memory', 'UNAVAILABLE', true],
  ["READONLY You can't write against a read only replica.", 'UNAVAILABLE', true],
  ["MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", 'UNAVAILABLE', true],
  [
    'MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist to disk.',
    'UNAVAILABLE',
    true,
  ],
  ['NOREPLICAS Not enough good replicas to write.', 'UNAVAILABLE', true],
  ['BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.', 'UNAVAILABLE', true],
  ['CLUSTERDOWN The cluster is down', 'UNAVAILABLE', true],
  ['MOVED 3999 127.0.0.1:6381', 'UNSUPPORTED', false],
  ['ERR max number of clients reached', 'RESOURCE_EXHAUSTED', true],
  ['connect EMFILE 127.0.0.1:6379', 'RESOURCE_EXHAUSTED', true, 'EMFILE'],
  ["NOGROUP No such key 'orders' or consumer group 'g' in XREADGROUP with GROUP option", 'NOT_FOUND', true],
  ['WRONGTYPE Operation against a key holding the wrong kind of value', 'CONFLICT', false],
  ['SSVERSION 2', 'UNSUPPORTED', false],
  ['ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.', 'UNSUPPORTED', false],
  ['ERR DB index is out of range', 'INVALID_ARGUMENT', false],
  ["ERR unknown command 'XAUTOCLAIM', with args beginning with: ", 'UNSUPPORTED', false],
  ['ERR Protocol error: invalid bulk length', 'TOO_LARGE', false],
  ['self-signed certificate', 'UNAUTHENTICATED', false, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
  ["Hostname/IP does not match certificate's altnames", 'UNAUTHENTICATED', false, 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ['wrong version number', 'INVALID_ARGUMENT', false, 'ERR_SSL_WRONG_VERSION_NUMBER'],
  ['connect ECONNREFUSED 127.0.0.1:1', 'UNAVAILABLE', true, 'ECONNREFUSED'],
  ['getaddrinfo ENOTFOUND nowhere.invalid', 'UNAVAILABLE', true, 'ENOTFOUND'],
  ['read ECONNRESET', 'UNAVAILABLE', true, 'ECONNRESET'],
  ['Command timed out', 'UNAVAILABLE', true],
  ['Connection is closed.', 'UNAVAILABLE', true],
  ["Stream isn't writeable and enableOfflineQueue options is false", 'UNAVAILABLE', true],
  ['ERR something new', 'UNKNOWN', true],
]

describe('a missing right', () => {
  const denied = (text: string, name: string, ...args: readonly unknown[]): Error =>
    Object.assign(new Error(text), { command: { name, args } })
  const KEY = 'NOPERM No permissions to access a key'

  test.each([
    [
      denied("NOPERM User app has no permissions to run the 'xgroup|create' command", 'xgroup', 'CREATE'),
      '+xgroup|create;',
    ],
    [denied(KEY, 'xadd', Buffer.from('app.orders'), '*', 'payload', 'secret'), '~app.orders (keys of XADD);'],
    [denied(KEY, 'EVALSHA', 'f00', 2, 'one', 'two', 'secret'), 'one of ~one, ~two (keys of EVALSHA);'],
    [denied(KEY, 'EVAL', 'return 1', '4', 'a', 'b', 'c', 'd'), 'one of ~a, ~b, ~c, … (keys of EVAL);'],
    [denied(KEY, 'XREAD', 'COUNT', 5, 'STREAMS', 'replies', '0-0'), '~replies (keys of XREAD);'],
    [denied(KEY, 'XINFO', 'STREAM', 'line\nfeed'), '~line\\nfeed (keys of XINFO);'],
    [new Error(`ERR ACL failure in script: ${KEY}`), 'a key pattern (~…) or a command (+…);'],
  ])('%s', (native, named) => {
    const { message } = classifyError(native, 'send', 'orders')
    expect(message).toContain(`the user lacks a permission: ${named} grant it, see docs/rights.md`)
    expect(message).not.toContain('secret')
  })
})

describe('native errors', () => {
  for (const [text, code, retryable, nodeCode] of TABLE) {
    test(`${text} -> ${code}`, () => {
      const native = Object.assign(new Error(text), nodeCode === undefined ? {} : { code: nodeCode })
      const error = classifyError(native, 'send', 'orders')
      expect(error).toMatchObject({ code, retryable, transport: 'redis', operation: 'send', topic: 'orders' })
      expect(error.cause).toBe(native)
      expect(error.message).toContain(text)
    })
  }

  test('an error of ours passes through', () => {
    const ours = new StreamError('no', { code: 'CONFLICT' })
    expect(classifyError(ours, 'send')).toBe(ours)
  })

  test('the command, which may hold a password or a payload, is taken off', () => {
    const native = Object.assign(new Error('WRONGPASS no'), { command: { name: 'auth', args: ['hunter2'] } })
    const error = classifyError(native, 'open')
    expect(inspect(error, { depth: 5, showHidden: true })).not.toContain('hunter2')
  })

  test('what is no error at all', () => {
    expect(classifyError('odd', 'send')).toMatchObject({ code: 'UNKNOWN', message: 'send failed: odd' })
  })
})

test('options below the name of the adapter are typed where producers are made, and checked', () => {
  const transport = new Transport(redis, 'redis://127.0.0.1:6379', { environment: {} })
  expect(() =>
    transport.producer('orders', {
      redis: {
        // @ts-expect-error: the compiler finds it as well
        publisherNam: 'billing',
      },
    }),
  ).toThrow("did you mean 'publisherName'?")
})
