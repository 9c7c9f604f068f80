import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BrokerError, messageOf } from './errors.js'
import type { InstallRecipe } from './install.js'
import { runProgram } from './process.js'

/** The newest release whose broker and tools are all published (of 4.4.0, `kafka-tools` is missing). */
const DEFAULT_VERSION = '4.3.1'
const LOG4J_VERSION = '2.25.4'
const JAVA_HINT = 'Install it with: apt-get install default-jre-headless maven'
const OLDEST_JAVA = 17

/** The Java archives of Kafka's broker and tools in `libs`; the version can be set with `STREAMSWITCH_KAFKA_VERSION`. */
export function kafkaRecipe(environment: NodeJS.ProcessEnv = process.env): InstallRecipe {
  const version = environment['STREAMSWITCH_KAFKA_VERSION'] || DEFAULT_VERSION
  return {
    name: 'kafka',
    revision: 1,
    version,
    async build(folder, log) {
      await requireJava()
      log(`kafka: fetching the archives of ${version} with Maven`)
      await copyDependencies(folder, version)
      await writeFile(join(folder, 'log4j2.properties'), LOGGING)
      for (const [name, main] of Object.entries(TOOLS)) await writeJavaScript(folder, name, main)
      return version
    },
  }
}

/** Rejects with NOT_FOUND when there is no Java, or one older than 17. */
export async function requireJava(): Promise<void> {
  const { stdout, stderr } = await runProgram('java', ['-version'], JAVA_HINT)
  const major = javaMajorVersion(stdout + stderr)
  if (major === undefined || major < OLDEST_JAVA) {
    throw new BrokerError(
      'NOT_FOUND',
      `Kafka needs Java ${OLDEST_JAVA} or newer; this is ${major ?? 'an unknown version'}. ${JAVA_HINT}`,
    )
  }
}

/** The major version in the output of `java -version`, such as 17, or undefined. */
export function javaMajorVersion(output: string): number | undefined {
  const match = /version "(?:1\.)?(\d+)/.exec(output)
  return match?.[1] === undefined ? undefined : Number(match[1])
}

async function copyDependencies(folder: string, version: string): Promise<void> {
  const project = join(folder, '.maven')
  await mkdir(project, { recursive: true })
  await writeFile(join(project, 'pom.xml'), projectFile(version))
  try {
    const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${join(folder, 'libs')}`]
    await runProgram('mvn', ['--quiet', '--batch-mode', ...goal], JAVA_HINT, { cwd: project })
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'NOT_FOUND') throw error
    throw new BrokerError(
      'UNAVAILABLE',
      `Maven can't fetch Kafka ${version}. Run this once while online, or configure a mirror in Maven's settings.xml.\n${messageOf(error)}`,
      { cause: error },
    )
  } finally {
    await rm(project, { recursive: true, force: true })
  }
}

function projectFile(version: string): string {
  const artifacts = [
    ['org.apache.kafka', 'kafka_2.13', version],
    ['org.apache.kafka', 'kafka-tools', version],
    ['org.apache.logging.log4j', 'log4j-slf4j-impl', LOG4J_VERSION],
  ]
  const dependencies = artifacts.map(
    ([group, artifact, release]) =>
      `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${release}</version></dependency>`,
  )
  return [
    '<project xmlns="http://maven.apache.org/POM/4.0.0">',
    '<modelVersion>4.0.0</modelVersion>',
    '<groupId>streamswitch</groupId><artifactId>kafka-broker</artifactId><version>1</version><packaging>pom</packaging>',
    `<dependencies>${dependencies.join('\n')}</dependencies>`,
    '</project>',
    '',
  ].join('\n')
}

const LOGGING = `rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d] %p %m (%c)%n
`

/** Tools that get a script of their own, and their main classes. */
const TOOLS: Readonly<Record<string, string>> = {
  'kafka-topics': 'org.apache.kafka.tools.TopicCommand',
  'kafka-consumer-groups': 'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
  'kafka-configs': 'kafka.admin.ConfigCommand',
  'kafka-console-producer': 'org.apache.kafka.tools.ConsoleProducer',
  'kafka-console-consumer': 'org.apache.kafka.tools.consumer.ConsoleConsumer',
  'kafka-producer-perf-test': 'org.apache.kafka.tools.ProducerPerformance',
  'kafka-consumer-perf-test': 'org.apache.kafka.tools.ConsumerPerformance',
}

async function writeJavaScript(folder: string, name: string, main: string): Promise<void> {
  const script = [
    '#!/bin/sh',
    'here=$(readlink -f "$(dirname "$(readlink -f "$0")")/..")',
    `exec java -Xmx256m -Dlog4j2.level=ERROR -cp "$here/libs/*" ${main} "$@"`,
    '',
  ]
  await mkdir(join(folder, 'bin'), { recursive: true })
  await writeFile(join(folder, 'bin', name), script.join('\n'), { mode: 0o755 })
}
