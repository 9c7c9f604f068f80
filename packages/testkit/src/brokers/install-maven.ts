import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BrokerError, messageOf } from './errors.js'
import { writeScript } from './install-debian.js'
import { runProgram } from './process.js'

const JAVA_HINT = 'Install it with: apt-get install default-jre-headless maven'
const OLDEST_JAVA = 17

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
 * Maven is configured with. Rejects with NOT_FOUND when there is no Maven, and UNAVAILABLE when it can't fetch them.
 */
export async function fetchFromMaven(folder: string, what: string, artifacts: readonly string[]): Promise<void> {
  const project = join(folder, '.maven')
  await mkdir(project, { recursive: true })
  await writeFile(join(project, 'pom.xml'), projectFile(artifacts))
  try {
    const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${join(folder, 'libs')}`]
    await runProgram('mvn', ['--quiet', '--batch-mode', ...goal], JAVA_HINT, { cwd: project })
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
