import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FindingKind } from './target.js'

/** An input that is kept: recorded from a real server, written by hand, or one that showed a defect. */
export interface CorpusEntry {
  readonly name: string
  readonly bytes: Buffer
}

/** The inputs of a target, in the order of their names. */
export function readCorpus(folder: string, target: string): CorpusEntry[] {
  const path = join(folder, target)
  if (!existsSync(path)) return []
  return readdirSync(path)
    .sort()
    .map((name) => ({ name, bytes: readFileSync(join(path, name)) }))
}

/** Where an input that shows a defect is kept, by what it does and a digest of it. */
export function findingPath(folder: string, target: string, kind: FindingKind | 'hang', bytes: Buffer): string {
  const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 12)
  return join(folder, target, `finding-${kind}-${digest}.bin`)
}

/** Keeps an input. Returns the path of its file. */
export function keepFinding(folder: string, target: string, kind: FindingKind, bytes: Buffer): string {
  const path = findingPath(folder, target, kind, bytes)
  mkdirSync(join(folder, target), { recursive: true })
  writeFileSync(path, bytes)
  return path
}
