import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type AdapterDefinition, registerAdapter } from '@streamswitch/core'

/** The adapter under test in a process of its own: the package in the working directory, as built. Registers it. */
export async function loadAdapter(): Promise<AdapterDefinition> {
  const { name } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly name: string }
  const file = createRequire(pathToFileURL(resolve('index.js'))).resolve(name)
  const { default: adapter } = (await import(pathToFileURL(file).href)) as { readonly default: AdapterDefinition }
  registerAdapter(adapter)
  return adapter
}
