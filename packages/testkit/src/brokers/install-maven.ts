import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { ARCHIVE_CHECKSUMS } from './archive-checksums.js'
import { BrokerError, messageOf } from './errors.js'
import type { InstallLog } from './install.js'
import { writeScript } from './install-debian.js'
import { runProgram } from './process.js'

const JAVA_HINT = 'Install it with: apt-get install default-jre-headless maven'
const OLDEST_JAVA = 17
/** In one version: the newest would be another program each time. */
const COPY_GOAL = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies'

/** Rejects with NOT_FOUND when there is no Java, or one older than 17. */
export async function requireJava(): Promise<void> {
  const { stdout, stderr } = await runProgram('java', ['-version'], JAVA_HINT)
  const major = javaMajorVersion(stdout + stderr)
  if (major === undefined || major < OLDEST_JAVA) {
    throw new BrokerError(
      'NOT_FOUND',
      `Java ${OLDEST_JAVA} or newer is needed; this is ${major ?? 'an unknown version'}. ${JAVA_HINT}`,
    )
  }
}

/** The major version in the output of `java -version`, such as 17, or undefined. */
export function javaMajorVersion(output: string): number | undefined {
  const match = /version "(?:1\.)?(\d+)/.exec(output)
  return match?.[1] === undefined ? undefined : Number(match[1])
}

/**
 * Puts Java archives (`group:artifact:version`) and all that they depend on into `folder/libs`, from Maven Central or the mirror that
 * Maven is configured with, and checks what they are. Rejects with NOT_FOUND when there is no Maven, and UNAVAILABLE when it can't fetch them or they
 * aren't what they should be.
 */
export async function fetchFromMaven(
  folder: string,
  what: string,
  artifacts: readonly string[],
  log: InstallLog,
): Promise<void> {
  const project = join(folder, '.maven')
  await mkdir(project, { recursive: true })
  await writeFile(join(project, 'pom.xml'), projectFile(artifacts))
  try {
    const goal = [COPY_GOAL, '-DincludeScope=runtime', `-DoutputDirectory=${join(folder, 'libs')}`]
    // Files that differ from the checksums of their repository are refused, Maven's own plugins included; left alone, it only warns.
    await runProgram('mvn', ['--quiet', '--batch-mode', '--strict-checksums', ...goal], JAVA_HINT, { cwd: project })
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'NOT_FOUND') throw error
    throw new BrokerError(
      'UNAVAILABLE',
      `Maven can't fetch ${what}. Run this once while online, or configure a mirror in Maven's settings.xml.\n${messageOf(error)}`,
      { cause: error },
    )
  } finally {
    await rm(project, { recursive: true, force: true })
  }
  const unknown = await checkArchives(join(folder, 'libs'))
  if (unknown.length > 0)
    log(
      `${what}: compared with the checksums of the repository alone, since none are recorded here: ${unknown.join(', ')}`,
    )
}

/**
 * Compares archives with their recorded checksums. Resolves with those that have none: archives of versions that `releases.ts` doesn't list. Rejects
 * with UNAVAILABLE naming those that differ.
 */
export async function checkArchives(folder: string, recorded: string = ARCHIVE_CHECKSUMS): Promise<readonly string[]> {
  const checksums = new Map([...recorded.matchAll(/^([0-9a-f]{64}) {2}(\S+)$/gm)].map(([, sum, name]) => [name, sum]))
  const names = (await readdir(folder)).toSorted()
  const differing: string[] = []
  for (const name of names) {
    const expected = checksums.get(name)
    if (expected !== undefined && (await sha256(join(folder, name))) !== expected) differing.push(name)
  }
  if (differing.length === 0) return names.filter((name) => !checksums.has(name))
  throw new BrokerError(
    'UNAVAILABLE',
    `not what they should be, by their SHA-256: ${differing.join(', ')}. Remove them from Maven's local repository and check the mirror in its settings.xml.`,
  )
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}

function projectFile(artifacts: readonly string[]): string {
  const dependencies = artifacts.map((coordinates) => {
    const [group, artifact, version] = coordinates.split(':')
    return `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`
  })
  return [
    '<project xmlns="http://maven.apache.org/POM/4.0.0">',
    '<modelVersion>4.0.0</modelVersion>',
    '<groupId>streamswitch</groupId><artifactId>archives</artifactId><version>1</version><packaging>pom</packaging>',
    `<dependencies>${dependencies.join('\n')}</dependencies>`,
    '</project>',
    '',
  ].join('\n')
}

/** Writes `bin/name`, which runs a main class with everything in `libs` on its class path. */
export function writeJavaScript(folder: string, name: string, main: string): Promise<void> {
  return writeScript(join(folder, 'bin', name), [
    'here=$(readlink -f "$(dirname "$(readlink -f "$0")")/..")',
    `exec java -Xmx256m -Dlog4j2.level=ERROR -cp "$here/libs/*" ${main} "$@"`,
  ])
}
