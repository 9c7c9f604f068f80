import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The sources with one fence removed, which the simulation must find. */
export interface Mutant {
  readonly name: string
  readonly file: string
  /** Stands in the file once. */
  readonly fence: string
  readonly without: string
  /** Of a run that found it. */
  readonly seed: number
}

/**
 * Writes a copy of the sources without the fence. Returns its folder; `remove` it when it has been tried.
 *
 * @param copies - where copies go: within the package, so that its dependencies are found.
 */
export function copyWithout(
  { name, file, fence, without }: Mutant,
  sources: string,
  copies: string,
): { readonly folder: string; remove(): void } {
  mkdirSync(copies, { recursive: true })
  const folder = mkdtempSync(join(copies, 'mutant-'))
  cpSync(sources, folder, { recursive: true })
  const path = join(folder, file)
  const [before, after, more] = readFileSync(path, 'utf8').split(fence)
  if (before === undefined || after === undefined || more !== undefined)
    throw new Error(`the fence of '${name}' must stand once in ${file}: the sources have changed, so must the mutant`)
  writeFileSync(path, `${before}${without}${after}`)
  return { folder, remove: () => rmSync(folder, { recursive: true }) }
}
