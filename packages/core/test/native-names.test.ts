import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { derivedDeadLetterTopic, escapeName } from '../src/native-names/escape.js'
import { checkNameMap } from '../src/native-names/name-map.js'
import { Transport } from '../src/transport/transport.js'
import { Script, scriptedAdapter } from './support/scripted-adapter.js'

const PORTABLE = fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,99}$/)
const PREFIX = fc.stringMatching(/^[a-z0-9._-]{0,50}$/)
/** Any text, and texts that look as the escape does. */
const NATIVE = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }),
  fc
    .array(fc.constantFrom('_', 'X', 'XH', '_X', '3A', ':', '.', 'amq.', 'é', 'a', '{', '}', '/', 'dlq'), {
      minLength: 1,
    })
    .map((parts) => parts.join('')),
)

describe('the escape of native names', () => {
  it('is injective, safe on every broker and bounded, whatever the name', () => {
    const origins = new Map<string, string>()
    fc.assert(
      fc.property(NATIVE, (name) => {
        const derived = escapeName(name)
        expect(derived).toMatch(/^[A-Za-z0-9._-]{1,150}$/)
        expect(derived).not.toMatch(/^(amq\..*|\.|\.\.)$/)
        expect(origins.get(derived) ?? name).toBe(name)
        origins.set(derived, name)
        // What is escaped is never what another name is as it stands.
        if (derived !== name) expect(escapeName(derived)).not.toBe(derived)
      }),
      { numRuns: 3_000 },
    )
  })

  it('leaves prefix and portable name as they are', () => {
    fc.assert(
      fc.property(PREFIX, PORTABLE, (prefix, name) => {
        const whole = prefix + name
        if (!whole.startsWith('amq.') && !/^\.{1,2}$/.test(whole)) expect(escapeName(whole)).toBe(whole)
      }),
    )
  })

  it.each([
    ['OrderEvents', 'OrderEvents'],
    ['app:orders', 'app_X3Aorders'],
    ['app_X3Aorders', 'app_X5FX3Aorders'],
    ['é', '_XC3_XA9'],
    ['amq.topic', '_X61mq.topic'],
    ['..', '_X2E_X2E'],
  ])('%s is %s', (name, derived) => {
    expect(escapeName(name)).toBe(derived)
  })

  it('cuts what is too long and ends it in a digest', () => {
    const names = ['a', 'b'].map((last) => escapeName('x'.repeat(200) + last))
    expect(names[0]).toMatch(/^x{115}_XH[0-9a-f]{32}$/)
    expect(names[0]).not.toBe(names[1])
    expect(derivedDeadLetterTopic('T'.repeat(150), 'G')).toMatch(/^T{111}_XH[0-9a-f]{32}\.dlq$/)
    expect(derivedDeadLetterTopic('OrderEvents', 'BillingService')).toBe('OrderEvents.BillingService.dlq')
  })
})

describe('the map of native names', () => {
  it('reads a text as it reads an object', () => {
    const object = { a: { name: 'OrderEvents' }, b: { name: 'app:x,y=1%' }, 'c.d': { name: 'Ö rders' } }
    expect(checkNameMap(object)).toEqual({ value: object })
    expect(checkNameMap(' a=OrderEvents, b = app:x%2Cy%3D1%25,c.d=Ö rders')).toEqual({ value: object })
  })

  it.each([
    ['orders', '"orders"'],
    ['orders=', '"orders="'],
    ['=X', '"=X"'],
    ['a=X,,b=Y', '""'],
    ['a=X,', '""'],
    ['a=X=Y', '"a=X=Y"'],
    ['a=100%', '"a=100%"'],
    ['Orders=X', '"Orders"'],
    ['a=X,a=Y', '"a"'],
    ['streamswitch-replies=X', '"streamswitch-replies"'],
    [{ a: 'X' }, '"a"'],
    [{ a: { name: 'X', more: 1 } }, '"a"'],
    [{ a: { name: '' } }, '"a"'],
    [{ a: { name: '\ud800' } }, '"a"'],
    [{ a: { name: 'x\ny' } }, '"a"'],
    [{ a: { name: 'x'.repeat(1025) } }, '"a"'],
  ])('refuses %j, naming the entry', (raw, entry) => {
    expect(checkNameMap(raw)).toContain(`entry ${entry}`)
  })
})

describe('a transport', () => {
  const adapter = scriptedAdapter(new Script())

  it('without native names refuses one that is used, and no map that is not', () => {
    const transport = new Transport(adapter, 'scripted://', {
      environment: { STREAMSWITCH_TOPIC_NAMES: 'orders=OrderEvents' },
    })
    expect(transport.topicSpec('audit')).toMatchObject({ brokerTopic: 'audit', derivedName: 'audit', native: false })
    expect(() => transport.topicSpec('orders')).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }))
  })

  it('says what is wrong with a name before anything is connected, and with the environment by its variable', () => {
    const rules = {
      topic: (name: string) => (name.length > 9 ? 'must have at most 9 characters' : undefined),
      group: () => undefined,
    }
    const strict = new Transport({ ...adapter, nativeNames: rules }, 'scripted://', {
      environment: {},
      options: { prefix: 'p.', topics: { orders: { name: 'OrderEvents' }, audit: { name: 'Audit' } } },
    })
    expect(() => strict.producer('orders')).toThrow(
      /the native name of topic 'orders' must have at most 9 characters; got "OrderEvents"/,
    )
    expect(strict.topicSpec('audit')).toMatchObject({
      brokerTopic: 'Audit',
      derivedName: 'Audit',
      origin: 'Audit',
      provision: 'verify',
      groups: 'create',
    })
    expect(strict.topicSpec('other')).toMatchObject({
      brokerTopic: 'p.other',
      derivedName: 'p.other',
      origin: 'other',
      provision: 'create',
    })
    const settings = { group: 'g', nativeName: 'X' }
    expect(() => strict.consumer(['a', 'b'], settings)).toThrow(/nativeName: can only be set for a loop with one topic/)
    expect(() => new Transport(adapter, 'scripted://', { environment: { STREAMSWITCH_GROUP_NAMES: 'x' } })).toThrow(
      /STREAMSWITCH_GROUP_NAMES: entry "x": must be name=NativeName/,
    )
  })

  it('refuses a loop over two names of one topic', () => {
    const rules = { topic: () => undefined, group: () => undefined }
    const transport = new Transport({ ...adapter, nativeNames: rules }, 'scripted://', {
      environment: {},
      options: { topics: { a: { name: 'X' }, b: { name: 'X' } } },
    })
    expect(transport.topicSpec('a').brokerTopic).toBe(transport.topicSpec('b').brokerTopic)
    expect(() => transport.consumer(['a', 'b'], { group: 'g' })).toThrow(
      /topics 'a' and 'b' are the same on the broker, 'X'/,
    )
  })
})
