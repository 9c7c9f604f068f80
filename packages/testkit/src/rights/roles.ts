import type { LimitedTransport } from './limited-broker.js'
import type { RabbitmqDefinitions } from './rabbitmq-rights.js'

/** A role that is like one of a file, with other rules. */
export interface ChangedRole {
  readonly name: string
  readonly like: string
  /** Given the rules of the role as the file has them: its lines, or the JSON of its permissions. */
  readonly change: (rules: string) => string
}

/** The text of a file of rights with one role more. Throws where the change leaves the rules as they are. */
export function withRole(transport: LimitedTransport, text: string, role: ChangedRole): string {
  return transport === 'redis' || transport === 'kafka' ? withLines(text, role) : withDefinitions(text, role)
}

function withLines(text: string, { name, like, change }: ChangedRole): string {
  const old = `@NAME@-${like} `
  const rules = text
    .split('\n')
    .filter((line) => !line.startsWith('#') && line.includes(old))
    .join('\n')
  return `${text}\n${changed(rules, change).replaceAll(old, `@NAME@-${name} `)}\n`
}

function withDefinitions(text: string, { name, like, change }: ChangedRole): string {
  const definitions = JSON.parse(text) as RabbitmqDefinitions
  const user = definitions.users.find((one) => one.name === `@NAME@-${like}`)
  const permission = definitions.permissions.find((one) => one.user === `@NAME@-${like}`)
  const rules = JSON.parse(changed(JSON.stringify(permission), change)) as object
  return JSON.stringify({
    ...definitions,
    users: [...definitions.users, { ...user, name: `@NAME@-${name}` }],
    permissions: [...definitions.permissions, { ...rules, user: `@NAME@-${name}` }],
  })
}

function changed(rules: string, change: (rules: string) => string): string {
  const result = change(rules)
  if (result === rules) throw new Error(`the change leaves the rules as they are: ${rules}`)
  return result
}
