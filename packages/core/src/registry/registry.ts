import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { ConsumerLoopClass } from '../consumer/consumer-loop.js'
import type { AdapterDefinition } from '../contract/adapter.js'
import { StreamError } from '../errors.js'
import { nearestName } from '../options/problems.js'
import type { ProducerClass } from '../producer/producer.js'
import { OFFICIAL_ADAPTERS, type OfficialAdapter, type OfficialName } from './official-adapters.js'

/** One registry per process, also when several copies of this package are loaded. */
const REGISTRY = Symbol.for('streamswitch.registry')

function registered(): Map<string, AdapterDefinition> {
  const holder = globalThis as { [REGISTRY]?: Map<string, AdapterDefinition> }
  holder[REGISTRY] ??= new Map()
  return holder[REGISTRY]
}

/**
 * Registers an adapter by its name and schemes: a third party's, or an official one in a bundled application, where
 * packages can't be looked up. Registering the same adapter again has no effect; another one with the same name or
 * scheme is CONFLICT.
 */
export function registerAdapter(adapter: AdapterDefinition): void {
  const conflict = (what: string): StreamError =>
    new StreamError(`an adapter with ${what} is registered already`, {
      code: 'CONFLICT',
      transport: adapter.name,
      operation: 'register',
    })
  if (!/^[a-z][a-z0-9-]*$/.test(adapter.name)) {
    throw new StreamError(`an adapter's name must consist of a-z, 0-9 and '-', got '${adapter.name}'`, {
      code: 'INVALID_ARGUMENT',
      operation: 'register',
    })
  }
  const known = registered().get(adapter.name)
  if (known === adapter) return
  if (known !== undefined) throw conflict(`the name '${adapter.name}'`)
  for (const other of registered().values()) {
    const scheme = adapter.schemes.find((one) => other.schemes.includes(one))
    if (scheme !== undefined) throw conflict(`the scheme '${scheme}://' ('${other.name}')`)
  }
  registered().set(adapter.name, adapter)
}

/** Resolves the application's own packages: from its entry script, else from the working directory. */
function applicationRequire(): NodeJS.Require {
  return createRequire(pathToFileURL(resolve(process.argv[1] ?? 'index.js')))
}

/**
 * Returns the entry file of an official adapter's package, as the application would resolve it, or `undefined` when it
 * isn't installed.
 */
function locate(official: OfficialAdapter): string | undefined {
  const fromWorkingDirectory = createRequire(pathToFileURL(resolve('index.js')))
  for (const resolver of [applicationRequire(), fromWorkingDirectory]) {
    try {
      return resolver.resolve(official.package)
    } catch (error) {
      if (!isModuleNotFound(error)) throw error
    }
  }
  return undefined
}

function isModuleNotFound(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND'
}

function adopt(official: OfficialAdapter, module: unknown): AdapterDefinition {
  const adapter = (module as { readonly default?: AdapterDefinition }).default
  if (adapter?.name !== official.name) {
    throw new StreamError(
      `the installed ${official.package} exports no adapter named '${official.name}' as default: install the version that matches this @streamswitch/core`,
      {
        code: 'CONFLICT',
        transport: official.name,
        operation: 'register',
      },
    )
  }
  // Another lookup may have been faster.
  const known = registered().get(official.name)
  if (known === undefined) registerAdapter(adapter)
  return known ?? adapter
}

function notInstalled(official: OfficialAdapter, wanted: string): StreamError {
  return new StreamError(
    `'${wanted}' needs the package ${official.package}, which is not installed: run 'npm install ${official.package}' (registered: ${listRegistered()})`,
    { code: 'NOT_FOUND', transport: official.name, operation: 'configure' },
  )
}

function unknownAdapter(kind: 'transport' | 'URL scheme', name: string, known: readonly string[]): StreamError {
  const near = nearestName(name, known)
  const hint = near === undefined ? '' : `; did you mean '${near}'?`
  const packages = OFFICIAL_ADAPTERS.map((official) => `${official.name} (npm install ${official.package})`).join(', ')
  return new StreamError(
    `unknown ${kind} '${name}'${hint} Registered: ${listRegistered()}. Available: ${packages}; a third-party adapter must be registered by registerAdapter()`,
    {
      code: 'INVALID_ARGUMENT',
      operation: 'configure',
    },
  )
}

function listRegistered(): string {
  return [...registered().keys()].join(', ') || 'none'
}

/** How an adapter is requested. */
export type Wanted = { readonly name: string } | { readonly scheme: string }

function find(wanted: Wanted): { readonly adapter: AdapterDefinition } | { readonly official: OfficialAdapter } {
  const matches = (one: { readonly name: string; readonly schemes: readonly string[] }): boolean =>
    'name' in wanted ? one.name === wanted.name : one.schemes.includes(wanted.scheme)
  const adapter = [...registered().values()].find(matches)
  if (adapter !== undefined) return { adapter }
  const official = OFFICIAL_ADAPTERS.find(matches)
  if (official !== undefined) return { official }
  const all = [...registered().values(), ...OFFICIAL_ADAPTERS]
  if ('name' in wanted)
    throw unknownAdapter(
      'transport',
      wanted.name,
      all.map((one) => one.name),
    )
  throw unknownAdapter(
    'URL scheme',
    wanted.scheme,
    all.flatMap((one) => one.schemes),
  )
}

/**
 * Returns the adapter of a name or URL scheme: a registered one, else the installed package. Rejects with
 * INVALID_ARGUMENT for an unknown one, NOT_FOUND with the command to run when the package isn't installed. No I/O
 * except reading the package.
 */
export async function loadAdapter(wanted: Wanted): Promise<AdapterDefinition> {
  const found = find(wanted)
  if ('adapter' in found) return found.adapter
  const file = locate(found.official)
  if (file === undefined) throw notInstalled(found.official, 'name' in wanted ? wanted.name : `${wanted.scheme}://`)
  return adopt(found.official, await import(pathToFileURL(file).href))
}

/** As {@link loadAdapter}, synchronously. Node.js can `require` adapters since they have no top-level await. */
export function loadAdapterNow(wanted: Wanted): AdapterDefinition {
  const found = find(wanted)
  if ('adapter' in found) return found.adapter
  const file = locate(found.official)
  if (file === undefined) throw notInstalled(found.official, 'name' in wanted ? wanted.name : `${wanted.scheme}://`)
  return adopt(found.official, createRequire(import.meta.url)(file))
}

/** Names of registered adapters and of installed official ones. */
export function availableAdapters(): string[] {
  const names = new Set(registered().keys())
  for (const official of OFFICIAL_ADAPTERS)
    if (!names.has(official.name) && locate(official) !== undefined) names.add(official.name)
  return [...names]
}

/** Property names that runtimes and tools probe on any object; they are never adapters. */
const PROBED = new Set(['then', 'toJSON'])

function registry<Class>(
  pick: (adapter: AdapterDefinition) => Class,
): Readonly<Record<OfficialName, Class> & Record<string, Class>> {
  const get = (name: string | symbol): Class | undefined =>
    typeof name === 'symbol' || PROBED.has(name) ? undefined : pick(loadAdapterNow({ name }))
  return new Proxy({} as Record<OfficialName, Class> & Record<string, Class>, {
    get: (_target, name) => get(name),
    has: (_target, name) => typeof name === 'string' && availableAdapters().includes(name),
    ownKeys: () => availableAdapters(),
    getOwnPropertyDescriptor: (_target, name) =>
      typeof name === 'string' && availableAdapters().includes(name)
        ? { value: get(name), enumerable: true, configurable: true }
        : undefined,
    set: () => false,
  })
}

/**
 * Producer classes by transport name: `new PRODUCERS[process.env.QUEUE_TYPE]('orders')`. A name that isn't registered
 * is looked up as an installed package. An unknown name throws INVALID_ARGUMENT, one that isn't installed NOT_FOUND.
 * Enumerates what is registered or installed.
 */
export const PRODUCERS = registry<ProducerClass>((adapter) => adapter.classes().Producer)

/** Consumer loop classes by transport name; the same keys and rules as {@link PRODUCERS}. */
export const CONSUMER_LOOPS = registry<ConsumerLoopClass>((adapter) => adapter.classes().ConsumerLoop)
