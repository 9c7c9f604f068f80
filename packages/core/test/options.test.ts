import { describe, expect, it } from 'vitest'
import { isStreamError } from '../src/errors.js'
import { option } from '../src/options/fields.js'
import { readOptions, resolveOptions } from '../src/options/resolve.js'
import { tlsFields } from '../src/tls.js'

const fields = {
  clientId: option.text({ default: 'me', environment: 'X_CLIENT_ID' }),
  password: option.text({ secret: true }),
  attempts: option.integer({ default: 5, min: 1, max: 9 }),
  ratio: option.decimal({ default: 1.5, min: 1 }),
  verbose: option.flag({ default: false }),
  mode: option.choice(['fast', 'safe'], { default: 'safe' }),
  hosts: option.texts(),
  retry: option.group({
    minDelayMs: option.integer({ default: 10, min: 0 }),
    maxDelayMs: option.integer({ default: 20, min: 0 }),
  }),
}

const context = { subject: 'the test' }

/** The problems that reading the options reports, without the heading. */
function problemsOf(read: () => unknown): string {
  try {
    read()
  } catch (error) {
    expect(isStreamError(error) && error.code).toBe('INVALID_ARGUMENT')
    return (error as Error).message.replace('invalid options of the test: ', '')
  }
  throw new Error('nothing was wrong')
}

describe('options', () => {
  it('has defaults, also within groups that were not given or given in part', () => {
    expect(readOptions(fields, {}, context)).toEqual({
      clientId: 'me',
      attempts: 5,
      ratio: 1.5,
      verbose: false,
      mode: 'safe',
      hosts: undefined,
      password: undefined,
      retry: { minDelayMs: 10, maxDelayMs: 20 },
    })
    expect(readOptions(fields, { retry: { maxDelayMs: 7 } }, context).retry).toEqual({ minDelayMs: 10, maxDelayMs: 7 })
  })

  it('takes code before URL before environment before default, and reads texts', () => {
    const read = (code: object, url: object) =>
      resolveOptions(
        fields,
        [
          { from: 'code', values: code },
          { from: 'url', values: url },
        ],
        { X_CLIENT_ID: 'env' },
        context,
      )
    expect(read({}, {}).clientId).toBe('env')
    expect(read({}, { clientId: 'url' }).clientId).toBe('url')
    expect(read({ clientId: 'code' }, { clientId: 'url' }).clientId).toBe('code')
    expect(read({}, { attempts: '3', verbose: 'true', ratio: '2.5', hosts: 'a, b' })).toMatchObject({
      attempts: 3,
      verbose: true,
      ratio: 2.5,
      hosts: ['a', 'b'],
    })
  })

  it.each([
    [{ attemps: 3 }, "attemps: unknown option; did you mean 'attempts'?"],
    [
      { zzz: 3 },
      'zzz: unknown option; known options are clientId, password, attempts, ratio, verbose, mode, hosts, retry',
    ],
    [{ attempts: 0 }, 'attempts: must be an integer from 1 to 9, got 0'],
    [{ attempts: 2.5 }, 'attempts: must be an integer from 1 to 9, got 2.5'],
    [{ attempts: Number.NaN }, 'attempts: must be an integer from 1 to 9, got null'],
    [{ attempts: {} }, 'attempts: must be an integer from 1 to 9, got an object'],
    [{ ratio: 'x' }, 'ratio: must be a number of at least 1, got a string'],
    [{ verbose: 'yes' }, 'verbose: must be true or false, got a string'],
    [{ mode: 'slow' }, "mode: must be one of 'fast', 'safe', got 'slow'"],
    [{ hosts: [''] }, 'hosts: must be a list of non-empty strings, got a list'],
    [{ clientId: '' }, 'clientId: must be a non-empty string, got an empty string'],
    [{ password: 5 }, 'password: must be a non-empty string, got a number'],
    [{ retry: { minDelayMs: -1 } }, 'retry.minDelayMs: must be an integer of at least 0, got -1'],
    [{ retry: { minDelay: 1 } }, "retry.minDelay: unknown option; did you mean 'minDelayMs'?"],
    [{ retry: 5 }, 'retry: must be an object, got a number'],
    ['text', 'options: must be an object, got a string'],
  ])('%j -> %s', (given, problem) => {
    expect(problemsOf(() => readOptions(fields, given as never, context))).toBe(problem)
  })

  it('reports everything at once, names where a text came from, and never shows a secret', () => {
    const message = problemsOf(() =>
      resolveOptions(
        { ...fields, token: option.integer({ min: 0, secret: true }) },
        [
          { from: 'code', values: { token: 'hunter2', mode: 'x' } },
          { from: 'url', values: { attempts: 'many' } },
        ],
        { X_CLIENT_ID: 'ok' },
        context,
      ),
    )
    expect(message).toContain('\n  - ?attempts: must be an integer from 1 to 9, got "many"')
    expect(message).toContain('\n  - token: ')
    expect(message).toContain('\n  - mode: ')
    expect(message).not.toContain('hunter2')
  })

  it('a name from the prototype is unknown, and does no harm', () => {
    expect(problemsOf(() => readOptions(fields, JSON.parse('{"__proto__": {"attempts": 3}}'), context))).toContain(
      '__proto__: unknown option',
    )
    expect(problemsOf(() => readOptions(fields, { constructor: 1 } as never, context))).toContain(
      'constructor: unknown option',
    )
  })

  it('TLS verifies unless told otherwise', () => {
    expect(readOptions(tlsFields, {}, context).tlsVerify).toBe(true)
  })
})
