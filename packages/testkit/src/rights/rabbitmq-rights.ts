import { callManagement } from '../brokers/rabbitmq-probe.js'
import { fillRights, type RightsParameters } from './rights-file.js'

const ANSWER_MS = 30_000

/** Users, permissions and topic permissions, as RabbitMQ's definitions have them. */
export interface RabbitmqDefinitions {
  readonly users: readonly { readonly name: string; readonly password: string; readonly tags: string }[]
  readonly permissions: readonly RabbitmqPermission[]
  readonly topic_permissions?: readonly unknown[]
}

/** What one user may do with names of a virtual host, as regular expressions. */
interface RabbitmqPermission {
  readonly user: string
  readonly vhost: string
  readonly configure: string
  readonly write: string
  readonly read: string
}

/** The definitions of a file, filled in: every `.` of a name as `[.]`, for the names stand in regular expressions. */
function rabbitmqDefinitions(text: string, parameters: RightsParameters): RabbitmqDefinitions {
  return JSON.parse(fillRights(text, parameters, (value) => value.replaceAll('.', '[.]'))) as RabbitmqDefinitions
}

/** Imports a file, as `rabbitmqctl import_definitions` would. */
export async function grantRabbitmq(managementPort: number, text: string, parameters: RightsParameters): Promise<void> {
  const definitions = rabbitmqDefinitions(text, parameters)
  const { status, body } = await callManagement(managementPort, 'POST', 'definitions', definitions, ANSWER_MS)
  if (status >= 300) throw new Error(`the broker refused the definitions: ${status} ${JSON.stringify(body)}`)
}
