import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ROOT } from '../workspace.mjs'

/** @import { DescribedAdapter } from './capability-matrix.mjs' */
/** @import { Field } from './option-table.mjs' */

/** @typedef {Readonly<Record<string, Field>>} Fields */

/**
 * @typedef {object} Adapter What a transport's page is made from.
 * @property {string} name
 * @property {string} defaultUrl
 * @property {readonly string[]} schemes
 * @property {Fields} options
 * @property {Fields} producerOptions
 * @property {Fields} consumerOptions
 */

/**
 * @typedef {object} Described Everything that the pages are made from.
 * @property {Fields} transportFields
 * @property {Fields} producerFields
 * @property {Fields} consumerFields
 * @property {readonly string[]} capabilityNames
 * @property {readonly DescribedAdapter[]} official
 * @property {ReadonlyMap<string, Adapter>} adapters By the folders of their packages.
 */

/**
 * Loads what the pages are made from. Needs the packages to be built.
 *
 * @param {string[]} problems Gets a line for each adapter that can't be loaded.
 * @returns {Promise<Described>}
 */
export async function loadDescribed(problems) {
  const { CAPABILITY_NAMES, OFFICIAL_ADAPTERS } = await importBuilt('packages/core', 'index')
  const { transportFields } = await importBuilt('packages/core', 'transport/transport-options')
  const { producerFields } = await importBuilt('packages/core', 'producer/producer-options')
  const { consumerFields } = await importBuilt('packages/core', 'consumer/consumer-options')
  const adapters = new Map()
  for (const { name } of OFFICIAL_ADAPTERS) {
    const adapter = await importAdapter(name, problems)
    if (adapter !== undefined) adapters.set(`packages/${name}`, adapter)
  }
  const capabilities = { capabilityNames: CAPABILITY_NAMES, official: OFFICIAL_ADAPTERS }
  return { transportFields, producerFields, consumerFields, ...capabilities, adapters }
}

/**
 * @param {string} name
 * @param {string[]} problems
 * @returns {Promise<Adapter | undefined>}
 */
async function importAdapter(name, problems) {
  try {
    const { default: adapter } = await importBuilt(`packages/${name}`, 'index')
    if (adapter?.name === name) return adapter
    problems.push(`packages/${name}: has no adapter named '${name}' as default export: its page is not made`)
  } catch (error) {
    problems.push(`packages/${name}: its page is not made: ${error instanceof Error ? error.message : String(error)}`)
  }
  return undefined
}

/**
 * @param {string} directory
 * @param {string} module
 */
function importBuilt(directory, module) {
  return import(pathToFileURL(join(ROOT, directory, 'dist', `${module}.js`)).href)
}
