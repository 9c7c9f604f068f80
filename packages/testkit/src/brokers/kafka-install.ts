import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { InstallRecipe } from './install.js'
import { fetchFromMaven, requireJava, writeJavaScript } from './install-maven.js'
import { chooseKafka } from './releases.js'

const LOG4J_VERSION = '2.25.4'

/**
 * The Java archives of Kafka's broker and tools in `libs`. Where no version is asked for, `STREAMSWITCH_KAFKA_VERSION` may name any
 * that is on Maven Central.
 */
export function kafkaRecipe(wanted?: string, environment: NodeJS.ProcessEnv = process.env): InstallRecipe {
  const version = (wanted === undefined && environment['STREAMSWITCH_KAFKA_VERSION']) || chooseKafka(wanted)
  return {
    name: 'kafka',
    revision: 1,
    version,
    async build(folder, log) {
      await requireJava()
      log(`kafka: fetching the archives of ${version} with Maven`)
      const artifacts = [
        `org.apache.kafka:kafka_2.13:${version}`,
        `org.apache.kafka:kafka-tools:${version}`,
        `org.apache.logging.log4j:log4j-slf4j-impl:${LOG4J_VERSION}`,
      ]
      await fetchFromMaven(folder, `Kafka ${version}`, artifacts, log)
      await writeFile(join(folder, 'log4j2.properties'), LOGGING)
      for (const [name, main] of Object.entries(TOOLS)) await writeJavaScript(folder, name, main)
      return version
    },
  }
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
